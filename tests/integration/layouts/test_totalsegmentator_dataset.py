"""TotalSegmentator's layout: one file per structure."""

import os

import numpy as np
import pytest
import SimpleITK as sitk
from layout_maker import LEFT, RIGHT, two_femora_hu, write_totalsegmentator_study
from study_maker import SHAPE_ZYX, affine_ras, assert_one_line_refusal, write_nifti

from femseg.cohorts.case import Case
from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings, StructureNames
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort
from femseg.layouts.detect import detected_source


def check(folder, **settings: object) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source="totalsegmentator", **settings), id_key=b"key")


def only_case(folder, **settings: object) -> Case:
    cohort = check(folder, **settings)
    assert not cohort.faults, cohort.faults
    (case,) = cohort.cases
    return case


@pytest.mark.parametrize(("femur", "expected"), [("all", LEFT | RIGHT), ("left", LEFT), ("right", RIGHT)])
def test_a_left_and_a_right_file_make_one_mask_voxel_by_voxel(tmp_path, femur, expected):
    write_totalsegmentator_study(tmp_path / "s0001")
    (tmp_path / "meta.csv").write_text("﻿image_id;age;gender;institute;split\ns0001;71.0;f;A;train\n", "utf-8")
    assert detected_source(tmp_path) == "totalsegmentator"
    case = only_case(tmp_path, femur=femur)
    np.testing.assert_array_equal(read_case_ct(case, tmp_path).hu_zyx, two_femora_hu())
    np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, expected)
    assert (case.facts.sex, case.facts.age_years) == ("F", 71)
    assert case.facts.side == ("both" if femur == "all" else femur)


def test_a_study_by_itself_is_understood_too(tmp_path):
    write_totalsegmentator_study(tmp_path)
    assert detected_source(tmp_path) == "totalsegmentator"
    assert only_case(tmp_path).facts.side == "both"


def test_a_missing_file_of_one_side_is_remarked_and_the_other_side_is_known_IN_22(tmp_path):
    write_totalsegmentator_study(tmp_path / "s0001", femur_left=None)
    case = only_case(tmp_path)
    assert "IN-22: no file of the left femur (femur_left)" in case.remarks
    assert case.facts.side == "right"
    np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, RIGHT)


def test_an_empty_file_of_a_femur_outside_the_field_of_view_is_normal(tmp_path):
    write_totalsegmentator_study(tmp_path / "s0001", femur_right=np.zeros(SHAPE_ZYX))
    case = only_case(tmp_path)
    assert case.facts.side == "left"
    np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, LEFT)


@pytest.mark.parametrize(
    ("left", "says"), [(None, "no voxel of the left femur"), (np.zeros(SHAPE_ZYX), "no voxel of the left")]
)
def test_a_wanted_side_that_is_not_there_is_refused_and_never_replaced_by_the_other_IN_22(tmp_path, left, says):
    write_totalsegmentator_study(tmp_path / "s0001", femur_left=left)
    assert_one_line_refusal(check(tmp_path, femur="left").faults, "IN-22", says)


def test_other_structures_can_be_chosen_by_their_file_names(tmp_path):
    write_totalsegmentator_study(tmp_path / "s0001", thigh=RIGHT)
    case = only_case(tmp_path, structures=StructureNames(femur=("Thigh",)))
    assert [file.path for file in case.mask.files] == ["s0001/segmentations/thigh.nii.gz"]


@pytest.mark.parametrize("meta", [b"", b"\xff\xfe\x00", b"a;b\n1;2\n", b"image_id;age;gender\ns0001;old;x\n"])
def test_a_meta_csv_that_says_nothing_of_use_is_left_alone(tmp_path, meta):
    write_totalsegmentator_study(tmp_path / "s0001")
    (tmp_path / "meta.csv").write_bytes(meta)
    facts = only_case(tmp_path).facts
    assert (facts.sex, facts.age_years) == (None, None)


@pytest.mark.parametrize(
    ("structures", "fault_id", "says"),
    [
        pytest.param(
            {"femur_left": LEFT | RIGHT},
            "IN-22",
            "420 of its voxels are set in femur_left.nii.gz too",
            id="overlap IN-22",
        ),
        pytest.param({"femur_left": LEFT * 255}, "IN-22", "360 voxels are neither 0 nor 1", id="255 IN-22"),
        pytest.param(
            {"femur_left": np.zeros(SHAPE_ZYX), "femur_right": np.zeros(SHAPE_ZYX)},
            "IN-22",
            "is empty",
            id="empty IN-22",
        ),
        pytest.param(
            {"femur_left": None, "femur_right": None},
            "IN-22",
            'holds none of the structures chosen: "hip_left"',
            id="no femur file IN-22",
        ),
        pytest.param({"femur_left": RIGHT, "femur_right": LEFT}, "IN-21", "left femur lies", id="swapped IN-21"),
    ],
)
def test_masks_that_cannot_be_right_are_refused(tmp_path, structures, fault_id, says):
    write_totalsegmentator_study(tmp_path / "s0001", **structures)
    assert_one_line_refusal(check(tmp_path).faults, fault_id, says, "s0001/segmentations")


def test_files_of_one_mask_on_two_grids_are_refused_IN_20(tmp_path):
    study = write_totalsegmentator_study(tmp_path / "s0001")
    moved = affine_ras()
    moved[0, 3] += 3.0
    write_nifti(study / "segmentations/femur_right.nii.gz", RIGHT.astype(np.uint8), moved)
    faults = check(tmp_path).faults
    assert_one_line_refusal(faults, "IN-20", "another grid than femur_left.nii.gz", "3 mm apart")


def test_a_study_without_a_ct_is_refused_IN_05(tmp_path):
    (write_totalsegmentator_study(tmp_path / "s0001") / "ct.nii.gz").unlink()
    assert_one_line_refusal(check(tmp_path).faults, "IN-05", "holds no ct.nii.gz")


@pytest.mark.timeout(60)
def test_a_pipe_in_the_place_of_meta_csv_is_not_waited_for_IN_26(tmp_path):
    write_totalsegmentator_study(tmp_path / "s0001")
    os.mkfifo(tmp_path / "meta.csv")
    assert only_case(tmp_path).facts.sex is None


@pytest.mark.parametrize(
    ("name", "twin", "says"),
    [
        ("ct.nii.gz", "ct.nrrd", "2 files that may be the CT: ct.nii.gz; ct.nrrd"),
        (
            "segmentations/femur_left.nii.gz",
            "segmentations/femur_left.nrrd",
            "2 files of one structure: femur_left.nii.gz; femur_left.nrrd",
        ),
        (
            "segmentations/femur_left.nii.gz",
            "segmentations/Femur_Left.nii.gz",
            "2 files of one structure: Femur_Left.nii.gz; femur_left.nii.gz",
        ),
    ],
)
def test_of_two_files_for_one_thing_none_is_taken_IN_05(tmp_path, name, twin, says):
    write_totalsegmentator_study(tmp_path / "s0001")
    image = sitk.ReadImage(str(tmp_path / "s0001" / name))
    sitk.WriteImage(image, str(tmp_path / "s0001" / twin))
    assert_one_line_refusal(check(tmp_path).faults, "IN-05", "s0001", says)


def test_two_files_of_a_structure_that_nobody_wants_are_left_alone(tmp_path):
    folder = write_totalsegmentator_study(tmp_path / "s0001", hip_left=LEFT) or tmp_path / "s0001"
    (folder / "segmentations/hip_left.nrrd").write_bytes(b"")
    assert only_case(tmp_path).facts.side == "both"
