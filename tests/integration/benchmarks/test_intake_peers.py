"""The comparison of intake with its peers: runs without them, and its page says what its results say."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "benchmarks" / "intake_peers.py"


@pytest.fixture
def peers():
    spec = importlib.util.spec_from_file_location("intake_peers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_documentation_and_the_full_list_are_made_from_the_recorded_results(peers):
    recorded = json.loads((ROOT / "benchmarks/results/intake_peers.json").read_text(encoding="utf-8"))
    page, every = ROOT / "docs/explanation/intake-against-peers.md", ROOT / "benchmarks/results/intake_peers.md"
    assert page.read_text(encoding="utf-8") == peers.page(recorded)
    assert every.read_text(encoding="utf-8") == peers.full_list(recorded)


def test_it_runs_without_peers_and_says_which_are_absent(tmp_path):
    command = [sys.executable, SCRIPT, "--peers", "/bin/false", "--output", tmp_path / "result.json"]
    done = subprocess.run(
        [*command, "--only", "missing-slice", "nifti-pir"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "absent and left out: SimpleITK, dicom2nifti, nnunetv2; pip install '.[peers]'" in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    outcomes = {kind: row["outcomes"]["femseg"]["outcome"] for kind, row in result["specimens"].items()}
    assert outcomes == {"missing-slice": "refused", "nifti-pir": "right"}
