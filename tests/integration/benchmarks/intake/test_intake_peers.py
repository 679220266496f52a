"""The comparison of intake with its peers: runs without them, and its page says what its results say."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.intake import intake_peers as peers

ROOT = Path(__file__).parents[4]


def test_the_page_of_the_documentation_and_the_full_list_are_made_from_the_recorded_results():
    recorded = json.loads((ROOT / "benchmarks/results/intake_peers.json").read_text(encoding="utf-8"))
    page, every = ROOT / "docs/explanation/intake-against-peers.md", ROOT / "benchmarks/results/intake_peers.md"
    assert page.read_text(encoding="utf-8") == peers.page(recorded)
    assert every.read_text(encoding="utf-8") == peers.full_list(recorded)


def test_it_runs_without_peers_and_says_which_are_absent(tmp_path):
    script = [sys.executable, "-m", "benchmarks.intake.intake_peers"]
    words = ["--peers", "/bin/false", "--output", tmp_path / "result.json", "--only", "missing-slice", "nifti-pir"]
    done = subprocess.run([*script, *words], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "absent and left out: SimpleITK, dicom2nifti, nnunetv2; pip install '.[peers]'" in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    outcomes = {kind: row["outcomes"]["femseg"]["outcome"] for kind, row in result["specimens"].items()}
    assert outcomes == {"missing-slice": "refused", "nifti-pir": "right"}
