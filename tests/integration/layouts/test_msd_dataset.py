"""The layout of the Medical Segmentation Decathlon: dataset.json lists every file."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from layout_maker import LEFT, RIGHT, two_femora_hu, write_msd
from study_maker import assert_one_line_refusal

from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings, StructureNames
from femseg.errors import Fault, Refusal
from femseg.faults import ExitCode
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort
from femseg.layouts.detect import detected_source

SIDES = StructureNames(left=("femur_left",), right=("femur_right",))


def check(folder: Path, **settings: object) -> CheckedCohort:
    given = {"structures": SIDES} | settings
    return check_cohort(folder, CohortSettings(source="msd", **given), id_key=b"key")  # type: ignore[arg-type]


def refused(folder: Path) -> tuple[Fault, ...]:
    with pytest.raises(Refusal) as refusal:
        check(folder)
    return refusal.value.faults


@pytest.mark.parametrize(("femur", "expected"), [("all", LEFT | RIGHT), ("left", LEFT), ("right", RIGHT)])
def test_listed_pairs_come_back_voxel_by_voxel(tmp_path, femur, expected):
    write_msd(tmp_path, test_images=1)
    assert detected_source(tmp_path) == "msd"
    cohort = check(tmp_path, femur=femur)
    assert not cohort.faults, cohort.faults
    assert len(cohort.cases) == 2
    for case in cohort.cases:
        seed = int(Path(case.ct.files[0].path).name[6:9])
        np.testing.assert_array_equal(read_case_ct(case, tmp_path).hu_zyx, two_femora_hu(seed))
        np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, expected)


def test_a_test_image_that_is_a_training_case_is_refused_IN_23(tmp_path):
    write_msd(tmp_path, test_images=1)
    shutil.copy(tmp_path / "imagesTr/femur_000.nii.gz", tmp_path / "imagesTs/femur_100.nii.gz")
    assert_one_line_refusal(check(tmp_path).faults, "IN-23", "imagesTs/femur_100", "imagesTr/femur_000")


def test_a_listed_file_that_is_not_there_is_named_IN_26(tmp_path):
    write_msd(tmp_path)
    (tmp_path / "labelsTr/femur_001.nii.gz").unlink()
    assert_one_line_refusal(check(tmp_path).faults, "IN-26", "labelsTr/femur_001.nii.gz", "No such file")


@pytest.mark.parametrize("path", ["../secret.nii.gz", "/etc/passwd", "./imagesTr/../../x.nii.gz", "a\0b", "..\\x.nii"])
def test_paths_that_lead_out_of_the_folder_are_refused_SC_08(tmp_path, path):
    write_msd(tmp_path, training=[{"image": path, "label": "./labelsTr/femur_000.nii.gz"}])
    faults = refused(tmp_path)
    assert_one_line_refusal(faults, "SC-08", "training[0].image", "leads out", exit_code=ExitCode.USAGE)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"modality": {"0": "MRI"}}, "modality: the images are 'MRI'"),
        ({"modality": {"0": "FLAIR", "1": "T1w"}}, "modality: 2 channels"),
        ({"modality": None}, "modality: expected"),
        ({"labels": {"femur": 1}}, "labels: expected values with their names"),
        ({"labels": {"0": "background", "1": 5}}, "labels: expected values with their names"),
        ({"training": None}, "training: expected a list of files, got nothing"),
        ({"training": ["./imagesTr/femur_000.nii.gz"]}, "training[0]: expected"),
        ({"training": [{"image": "./imagesTr/femur_000.nii.gz"}]}, "training[0]: expected"),
        ({"training": [{"image": 3, "label": "x"}]}, "training[0].image: expected a path, got 3"),
        ({"test": [7]}, "test[0]: expected"),
        ({"training": []}, ""),
    ],
)
def test_a_wrong_key_of_dataset_json_is_named_IN_12(tmp_path, changes, says):
    write_msd(tmp_path, **changes)
    assert_one_line_refusal(refused(tmp_path), "IN-12" if says else "IN-05", says)
