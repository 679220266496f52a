import json
import subprocess
import sys
from pathlib import Path

import torch

SCRIPT = Path(__file__).with_name("sphere_run.py")


def sphere_run(mode, folder):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), mode, str(folder)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_tr_01_a_run_killed_at_random_moments_ends_with_the_bits_of_one_that_was_not(tmp_path):
    done = sphere_run("kill", tmp_path)
    outcome = json.loads(done.stdout)
    assert outcome["hits"] >= 3
    assert done.stderr.count("going on after iteration") >= 3
    assert outcome["killed"] == outcome["undisturbed"]
    rows = (tmp_path / "killed" / "training_curve.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, 41))


def test_two_workers_train_as_one_with_the_whole_batch_does(tmp_path):
    sphere_run("ddp", tmp_path)
    alone, first, second = (
        torch.load(tmp_path / f"left-{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1")
    )
    assert all(torch.equal(first["network"][name], second["network"][name]) for name in first["network"])
    for name, weight in alone["network"].items():
        torch.testing.assert_close(first["network"][name], weight, rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.tensor(first["losses"]), torch.tensor(alone["losses"]), rtol=0, atol=1e-5)
    assert first["validation"] == second["validation"]
    assert abs(first["validation"][-1] - alone["validation"][-1]) < 1e-3
