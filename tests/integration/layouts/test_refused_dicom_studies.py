"""What settles a refused DICOM study, and how several faults come together; each fault alone is in the catalogue."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from specimens.catalogue import BY_KIND
from specimens.dicom_change import all_with, without
from specimens.dicom_geometry import without_middle
from study_maker import assert_one_line_refusal, ct_slices, femur_mask, write_dicom_study, write_nifti, write_series

from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort


def check(folder: Path, **settings: object) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source="dicom", **settings), id_key=b"key")  # type: ignore[arg-type]


def test_several_series_are_shown_in_a_table_and_one_can_be_chosen_IN_05(tmp_path):
    study = write_dicom_study(tmp_path / "study", mask=all_with("FrameOfReferenceUID", ""))
    second = ct_slices()
    for dataset in second:
        dataset.SeriesDescription, dataset.ImagesInAcquisition = "Sharp kernel", 14
    write_series(study / "second", second)
    faults = check(tmp_path).faults
    uid = str(second[0].SeriesInstanceUID)
    assert_one_line_refusal(
        faults, "IN-05", str(study), "2 CT series", uid, "Sharp kernel, 14 images, 4 mm", "--series"
    )
    chosen = check(tmp_path, series=(uid,))
    assert not chosen.faults
    assert all(file.path.startswith("study/second/") for file in chosen.cases[0].ct.files)


@pytest.mark.parametrize("tag", ["PatientID", "FrameOfReferenceUID"])
def test_a_mask_of_another_patient_or_frame_on_an_equal_grid_is_refused_by_hashed_ids_IN_06(tmp_path, tag):
    study = write_dicom_study(tmp_path / "study", mask=all_with(tag, "1.2.3.999"))
    (fault,) = check(tmp_path).faults
    assert_one_line_refusal((fault,), "IN-06", str(study / "mask"), f"its {tag} is", "(hashed)")
    assert not {"1.2.3.999", "PATIENT-7"} & set(str(fault).replace(",", " ").split())


@pytest.mark.parametrize("tag", ["PatientID", "FrameOfReferenceUID"])
def test_a_mask_that_leaves_out_whose_it_is_is_taken_IN_06(tmp_path, tag):
    write_dicom_study(tmp_path / "study", mask=all_with(tag, ""))
    assert not check(tmp_path).faults


def test_unexplained_mask_values_are_listed_and_a_label_map_explains_them_IN_22(tmp_path):
    values = femur_mask().astype(np.uint16) * 3
    values[12, 20, 20] = 7
    write_dicom_study(tmp_path / "study", mask_zyx=values)
    assert_one_line_refusal(check(tmp_path).faults, "IN-22", "holds 0, 3, 7", "cohort.labels")
    partly = check(tmp_path, labels=LabelMap(femur=(3,)))
    assert_one_line_refusal(partly.faults, "IN-22", "0, 3, 7", "explains [3]")
    cohort = check(tmp_path, labels=LabelMap(femur=(3,), other=(7,)))
    assert not cohort.faults
    assert cohort.cases[0].mask.labels == (3,)


def test_a_study_without_mask_is_refused_for_training_alone_IN_22(tmp_path):
    study = tmp_path / "study"
    write_series(study, ct_slices())
    assert_one_line_refusal(check(tmp_path).faults, "IN-22", str(study), "has no mask")
    cohort = check_cohort(tmp_path, CohortSettings(source="dicom"), id_key=b"key", masks="ignored")
    assert cohort.cases[0].mask is None


def test_a_study_with_two_masks_is_refused_and_the_wanted_one_can_be_named_IN_05(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    write_nifti(study / "label.nii.gz", femur_mask().astype(np.uint8))
    assert_one_line_refusal(check(tmp_path).faults, "IN-05", "2 masks", "label.nii.gz", "cohort.mask")
    named = check(tmp_path, mask="label.nii.gz")
    assert not named.faults
    assert named.cases[0].mask.kind == "volume"


def test_ct_and_mask_faults_of_one_study_come_together(tmp_path):
    write_dicom_study(tmp_path / "study", ct=without("RescaleSlope"), mask=without_middle)
    assert [fault.id for fault in check(tmp_path).faults] == ["IN-10", "IN-01"]


def test_good_studies_beside_bad_ones_stay_usable_and_the_cohort_is_refused_with_all_faults_IN_27(tmp_path):
    BY_KIND["seven-bad-studies"].make(tmp_path)
    cohort = check_cohort(tmp_path, CohortSettings(source="volumes"), id_key=b"key")
    bad = {Path(fault.file).relative_to(tmp_path).parts[0] for fault in cohort.faults}
    assert bad == {f"study-{number:02d}" for number in (3, 8, 13, 18, 23, 28, 33)}
    assert len(cohort.cases) == 33
    with pytest.raises(Refusal) as refusal:
        cohort.refuse_faults()
    assert refusal.value.faults == cohort.faults
    assert refusal.value.exit_code == ExitCode.INTEGRITY


def test_a_missing_folder_is_a_usage_error_and_an_empty_one_an_input_error(tmp_path):
    with pytest.raises(Refusal) as missing:
        check(tmp_path / "nowhere")
    assert missing.value.exit_code == ExitCode.USAGE
    with pytest.raises(Refusal) as empty:
        check(tmp_path)
    assert empty.value.exit_code == ExitCode.INPUT_REFUSED


def test_a_copy_of_a_slice_does_not_stand_for_a_missing_one_IN_03(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    (study / "ct" / "slice-013.dcm").unlink()
    shutil.copy(study / "ct" / "slice-003.dcm", study / "ct" / "copy.dcm")
    faults = tuple(fault for fault in check(tmp_path).faults if "/ct" in fault.file)
    assert_one_line_refusal(faults, "IN-03", str(study / "ct"), "has 13 slices", "says 14")


def test_a_localizer_leaves_it_open_whether_a_slice_is_missing_IN_03(tmp_path):
    BY_KIND["scout-in-series"].make(tmp_path)
    assert not check(tmp_path).faults
    for path in (tmp_path / "study" / "ct").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.ImagesInAcquisition = 15
        dataset.save_as(path)
    (case,) = check(tmp_path).cases
    assert any("perhaps with the localizer" in remark for remark in case.remarks)


def test_a_mask_of_something_else_alone_is_no_femur_of_the_wanted_side_IN_22(tmp_path):
    write_dicom_study(tmp_path / "study", mask_zyx=femur_mask().astype(np.uint16) * 2)
    faults = check(tmp_path, labels=LabelMap(left=(1,), other=(2,)), femur="right").faults
    assert_one_line_refusal(faults, "IN-22", "holds no voxel of the right femur")
