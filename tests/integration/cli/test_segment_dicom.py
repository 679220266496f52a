"""`femseg segment --dicom-seg --rtstruct`: DICOM objects beside the mask, of one CT and of a folder of studies."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from study_maker import ct_hu, write_dicom_study, write_nifti
from tiny_model import JUDGED, write_tiny_package
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.cohorts.manifest import read_case_mask
from femseg.cohorts.settings import CohortSettings, StructureNames
from femseg.faults import ExitCode
from femseg.files.durable import sha256_of_file
from femseg.intake.check import check_cohort
from femseg.lineage.records import read_record, record_beside


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "package"
    write_tiny_package(folder)
    return folder


@pytest.fixture
def study(tmp_path) -> Path:
    write_dicom_study(tmp_path / "study")
    shutil.rmtree(tmp_path / "study" / "mask")
    return tmp_path / "study"


@pytest.fixture
def run(package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FEMSEG_DEBUG", raising=False)

    def go(ct, *words, output="mask.nii.gz"):
        command = ["segment", str(ct), "-o", str(output), "--model", str(package), "--write-rejected", *map(str, words)]
        return CliRunner().invoke(app, command)

    return go


BOTH = ("--dicom-seg", "seg.dcm", "--rtstruct", "rs.dcm")


@pytest.mark.parametrize("zipped", [False, True])
def test_both_objects_hold_the_masks_voxels_and_each_has_its_record(run, study, tmp_path, zipped):
    ct = study if not zipped else Path(shutil.make_archive(str(tmp_path / "packed"), "zip", study))
    done = run(ct, *BOTH, "--json")
    assert done.exit_code in JUDGED, done.output
    said = json.loads(done.stdout)
    assert (said["dicom_seg"], said["rtstruct"]) == ("seg.dcm", "rs.dcm")
    mask = np.asanyarray(nib.load("mask.nii.gz").dataobj).T > 0
    names = StructureNames(femur=("left femur", "right femur", "femur"))
    for name in ("seg.dcm", "rs.dcm"):
        shutil.copytree(study, tmp_path / name.partition(".")[0] / "case")
        shutil.copy(name, tmp_path / name.partition(".")[0] / "case")
        cohort = tmp_path / name.partition(".")[0]
        checked = check_cohort(cohort, CohortSettings(source="dicom", structures=names), id_key=b"key")
        assert not checked.faults, checked.faults
        assert np.array_equal(read_case_mask(checked.cases[0], cohort).femur_zyx, mask)
        record = read_record(record_beside(Path(name)))
        assert record.files == {"mask": sha256_of_file(Path(name))}
        assert record.cts == read_record(record_beside(Path("mask.nii.gz"))).cts
        assert "PATIENT" not in record_beside(Path(name)).read_text()  # hashes alone


@pytest.mark.parametrize("option", ["--dicom-seg", "--rtstruct"])
def test_a_volume_file_has_no_series_to_refer_to_DC_01(run, tmp_path, option):
    ct = write_nifti(tmp_path / "ct.nii.gz", ct_hu())
    done = run(ct, option, "out.dcm")
    assert done.exit_code == ExitCode.INPUT_REFUSED
    assert done.stderr.startswith("error DC-01: ")
    assert "is a volume file" in done.stderr
    assert not Path("out.dcm").exists()
    assert not Path("mask.nii.gz").exists()  # before minutes of work, not after


def test_a_ct_on_another_grid_than_was_scanned_is_refused_DC_01(run, tmp_path):
    def uneven(slices):
        for one in slices[6:]:
            one.ImagePositionPatient[2] = float(one.ImagePositionPatient[2]) + 0.4

    write_dicom_study(tmp_path / "study", ct=uneven)
    done = run(tmp_path / "study" / "ct", *BOTH, "--regularise")
    assert done.exit_code == ExitCode.INPUT_REFUSED
    assert "DC-01" in done.stderr
    assert "is resampled (regularise)" in done.stderr
    assert run(tmp_path / "study" / "ct", "--regularise").exit_code in JUDGED  # as a volume file it may be had


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--dicom-seg", "seg.nii.gz"), "CFG-01"),
        (("--rtstruct", "a.dcm", "--dicom-seg", "a.dcm"), "names the file of --dicom-seg"),
        (("--rtstruct", "there.dcm"), "IF-08"),
        (("--rtstruct", "study/ct/slice-003.dcm", "--overwrite"), "is a file of the CT"),
    ],
)
def test_places_are_refused_before_any_work(run, study, words, says):
    Path("there.dcm").write_text("mine")
    slices = {path: path.read_bytes() for path in study.rglob("*.dcm")}
    done = run(study, *words)
    assert done.exit_code == ExitCode.USAGE, done.output
    assert says in done.stderr
    assert not Path("mask.nii.gz").exists()
    assert Path("there.dcm").read_text() == "mine"
    assert {path: path.read_bytes() for path in study.rglob("*.dcm")} == slices


def test_a_missing_extra_is_named_CFG_02(run, study, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    monkeypatch.delitem(__import__("sys").modules, "femseg.formats.dicom.writing.segmentation", raising=False)
    done = run(study, "--dicom-seg", "seg.dcm")
    assert done.exit_code == ExitCode.USAGE
    assert "pip install 'femseg[dicom]'" in done.stderr
    assert run(study, "--rtstruct", "rs.dcm").exit_code in JUDGED  # needs none


@pytest.mark.slow
def test_a_folder_gives_each_study_its_objects_and_keeps_them(run, tmp_path):
    for name in ("a", "b"):
        write_dicom_study(tmp_path / "studies" / name, patient=name)
    done = run(tmp_path / "studies", *BOTH, output="out")
    assert done.exit_code in JUDGED, done.output
    for name in ("a", "b"):
        for file in ("seg.dcm", "rs.dcm"):
            assert pydicom.dcmread(tmp_path / "out" / name / file).PatientID == name
        record = read_record(tmp_path / "out" / name / "lineage.json")
        assert {"mask.nii.gz", "seg.dcm", "rs.dcm"} <= set(record.files)
        assert json.loads((tmp_path / "out" / name / "result.json").read_text())["dicom_seg"] == "seg.dcm"
    again = run(tmp_path / "studies", *BOTH, "--json", output="out")
    assert {one["state"] for one in json.loads(again.stdout)} == {"kept"}
    other = run(tmp_path / "studies", "--json", output="out")
    assert "IF-08" in other.stdout  # of another choice
    assert "CFG-01" in run(tmp_path / "studies", "--rtstruct", "x/rs.dcm", output="elsewhere").stderr
