import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[4] / "benchmarks" / "training" / "gpu_paper_step.py"


def test_the_papers_step_can_be_measured_on_a_cpu_at_a_small_size(tmp_path):
    output = tmp_path / "step.json"
    small = ["--shape", "16", "16", "16", "--base-channels", "2", "--repeats", "1", "--device", "cpu"]
    subprocess.run([sys.executable, str(BENCHMARK), *small, "--output", str(output)], check=True, capture_output=True)
    result = json.loads(output.read_text())
    assert result["shape_bczyx"] == [2, 1, 16, 16, 16]
    assert [step["precision"] for step in result["steps"]] == ["float32", "bfloat16"]
    for step in result["steps"]:
        assert step["hours_for_10000_iterations"] == step["seconds_per_step"] * 10_000 / 3600
        assert 0 < step["first_loss"] < 1
