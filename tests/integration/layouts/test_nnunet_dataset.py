"""nnU-Net v2's layout: dataset.json, imagesTr, labelsTr, imagesTs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from layout_maker import BOTH, LEFT, NNUNET, RIGHT, two_femora_hu, write_dataset_json, write_nnunet
from study_maker import ORIGIN_XYZ, SPACING_ZYX, assert_one_line_refusal, write_nifti

from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings, LabelMap, StructureNames
from femseg.errors import Fault, Refusal
from femseg.faults import ExitCode
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort
from femseg.layouts.detect import detected_source

SIDES = StructureNames(left=("femur_left",), right=("femur_right",))


def check(folder: Path, **settings: object) -> CheckedCohort:
    given = {"structures": SIDES} | settings
    return check_cohort(folder, CohortSettings(source="nnunet", **given), id_key=b"key")  # type: ignore[arg-type]


def refused(folder: Path, **settings: object) -> tuple[Fault, ...]:
    """Of the dataset as a whole."""
    with pytest.raises(Refusal) as refusal:
        check(folder, **settings)
    return refusal.value.faults


@pytest.mark.parametrize(("femur", "expected"), [("all", LEFT | RIGHT), ("left", LEFT), ("right", RIGHT)])
def test_labels_are_chosen_by_their_names_in_dataset_json(tmp_path, femur, expected):
    write_nnunet(tmp_path)
    assert detected_source(tmp_path) == "nnunet"
    cohort = check(tmp_path, femur=femur)
    assert not cohort.faults, cohort.faults
    assert len(cohort.cases) == 2
    for case in cohort.cases:
        seed = int(case.ct.files[0].path.split("_")[1])
        np.testing.assert_array_equal(read_case_ct(case, tmp_path).hu_zyx, two_femora_hu(seed))
        np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, expected)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_other_file_endings_are_read_too(tmp_path, ending):
    write_dataset_json(tmp_path, NNUNET | {"file_ending": ending, "numTraining": 1})
    for name, array in (("imagesTr/a_b_0000", two_femora_hu()), ("labelsTr/a_b", BOTH)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(SPACING_ZYX[::-1])
        image.SetOrigin(ORIGIN_XYZ)
        (tmp_path / name).parent.mkdir()
        sitk.WriteImage(image, tmp_path / f"{name}{ending}")
    (case,) = check(tmp_path).cases
    np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, LEFT | RIGHT)


def test_images_of_the_test_set_are_checked_and_are_no_cases(tmp_path):
    write_nnunet(tmp_path, test_images=2)
    cohort = check(tmp_path)
    assert not cohort.faults, cohort.faults
    assert {case.ct.files[0].path.split("/")[0] for case in cohort.cases} == {"imagesTr"}
    (tmp_path / "imagesTs/leg_100_0000.nii.gz").write_bytes(b"")
    assert [fault.exit_code for fault in check(tmp_path).faults] == [ExitCode.INTEGRITY]


def test_a_test_image_that_is_a_training_case_is_refused_with_both_names_IN_23(tmp_path):
    write_nnunet(tmp_path, test_images=1)
    shutil.copy(tmp_path / "imagesTr/leg_001_0000.nii.gz", tmp_path / "imagesTs/leg_007_0000.nii.gz")
    (fault,) = check(tmp_path).faults
    assert_one_line_refusal((fault,), "IN-23", "imagesTs/leg_007_0000.nii.gz", "imagesTr/leg_001_0000.nii.gz")


def test_several_labels_without_a_choice_are_refused_once_for_all_cases_IN_22(tmp_path):
    write_nnunet(tmp_path)
    faults = check(tmp_path, structures=StructureNames()).faults
    assert_one_line_refusal(faults, "IN-22", "`cohort.structures.left: [femur_left]`", "dataset.json")


def test_an_image_without_label_and_a_label_without_image_are_named_IN_05_IN_22(tmp_path):
    write_nnunet(tmp_path, cases=3)
    (tmp_path / "labelsTr/leg_001.nii.gz").unlink()
    (tmp_path / "imagesTr/leg_002_0000.nii.gz").unlink()
    no_label, no_image = check(tmp_path).faults
    assert_one_line_refusal((no_label,), "IN-22", "leg_001_0000.nii.gz", "has no label file")
    assert_one_line_refusal((no_image,), "IN-05", "labelsTr/leg_002.nii.gz", "no imagesTr/leg_002_0000.nii.gz")


@pytest.mark.parametrize("name", ["leg_000.nii.gz", "leg_00.nii.gz", "leg_000_0000.nii", "notes.txt"])
def test_a_file_that_is_no_image_by_its_name_is_refused_IN_05(tmp_path, name):
    write_nnunet(tmp_path, numTraining=None)
    write_nifti(tmp_path / "x.nii", two_femora_hu(9))
    (tmp_path / "x.nii").rename(tmp_path / "imagesTr" / name)
    faults = check(tmp_path).faults
    assert_one_line_refusal(faults, "IN-05", f"imagesTr/{name}", "is not named <case>_0000.nii.gz")


def test_a_second_channel_is_refused_IN_12(tmp_path):
    write_nnunet(tmp_path)
    shutil.copy(tmp_path / "imagesTr/leg_000_0000.nii.gz", tmp_path / "imagesTr/leg_000_0001.nii.gz")
    assert_one_line_refusal(check(tmp_path).faults, "IN-12", "leg_000_0000.nii.gz, leg_000_0001.nii.gz", "CT has one")


def test_hidden_files_of_other_systems_are_passed_over(tmp_path):
    write_nnunet(tmp_path)
    (tmp_path / "imagesTr/._leg_000_0000.nii.gz").write_bytes(b"Mac OS X")
    assert len(check(tmp_path).cases) == 2


def test_voxels_that_nobody_annotated_are_refused_IN_22(tmp_path):
    write_nnunet(tmp_path, cases=1, labels=NNUNET["labels"] | {"ignore": 3})
    assert not check(tmp_path).faults
    unknown = BOTH.copy()
    unknown[0, 0, 0] = 3
    write_nifti(tmp_path / "labelsTr/leg_000.nii.gz", unknown)
    assert_one_line_refusal(check(tmp_path).faults, "IN-22", "holds 0, 1, 2, 3")


def test_regions_need_the_values_said_IN_12(tmp_path):
    write_nnunet(tmp_path, labels={"background": 0, "femora": [1, 2], "femur_right": 2})
    assert_one_line_refusal(check(tmp_path).faults, "IN-12", "labels: femora are regions", "cohort.labels")
    cohort = check(tmp_path, structures=StructureNames(), labels=LabelMap(femur=(1, 2)))
    assert len(cohort.cases) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"channel_names": {"0": "T2"}}, "channel_names: the images are 'T2'"),
        ({"channel_names": {"0": "CT", "1": "PET"}}, "channel_names: 2 channels (CT, PET)"),
        ({"channel_names": ["CT"]}, 'channel_names: expected the images\' channels, {"0": "CT"}, got ["CT"]'),
        ({"channel_names": None}, "channel_names: expected"),
        ({"labels": {"femur": "1"}}, "labels: expected names with their values"),
        ({"labels": None}, "labels: expected"),
        ({"file_ending": ".png"}, "file_ending: expected one of"),
        ({"file_ending": ["x"]}, "file_ending: expected one of"),
        ({"numTraining": "two"}, "numTraining: expected"),
        ({"numTraining": 3}, "numTraining: says 3, imagesTr holds 2 cases"),
        ({"dataset": {}}, "dataset: lists the files"),
    ],
)
def test_a_wrong_key_of_dataset_json_is_named_IN_12(tmp_path, changes, says):
    write_nnunet(tmp_path, **changes)
    assert_one_line_refusal(refused(tmp_path), "IN-12", "dataset.json", says)


@pytest.mark.parametrize(
    ("content", "fault_id", "says"),
    [
        (b"{", "IN-12", "is no readable JSON"),
        (b"[]", "IN-12", "holds a list"),
        (b'{"labels": {}, "labels": {}}', "IN-12", "key 'labels' stands there twice"),
        (b"[" * 100_000, "IN-12", "is no readable JSON"),
        (b"\xff\xfe\x00\x00", "IN-12", "is no readable JSON"),
        (b" " * (5 << 20), "IN-24", "is larger than"),
    ],
    ids=["cut", "list", "twins", "deep", "bytes", "IN-24 large"],
)
def test_a_dataset_json_that_is_none_is_refused_in_one_line(tmp_path, content, fault_id, says):
    write_nnunet(tmp_path)
    (tmp_path / "dataset.json").write_bytes(content)
    assert detected_source(tmp_path) == "nnunet"
    code = ExitCode.RESOURCE if fault_id == "IN-24" else ExitCode.INPUT_REFUSED
    assert_one_line_refusal(refused(tmp_path), fault_id, says, exit_code=code)


def test_a_folder_without_dataset_json_is_refused_IN_05(tmp_path):
    assert_one_line_refusal(refused(tmp_path), "IN-05", "holds no dataset.json")
