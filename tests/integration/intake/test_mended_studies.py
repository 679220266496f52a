"""Tilted and unevenly spaced studies: refused with the option to choose, mended alike at every reading once chosen."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from study_maker import (
    SHAPE_ZYX,
    SPACING_ZYX,
    assert_one_line_refusal,
    ct_hu,
    ct_slices,
    femur_mask,
    slices,
    write_dicom_study,
    write_series,
)

from femseg.cohorts.manifest import Manifest, read_case_ct, read_case_mask, read_manifest, write_manifest
from femseg.cohorts.settings import CohortSettings
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort
from femseg.intake.single_ct import inspect_study

SHEAR = float(np.tan(np.radians(15.0)))


def check(folder: Path, **settings: object) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source="dicom", **settings), id_key=b"key")  # type: ignore[arg-type]


def move(dataset: Dataset, *offset_mm: float) -> None:
    dataset.ImagePositionPatient = [a + b for a, b in zip(dataset.ImagePositionPatient, offset_mm, strict=True)]


def tilt(datasets: list[Dataset]) -> None:
    for k, dataset in enumerate(datasets):
        move(dataset, 0, k * SPACING_ZYX[0] * SHEAR, 0)


def lift_one(datasets: list[Dataset]) -> None:
    move(datasets[5], 0, 0, 1.0)


def write_fine_study(folder: Path) -> np.ndarray:
    """28 slices 2 mm apart, one of the CT's lost on the way, though ImagesInAcquisition knows of it; the CT's HU."""
    hu = ct_hu(np.repeat(femur_mask(), 2, axis=0))
    frame = generate_uid()
    ct, mask = ct_slices(hu, frame=frame), slices(np.repeat(femur_mask(), 2, axis=0), intercept=0.0, frame=frame)
    for datasets in (ct, mask):
        for k, dataset in enumerate(datasets):
            move(dataset, 0, 0, -2.0 * k)
    del ct[6]
    write_series(folder / "ct", ct)
    write_series(folder / "mask", mask)
    return np.maximum(hu, -1024).astype(np.float32)


def both(datasets: list[Dataset]) -> None:
    tilt(datasets)
    lift_one(datasets)


def lose_one(datasets: list[Dataset]) -> None:
    del datasets[6]
    for dataset in datasets:
        dataset.ImagesInAcquisition = len(datasets)


def test_gantry_tilt_is_refused_with_the_option_and_mended_when_it_is_chosen_IN_09(tmp_path):
    study = write_dicom_study(tmp_path / "study", ct=tilt, mask=tilt)
    for fault in check(tmp_path, regularise=True).faults:
        assert_one_line_refusal((fault,), "IN-09", "15.0°", "13.9 mm sideways", "--untilt (cohort.untilt)")
    cohort = check(tmp_path, untilt=True)
    assert not cohort.faults
    (case,) = cohort.cases
    assert case.ct.mends == case.mask.mends == ("untilt",)
    assert case.remarks == (
        "IN-09: untilted by 15.0°, slices shifted by up to 13.9 mm",
        "IN-09: 24 × 26 pixels a slice made 29 × 26, outside is -1000 HU",
        "IN-09: 24 × 26 pixels a slice made 29 × 26, outside is 0 (mask)",
    )
    ct, mask = read_case_ct(case, tmp_path), read_case_mask(case, tmp_path)
    assert ct.grid == mask.grid == case.grid
    assert ct.grid.direction_xyz == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    for z in range(SHAPE_ZYX[0]):  # each slice lies where its header says, to half a pixel and its interpolation
        rows = np.flatnonzero(mask.femur_zyx[z].any(axis=1))
        if rows.size:
            assert abs(rows[0] - (8 + z * SPACING_ZYX[0] * SHEAR / SPACING_ZYX[1])) <= 0.5
    assert mask.femur_zyx.sum() == pytest.approx(femur_mask().sum(), rel=0.02)
    np.testing.assert_array_equal(ct.hu_zyx[0, :24], np.maximum(ct_hu()[0], -1024))
    assert (ct.hu_zyx[0, 24:] == -1000).all()
    again = inspect_study(study / "ct", id_key=b"key", mends=("untilt",))[1]
    np.testing.assert_array_equal(again.hu_zyx, ct.hu_zyx)
    write_manifest(Manifest(root=str(tmp_path), cases=cohort.cases), tmp_path / "manifest.json")
    assert read_manifest(tmp_path / "manifest.json").cases == cohort.cases


def test_a_slice_out_of_step_is_mended_when_chosen_and_the_others_stay_as_measured_IN_02(tmp_path):
    write_dicom_study(tmp_path / "study", ct=lift_one, mask=lift_one)
    for fault in check(tmp_path, untilt=True).faults:
        assert_one_line_refusal((fault,), "IN-02", "3 to 5 mm", "--regularise (cohort.regularise)")
    cohort = check(tmp_path, regularise=True)
    assert not cohort.faults
    (case,) = cohort.cases
    assert case.ct.mends == ("regularise",)
    assert case.remarks == ("IN-02: regularised: 14 slices 3 to 5 mm apart made 14 at an even 4 mm",)
    hu = read_case_ct(case, tmp_path).hu_zyx
    truth = np.maximum(ct_hu(), -1024)
    others = [z for z in range(14) if z != 5]
    np.testing.assert_array_equal(hu[others], truth[others])
    np.testing.assert_allclose(hu[5], 0.8 * truth[5] + 0.2 * truth[4], atol=1e-3)


def test_a_short_gap_is_bridged_when_chosen_and_counted_as_there_IN_01(tmp_path):
    truth = write_fine_study(tmp_path / "study")
    refused = check(tmp_path).faults
    assert [fault.id for fault in refused] == ["IN-01", "IN-03"]
    assert_one_line_refusal(refused[:1], "IN-01", "send the whole series again", "--regularise (cohort.regularise)")
    case, ct = inspect_study(tmp_path / "study" / "ct", id_key=b"key", mends=("regularise",))
    assert case.remarks[0] == (
        "IN-01: 1 slice(s) missing, interpolated over 4.00 mm between slice-005.dcm and slice-006.dcm"
    )
    assert ct.grid.shape_zyx == truth.shape
    np.testing.assert_array_equal(np.delete(ct.hu_zyx, 6, axis=0), np.delete(truth, 6, axis=0))
    np.testing.assert_allclose(ct.hu_zyx[6], (truth[5] + truth[7]) / 2, atol=1e-3)
    paired = check(tmp_path, regularise=True)  # the mask, whole, lies on the mended grid
    assert not paired.faults
    np.testing.assert_array_equal(
        read_case_mask(paired.cases[0], tmp_path).femur_zyx, np.repeat(femur_mask(), 2, axis=0)
    )


def test_a_gap_too_wide_for_the_anatomy_stays_refused_whatever_is_chosen_IN_01(tmp_path):
    write_dicom_study(tmp_path / "study", ct=lose_one)
    faults = [fault for fault in check(tmp_path, regularise=True, untilt=True).faults if fault.id != "IN-20"]
    assert_one_line_refusal(tuple(faults), "IN-01", "8.00 mm", "bridges up to 5 mm")


def test_a_tilted_and_uneven_study_needs_both_mends_and_shows_both_faults_IN_09_IN_02(tmp_path):
    write_dicom_study(tmp_path / "study", ct=both, mask=both)
    assert {fault.id for fault in check(tmp_path).faults} == {"IN-09", "IN-02"}
    assert {fault.id for fault in check(tmp_path, untilt=True).faults} == {"IN-02"}
    cohort = check(tmp_path, untilt=True, regularise=True)
    assert not cohort.faults
    assert cohort.cases[0].ct.mends == ("untilt", "regularise")
    assert [remark.split(":")[0] for remark in cohort.cases[0].remarks] == ["IN-09", "IN-02", "IN-09", "IN-09"]


def test_air_that_untilting_adds_does_not_vouch_for_the_scanners_own_IN_11(tmp_path):
    def air_at_minus_800(datasets: list[Dataset]) -> None:
        for k, dataset in enumerate(datasets):
            dataset.RescaleIntercept = -824
            move(dataset, 0, k * SPACING_ZYX[0] * 0.6, 0)  # 31 degrees: a third of the voxels is new

    def tilt_likewise(datasets: list[Dataset]) -> None:
        for k, dataset in enumerate(datasets):
            move(dataset, 0, k * SPACING_ZYX[0] * 0.6, 0)

    write_dicom_study(tmp_path / "study", ct=air_at_minus_800, mask=tilt_likewise)
    assert_one_line_refusal(check(tmp_path, untilt=True).faults, "IN-11", "air lies at -790 HU")


def test_mends_chosen_for_a_sound_study_change_nothing(tmp_path):
    write_dicom_study(tmp_path / "study")
    plain, chosen = check(tmp_path), check(tmp_path, untilt=True, regularise=True)
    assert chosen.cases == plain.cases
    assert chosen.cases[0].ct.mends == ()


def test_a_mask_drawn_on_the_untilted_slices_is_refused_on_the_tilted_ct_IN_20(tmp_path):
    write_dicom_study(tmp_path / "study", ct=tilt)
    assert_one_line_refusal(check(tmp_path, untilt=True).faults, "IN-20", "size (14, 24, 26), CT (14, 29, 26)")


def turned_on_its_side(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0.64, 0.768]


def test_an_orientation_that_contradicts_the_positions_is_no_tilt_to_mend_IN_09(tmp_path):
    write_dicom_study(tmp_path / "study", ct=turned_on_its_side)
    faults = [fault for fault in check(tmp_path, untilt=True).faults if fault.file.endswith("ct")]
    assert_one_line_refusal(tuple(faults[:1]), "IN-09", "50.2°", "beyond 35° is not mended")
