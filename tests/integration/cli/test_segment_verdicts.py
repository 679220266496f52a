"""What `femseg segment` comes to: usable, review, reject, each with its exit code; a rejected mask is not written."""

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from bright_network import bright_ct, leg, write_bright_package
from scipy import ndimage
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.faults import ExitCode
from femseg.lineage.records import record_beside

SUPPORT = Path(__file__).parents[2] / "support"
CAUTION = "learnt from no patient: look before use"
ENDS = {"usable": ExitCode.DONE, "review": ExitCode.REVIEW, "reject": ExitCode.REJECT}


@pytest.fixture(scope="module")
def cts(tmp_path_factory) -> Path:
    """`usable` shows a femur, `review` one with a nail, `reject` a ball of 60 mm."""
    folder = tmp_path_factory.mktemp("cts")
    femur = leg()
    z, y, x = (np.abs(np.arange(n) - n // 2) * mm for n, mm in zip(femur.grid.shape_zyx, (4.0, 2.5, 2.5), strict=True))
    ball = replace(femur, femur_zyx=z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < 30.0**2)
    nailed = bright_ct(femur)
    nailed.hu_zyx[ndimage.binary_erosion(femur.femur_zyx, iterations=4)] = 3000.0
    for word, ct in (("usable", bright_ct(femur)), ("review", nailed), ("reject", bright_ct(ball))):
        (folder / word).mkdir()
        sitk.WriteImage(ct.grid.image(ct.hu_zyx.astype(np.int16)), folder / word / "ct.nii.gz")
    return folder


@pytest.fixture
def segment(tmp_path, monkeypatch):
    write_bright_package(tmp_path / "package", cohort_source="synthetic")
    monkeypatch.chdir(tmp_path)

    def run(ct: Path, output: str, *words: str):
        return CliRunner().invoke(app, ["segment", str(ct), "-o", output, "--model", "package", *words])

    return run


def segment_folder(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command by itself: the workers of a Ray that ran in this process before would not find the network."""
    command = [
        sys.executable,
        "-c",
        "from femseg.cli.main import main; main()",
        "segment",
        "--model",
        "package",
        *words,
    ]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(SUPPORT)}, capture_output=True, text=True)


@pytest.mark.parametrize("word", ENDS)
def test_each_verdict_has_its_exit_code_its_line_and_its_json(segment, cts, word):
    done = segment(cts / word / "ct.nii.gz", "a.nii.gz")
    assert done.exit_code == ENDS[word], done.output
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  verdict: ")]
    assert line.startswith(f"  verdict: {word}")
    said = json.loads(segment(cts / word / "ct.nii.gz", "b.nii.gz", "--json").stdout)["verdict"]
    assert said["word"] == word
    assert all(reason in line for reason in said["reasons"])
    assert bool(said["reasons"]) == (word != "usable")
    assert (said["expected_dice"] is None) == (word == "reject")
    assert said["caution"] == (CAUTION if word == "usable" else "")
    assert (CAUTION in line) == (word == "usable")


def test_a_rejected_mask_is_written_only_where_that_is_asked_for(segment, cts, tmp_path):
    ct, output = cts / "reject/ct.nii.gz", tmp_path / "mask.nii.gz"
    done = segment(ct, "mask.nii.gz", "--json")
    assert done.exit_code == ExitCode.REJECT
    assert json.loads(done.stdout)["mask"] is None
    assert not output.exists()
    assert not record_beside(output).exists()
    assert "mask.nii.gz: not written, " in segment(ct, "mask.nii.gz").stdout
    done = segment(ct, "mask.nii.gz", "--write-rejected", "--json")
    assert done.exit_code == ExitCode.REJECT
    assert json.loads(done.stdout)["mask"] == "mask.nii.gz"
    assert nib.load(output).get_fdata().any()
    assert record_beside(output).exists()


def test_a_folder_ends_by_its_gravest_verdict_and_keeps_the_record_of_a_rejected_study(segment, cts, tmp_path):
    done = segment_folder(cts, "-o", "out", "--page", "page.html")
    assert done.returncode == ExitCode.REJECT, done.stdout + done.stderr
    with (tmp_path / "out/segmentations.csv").open(newline="") as file:
        rows = {row["study"]: row for row in csv.DictReader(file)}
    assert {name: row["verdict"] for name, row in rows.items()} == {word: word for word in ENDS}
    assert {name: bool(row["mask"]) for name, row in rows.items()} == {word: word != "reject" for word in ENDS}
    assert {name: row["caution"] for name, row in rows.items() if row["caution"]} == {"usable": CAUTION}
    assert f"verdict: usable ({CAUTION}), expected Dice" in done.stdout
    for page in ("index.html", "usable/page.html"):
        assert re.search(
            rf"[uU]sable ?(</span>)?<span class=\"caution\">{CAUTION}<", (tmp_path / "out" / page).read_text()
        )
    assert {path.name for path in (tmp_path / "out/reject").iterdir()} == {
        *("lineage.json", "page.html", "picture.webp", "result.json")
    }
    assert json.loads((tmp_path / "out/reject/result.json").read_text())["verdict"]["reasons"]
    assert "1 reject, 1 review, 3 segmented, 1 usable" in done.stdout


@pytest.mark.slow
def test_a_fault_of_a_study_decides_before_any_verdict_and_a_rejected_mask_can_be_asked_for_later(
    segment, cts, tmp_path
):
    (tmp_path / "studies").mkdir()
    for word in ("review", "reject"):
        (tmp_path / "studies" / word).symlink_to(cts / word)
    whole = (cts / "usable/ct.nii.gz").read_bytes()
    (tmp_path / "studies/cut").mkdir()
    (tmp_path / "studies/cut/ct.nii.gz").write_bytes(whole[: len(whole) // 2])
    done = segment_folder(tmp_path / "studies", "-o", "out")
    assert done.returncode == ExitCode.INTEGRITY, done.stdout + done.stderr
    again = segment_folder(tmp_path / "studies", "-o", "out", "--write-rejected")
    assert "1 kept, 1 refused, 1 reject, 1 review, 1 segmented" in again.stdout
    assert (tmp_path / "out/reject/mask.nii.gz").exists()
