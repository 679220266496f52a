import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]
CHAOS = [sys.executable, "-m", "benchmarks.chaos.chaos"]


def test_tr_01_tr_02_a_run_killed_again_and_again_is_never_lost_and_ends_with_the_same_bits_G1(tmp_path):
    output = tmp_path / "chaos.json"
    words = ["--kills", "5", "--iterations", "60", "--warm", "--output", str(output)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RAY_"))}
    done = subprocess.run([*CHAOS, *words], cwd=ROOT, env=kept, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    plain = json.loads(output.read_text())["plain"]
    assert (plain["kills"], plain["lost_runs"], plain["differing_runs"]) == (5, 0, 0)
    assert plain["most_redone_iterations"] <= plain["checkpoint_every"]
    assert plain["seconds_to_training_again"]["measured"] >= 1
    for run in plain["each_run"]:
        assert run["last_weights_equal"]
        assert run["mlflow_equal"]
