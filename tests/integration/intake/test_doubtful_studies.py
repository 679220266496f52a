"""Studies whose headers agree and whose pixels do not: one odd slice, a mask from elsewhere, the wrong leg."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from study_maker import assert_one_line_refusal, ct_hu, ct_slices, femur_mask, slices, write_dicom_study, write_series

from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort


def check(folder: Path, **settings: object) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source="dicom", **settings), id_key=b"key")  # type: ignore[arg-type]


def remarks(folder: Path, **settings: object) -> tuple[str, ...]:
    cohort = check(folder, **settings)
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    return cohort.cases[0].remarks


@pytest.mark.parametrize(
    ("slope", "intercept", "jump"),
    [(1, 0, "by 102"), (1, -2048, "by 102"), (1.5, -1024, "by 53"), (0.1, -1024, "by 95")],
    ids=lambda value: f"IN-10 {value}",
)
def test_a_slice_whose_own_rescaling_breaks_tissue_off_is_refused_by_name_IN_10(tmp_path, slope, intercept, jump):
    def rescale_one(datasets: list[Dataset]) -> None:
        datasets[5].RescaleSlope, datasets[5].RescaleIntercept = slope, intercept

    study = write_dicom_study(tmp_path / "study", ct=rescale_one)
    line = f"rescales by slope {slope:g} and intercept {intercept:g}, slice-004.dcm beside it by 1 and -1024"
    assert_one_line_refusal(check(tmp_path).faults, "IN-10", str(study / "ct" / "slice-005.dcm"), line, jump)


def test_rescalings_that_differ_and_fit_are_remarked_IN_10(tmp_path):
    def store_otherwise(datasets: list[Dataset]) -> None:
        for one in datasets[7:]:
            stored = np.frombuffer(one.PixelData, "<u2") + 1000
            one.PixelData, one.RescaleIntercept = stored.astype("<u2").tobytes(), -2024

    write_dicom_study(tmp_path / "study", ct=store_otherwise)
    assert remarks(tmp_path) == ("IN-10: 2 different rescalings to Hounsfield units, applied slice by slice",)


def test_a_mask_of_another_frame_is_taken_if_chosen_and_recorded_by_hashes_IN_06(tmp_path):
    def reframe(datasets: list[Dataset]) -> None:
        for one in datasets:
            one.FrameOfReferenceUID = "1.2.3.999"

    write_dicom_study(tmp_path / "study", mask=reframe)
    assert_one_line_refusal(check(tmp_path).faults, "IN-06", "FrameOfReferenceUID", "cohort.accept_frame")
    (remark,) = remarks(tmp_path, accept_frame=True)
    assert remark.startswith("IN-06: mask taken by cohort.accept_frame")
    assert "1.2.3.999" not in remark


def test_accepting_another_frame_accepts_no_other_patient_and_no_other_grid_IN_06_IN_20(tmp_path):
    def move(datasets: list[Dataset]) -> None:
        for one in datasets:
            one.FrameOfReferenceUID = "1.2.3.999"
            x, y, z = one.ImagePositionPatient
            one.ImagePositionPatient = [x + 3, y, z]

    write_dicom_study(tmp_path / "study", mask=move)
    assert [fault.id for fault in check(tmp_path, accept_frame=True).faults] == ["IN-20"]

    def of_another(datasets: list[Dataset]) -> None:
        for one in datasets:
            one.PatientID = "SECRET-99"

    write_dicom_study(tmp_path / "other" / "study", mask=of_another)
    assert [fault.id for fault in check(tmp_path / "other", accept_frame=True).faults] == ["IN-06"]


def uncounted(datasets: list[Dataset]) -> None:
    for one in datasets:
        del one.ImagesInAcquisition


def lose_the_last(datasets: list[Dataset]) -> None:
    del datasets[-1]
    uncounted(datasets)


def test_a_mask_that_goes_on_where_the_ct_ends_tells_of_lost_slices_IN_03(tmp_path):
    study = write_dicom_study(tmp_path / "study", ct=lose_the_last)
    assert_one_line_refusal(
        check(tmp_path).faults, "IN-03", str(study / "mask"), "has 14 slices, its CT 13", "1 after its last slice"
    )


def test_a_femur_at_the_end_of_an_uncounted_stack_is_remarked_IN_03(tmp_path):
    whole = femur_mask()
    whole[12:, 8:14, 5:12] = True
    frame = generate_uid()
    ct = ct_slices(ct_hu(whole), frame=frame)
    uncounted(ct)
    write_series(tmp_path / "study" / "ct", ct)
    write_series(tmp_path / "study" / "mask", slices(whole.astype(np.uint16), intercept=0.0, frame=frame))
    assert "IN-03: the femur reaches the CT's superior end, where slices may be missing" in remarks(tmp_path)


def write_one_of_two_legs(folder: Path, laterality: str) -> None:
    """A body of two legs, 260 mm wide, with the femur mask on the patient's left."""
    hu = np.concatenate([ct_hu(np.zeros_like(femur_mask())), np.full((14, 24, 52), 40, np.int16), ct_hu()], axis=2)
    mask = np.concatenate([np.zeros((14, 24, 78), bool), femur_mask()], axis=2)
    frame = generate_uid()
    ct, femur = ct_slices(hu, frame=frame), slices(mask.astype(np.uint16), intercept=0.0, frame=frame)
    for one in ct:
        one.Laterality = laterality
    write_series(folder / "ct", ct)
    write_series(folder / "mask", femur)


@pytest.mark.parametrize("laterality", ["L", ""])
def test_a_femur_on_its_own_side_raises_no_doubt_IN_21(tmp_path, laterality):
    write_one_of_two_legs(tmp_path / "study", laterality)
    assert remarks(tmp_path, femur="left") == ()
    assert remarks(tmp_path, femur="left", labels=LabelMap(left=(1,))) == ()


def test_a_header_or_label_that_contradicts_the_place_is_a_left_right_doubt_IN_21(tmp_path):
    write_one_of_two_legs(tmp_path / "study", "R")
    doubt = "IN-21: left/right doubt: {} says right, yet the femur lies on the left of the body's middle"
    assert remarks(tmp_path) == (doubt.format("Laterality (0020,0060)"),)
    assert remarks(tmp_path, femur="right", labels=LabelMap(right=(1,))) == (
        doubt.format("Laterality (0020,0060)"),
        doubt.format("the mask's value"),
    )
