"""The comparison of intake with its peers: runs without them, and its page says what its results say."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from specimens.catalogue import BY_KIND

from benchmarks.intake import intake_peers as peers

ROOT = Path(__file__).parents[4]


def test_the_page_of_the_documentation_and_the_full_list_are_made_from_the_recorded_results():
    recorded = json.loads((ROOT / "benchmarks/results/intake_peers.json").read_text(encoding="utf-8"))
    page, every = ROOT / "docs/explanation/intake-against-peers.md", ROOT / "benchmarks/results/intake_peers.md"
    assert page.read_text(encoding="utf-8") == peers.page(recorded)
    assert every.read_text(encoding="utf-8") == peers.full_list(recorded)


def test_it_runs_without_peers_and_says_which_are_absent(tmp_path):
    script = [sys.executable, "-m", "benchmarks.intake.intake_peers"]
    words = [
        "--peers",
        "/bin/false",
        "--output",
        tmp_path / "result.json",
        "--only",
        "missing-slice",
        "nifti-pir",
        "video",
    ]
    done = subprocess.run([*script, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "absent and left out: SimpleITK, dicom2nifti, nnunetv2; pip install '.[peers]'" in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    outcomes = {kind: row["outcomes"]["femseg"]["outcome"] for kind, row in result["specimens"].items()}
    assert outcomes == {"missing-slice": "refused", "nifti-pir": "right", "video": "unsupported"}

    renewed = subprocess.run(
        [*script, *words[:4], "--only", "video", "--renew"], cwd=ROOT, capture_output=True, text=True
    )
    assert renewed.returncode == 0, renewed.stderr
    assert json.loads((tmp_path / "result.json").read_text()) == result


def test_what_a_peer_reads_rightly_is_not_counted_as_malformed():
    specimens = [BY_KIND[kind] for kind in ("missing-slice", "gzip-crc", "nifti-pir")]
    found = {one.kind: {"outcome": "refused"} for one in specimens}
    assert peers.grouped(specimens, {"femseg": found, "nnunet": found | {"gzip-crc": {"outcome": "right"}}}) == {
        "missing-slice": "malformed",
        "gzip-crc": "refused by femseg, read rightly by a peer",
        "nifti-pir": "odd but valid",
    }
    assert peers.grouped(specimens, {"femseg": found | {"gzip-crc": {"outcome": "right"}}})["gzip-crc"] == "malformed"


def test_what_is_mended_is_compared_with_the_voxels_as_measured(tmp_path):
    specimen = BY_KIND["tilted-both"]
    specimen.make(tmp_path)
    assert peers.by_femseg(specimen, tmp_path)["outcome"] == "mended"
    assert peers.by_femseg(replace(specimen, truth="base"), tmp_path)["outcome"] == "warned"
