"""`femseg check`: every fault of every study in one pass, as text and as JSON, with the right exit code."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from study_maker import femur_mask, write_dicom_study, write_nifti, write_volume_study
from typer.testing import CliRunner

from femseg.cli.main import app

REAL_DATA = Path(os.environ.get("FEMSEG_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
PELVIS = REAL_DATA / "pelvis_ct"


@pytest.fixture
def check(monkeypatch):
    monkeypatch.delenv("FEMSEG_DEBUG", raising=False)
    return lambda *words: CliRunner().invoke(app, ["check", *map(str, words)])


def without_slice_7(datasets):
    del datasets[7]


@pytest.fixture
def mixed(tmp_path):
    """One good study and two bad ones, each bad in a way of its own."""
    write_dicom_study(tmp_path / "good", patient="A")
    write_dicom_study(tmp_path / "gap", patient="B", seed=1, ct=without_slice_7)
    torn = write_dicom_study(tmp_path / "torn", patient="C", seed=2) / "ct" / "slice-003.dcm"
    torn.write_bytes(torn.read_bytes()[:500])
    return tmp_path


def test_a_good_folder_is_a_table_and_exit_0(check, tmp_path):
    write_dicom_study(tmp_path / "one")
    done = check(tmp_path)
    assert done.exit_code == 0, done.output
    assert "14 × 24 × 26" in done.stdout
    assert "1 case(s) accepted, 0 fault(s)" in done.stdout
    assert "check: 1 of 1" in done.stderr


def test_all_faults_are_listed_in_one_pass_IN_27(check, mixed):
    done = check(mixed)
    assert done.exit_code == 3, done.output
    faults = [line for line in done.stderr.splitlines() if line.startswith("error ")]
    assert "error " not in done.stdout
    assert all(". Fix: " in line for line in faults)
    assert {"gap", "torn"} == {name for name in ("good", "gap", "torn") if any(f"/{name}" in line for line in faults)}
    assert f"1 case(s) accepted, {len(faults)} fault(s)" in done.stdout
    assert "check: 3 of 3" in done.stderr
    assert "Traceback" not in done.output
    assert "Doe" not in done.output


def test_json_says_the_same(check, mixed):
    done = check(mixed, "--json")
    assert done.exit_code == 3
    said = json.loads(done.stdout)
    assert len(said["cases"]) == 1
    assert [str(fault["id"]) for fault in said["faults"]] == [
        line.split()[1].rstrip(":") for line in done.stderr.splitlines() if line.startswith("error ")
    ]
    assert {fault["exit_code"] for fault in said["faults"]} == {3}
    assert all(fault["fix"] for fault in said["faults"])


def test_a_mask_of_another_name_is_named(check, tmp_path):
    (write_volume_study(tmp_path / "one") / "mask.nii.gz").rename(tmp_path / "one" / "femur_by_hand.nii.gz")
    assert check(tmp_path).exit_code == 3
    done = check(tmp_path, "--mask", "femur_by_hand.nii.gz")
    assert done.exit_code == 0, done.output
    assert "12.6" in done.stdout


def test_labels_femur_and_mask_come_from_a_params_file_and_the_command_line_goes_over_it(check, tmp_path):
    study, params = write_volume_study(tmp_path / "studies" / "one"), tmp_path / "params.yaml"
    write_nifti(study / "by_hand.nii.gz", femur_mask().astype(np.uint8) * 3)
    (study / "mask.nii.gz").unlink()
    cohort = {"source": "dicom", "folder": "elsewhere", "mask": "by_hand.nii.gz", "femur": "left"}
    params.write_text(yaml.safe_dump({"cohort": cohort | {"labels": {"left": [3], "right": [4]}}}))
    assert "holds 0, 3, expected 0 and 1" in check(tmp_path / "studies", "--mask", "by_hand.nii.gz").stderr
    assert "--source volumes" in check(tmp_path / "studies" / "one", "--params", params).stderr
    done = check(tmp_path / "studies", "--params", params, "--source", "auto", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cases"][0]["side"] == "left"
    refused = check(tmp_path / "studies", "--params", params, "--source", "volumes", "--mask", "absent.nii.gz")
    assert "IN-22" in refused.stderr


def test_a_ct_without_mask_is_accepted_where_none_is_wanted(check, tmp_path):
    (write_volume_study(tmp_path / "one") / "mask.nii.gz").unlink()
    assert check(tmp_path).exit_code == 3
    assert check(tmp_path, "--no-masks").exit_code == 0


def test_of_several_series_the_named_one_is_taken_IN_05(check, tmp_path):
    study = write_dicom_study(tmp_path / "one")
    write_dicom_study(tmp_path / "other", seed=4)
    for place, file in enumerate((tmp_path / "other" / "ct").iterdir()):
        file.rename(study / "ct" / f"other-{place}.dcm")
    for file in (tmp_path / "other" / "mask").iterdir():
        file.unlink()
    for folder in (tmp_path / "other" / "mask", tmp_path / "other" / "ct", tmp_path / "other"):
        folder.rmdir()
    refused = check(tmp_path)
    assert refused.exit_code == 3
    assert "IN-05" in refused.stderr
    uid = pydicom.dcmread(study / "ct" / "slice-000.dcm").SeriesInstanceUID
    done = check(tmp_path, "--series", uid)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["/no/such/folder"], "is no folder"),
        (
            ["{folder}", "--source", "nifti"],
            "expected auto, dicom, volumes, totalsegmentator, nnunet, msd, got 'nifti'",
        ),
        (["{folder}", "--params", "/no/such/params.yaml"], "is no file"),
        (["{folder}", "--params", "{wrong}"], "cohort.femur"),
        (["{folder}", "--mask", "../mask.nii.gz"], "expected a name inside the study's folder"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_2(check, tmp_path, words, says):
    wrong = tmp_path / "params.yaml"
    wrong.write_text("cohort: {femur: middle}")
    done = check(*(word.format(folder=tmp_path, wrong=wrong) for word in words))
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error CFG-01: ")
    assert says in line


def test_an_empty_folder_is_refused(check, tmp_path):
    done = check(tmp_path)
    assert done.exit_code == 3
    assert "holds no study" in done.output


@pytest.mark.skipif(not PELVIS.is_dir(), reason=f"no real data: {PELVIS} is absent (FEMSEG_REAL_DATA)")
def test_a_real_ct_is_accepted_with_its_metal_and_the_end_at_which_it_is_cut_off(check):
    done = check(PELVIS, "--mask", "labels/example_seg_femur_left.nii.gz", "--json")
    assert done.exit_code == 0, done.output
    (case,) = json.loads(done.stdout)["cases"]
    assert case["metal_ml"] > 5
    assert case["cut_off"] == ["inferior"]


def test_a_zipped_study_can_be_checked_by_itself_and_a_bad_one_ends_with_its_code_SC_07(check, tmp_path):
    study = write_dicom_study(tmp_path / "one")
    done = check(shutil.make_archive(str(study), "zip", study))
    assert done.exit_code == 0, done.output
    assert "1 case(s) accepted" in done.stdout
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as made:
        made.writestr("../one/ct/slice-000.dcm", b"")
    done = check(tmp_path / "bad.zip")
    assert done.exit_code == 9
    assert "error SC-07: " in done.stderr


@pytest.mark.parametrize("option", ["--html", "--quarantine"])
def test_what_is_checked_is_never_written_over(check, tmp_path, option):
    study = write_volume_study(tmp_path / "cohort" / "study")
    split = tmp_path / "split.json"
    split.write_text('{"train": ["study"], "test": []}')
    before = (study / "ct.nii.gz").read_bytes(), split.read_text()
    for target in (study / "ct.nii.gz", split, tmp_path / "cohort"):
        done = check(tmp_path / "cohort", "--split", split, option, target)
        assert done.exit_code == 2, done.output
        assert str(target) in done.stderr
    assert ((study / "ct.nii.gz").read_bytes(), split.read_text()) == before
    done = check(tmp_path / "cohort", "--html", tmp_path / "x", "--quarantine", tmp_path / "x")
    assert done.exit_code == 2, done.output


def test_grids_that_disagree_show_in_the_headers_IN_20(check, tmp_path):
    study = write_volume_study(tmp_path / "study")
    write_nifti(study / "mask.nii.gz", femur_mask()[:-1].astype(np.uint8))
    done = check(tmp_path, "--headers")
    assert done.exit_code == 3, done.output
    assert "error IN-20" in done.stderr


@pytest.mark.parametrize(
    "words",
    [["n" * 300], ["n" * 300 + ".zip"], [".", "--params", "n" * 300 + "/params.yaml"], [".", "--split", "n" * 300]],
    ids=["folder", "zip", "params", "split"],
)
def test_a_name_that_no_file_can_have_is_one_line_and_exit_2_CFG_01(check, tmp_path, monkeypatch, words):
    write_volume_study(tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    outcome = check(*words)
    assert outcome.exit_code == 2
    assert "CFG-01" in outcome.output
