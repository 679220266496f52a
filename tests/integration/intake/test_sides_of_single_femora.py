"""A cohort of one leg each: the bone's shape tells the side where no header does, and speaks up where one is wrong."""

import pytest
import SimpleITK as sitk

from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.intake.check import check_cohort
from femseg.phantom import PhantomSettings, phantom_study


@pytest.fixture(scope="module", params=[3, 4], ids=["right", "left"])
def leg(request, tmp_path_factory):
    """A study of NIfTI files, whose header names no side, and its side."""
    study = phantom_study(PhantomSettings(spacing_mm_zyx=(4.0, 2.5, 2.5), cut_off_fraction=0.0), request.param)
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "study").mkdir()
    grid = study.ct.grid
    sitk.WriteImage(grid.image(study.ct.hu_zyx), str(folder / "study/ct.nii.gz"))
    sitk.WriteImage(grid.image(study.femur.femur_zyx.astype("uint8")), str(folder / "study/mask.nii.gz"))
    return folder, study.facts.side


def checked(folder, **settings):
    return check_cohort(folder, CohortSettings(source="volumes", folder=str(folder), **settings), id_key=b"key" * 12)


def test_the_side_is_told_by_the_bone_s_shape(leg):
    folder, side = leg
    (case,) = checked(folder).cases
    assert case.facts.side == side
    assert not [remark for remark in case.remarks if remark.startswith("IN-21")]
    assert checked(folder, femur=side).faults == ()


def test_the_other_side_is_not_taken_for_the_wanted_one_IN_22(leg):
    folder, side = leg
    other = {"left": "right", "right": "left"}[side]
    (fault,) = checked(folder, femur=other).faults
    assert fault.id == "IN-22"
    assert f"shows a {side} femur alone; cohort.femur asks for the {other} one" in fault.problem


def test_a_label_that_the_bone_contradicts_is_a_doubt_IN_21(leg):
    folder, side = leg
    other = {"left": "right", "right": "left"}[side]
    (case,) = checked(folder, labels=LabelMap(**{other: (1,)})).cases
    doubts = [remark for remark in case.remarks if remark.startswith("IN-21")]
    assert doubts == [
        f"IN-21: left/right doubt: the mask's value says {other}, yet the femur is {side} by its {who}"
        for who in ("head", "condyles")
    ]
