"""What other programs and file servers leave: lying suffixes, bare headers, bins, links, cropped masks."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from study_maker import (
    affine_ras,
    assert_one_line_refusal,
    ct_hu,
    ct_slices,
    femur_mask,
    write_dicom_study,
    write_nifti,
    write_series,
    write_volume_study,
)

from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort
from femseg.layouts.detect import detected_source


def checked(folder: Path) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source=detected_source(folder)), id_key=b"key")


def assert_the_base_study(folder: Path, remark: str = "") -> None:
    cohort = checked(folder)
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    (case,) = cohort.cases
    np.testing.assert_array_equal(read_case_ct(case, folder).hu_zyx, ct_hu())
    np.testing.assert_array_equal(read_case_mask(case, folder).femur_zyx, femur_mask())
    assert remark in " ".join(case.remarks)


@pytest.mark.parametrize("kept", ["meta information", "explicit", "implicit"])
@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_dicom_without_the_preamble_of_part_10_is_read_and_said_once_IN_12(tmp_path, kept, suffix):
    syntax = "1.2.840.10008.1.2" if kept == "implicit" else "1.2.840.10008.1.2.1"
    study = write_dicom_study(tmp_path / "study")
    shutil.rmtree(study / "ct")
    for path in write_series(study / "ct", ct_slices(frame=_frame_of(study)), syntax=syntax):
        content = path.read_bytes()
        meta = int.from_bytes(content[140:144], "little")
        path.unlink()
        path.with_suffix(suffix).write_bytes(content[132:] if kept == "meta information" else content[144 + meta :])
    assert_the_base_study(tmp_path, "IN-12: 14 of 14 files have no DICOM preamble (PS3.10); read all the same")


def _frame_of(study: Path) -> str:
    import pydicom

    return str(pydicom.dcmread(next((study / "mask").iterdir())).FrameOfReferenceUID)


def test_a_text_that_begins_like_an_element_is_no_dicom(tmp_path):
    study = write_volume_study(tmp_path / "study")
    (study / "notes").write_bytes(b"\x08\x00\x05\x00 and on it goes, a note of some two hundred letters" * 4)
    assert_the_base_study(tmp_path)


@pytest.mark.parametrize(
    ("written", "named", "says", "fix"),
    [
        ("ct.nii.gz", "ct.nii", "is packed", "name it .nii.gz"),
        ("ct.nii", "ct.nii.gz", "is not packed", "name it .nii"),
        ("ct.nii.gz", "ct.nrrd", "of another kind than its name says (nii)", "name it .nii"),
        ("ct.nii", "ct.mha", "of another kind than its name says (nii)", "name it .nii"),
    ],
)
def test_a_suffix_that_lies_is_said_with_the_right_one_IN_12(tmp_path, written, named, says, fix):
    study = write_volume_study(tmp_path / "study")
    (study / "ct.nii.gz").unlink()
    write_nifti(study / written, ct_hu()).rename(study / named)
    cohort = check_cohort(tmp_path, CohortSettings(source="volumes"), id_key=b"key")
    assert_one_line_refusal(cohort.faults, "IN-12", named, says, f"Fix: {fix}")


def test_a_broken_gzip_file_is_still_a_broken_gzip_file_IN_16(tmp_path):
    study = write_volume_study(tmp_path / "study")
    (study / "ct.nii.gz").write_bytes(gzip.compress(os.urandom(400))[:200])
    assert [fault.id for fault in checked(tmp_path).faults] == ["IN-16"]


SYSTEM = ["lost+found", "#recycle", "@Recycle", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "__MACOSX"]


@pytest.mark.parametrize("write", [write_volume_study, write_dicom_study], ids=["volumes", "dicom"])
def test_folders_of_the_system_are_no_studies_and_said_in_one_remark_IN_05(tmp_path, write):
    """A deleted study in a bin is no case, and neither are the thumbnails in a study's own folder."""
    for name in SYSTEM:
        (tmp_path / name).mkdir()
    write(tmp_path / "#recycle" / "deleted", seed=1)
    write(tmp_path / "study")
    write(tmp_path / "study" / "@eaDir" / "thumbnails", seed=2)
    assert_the_base_study(tmp_path)
    cohort = checked(tmp_path)
    (finding,) = cohort.findings
    assert finding.id == "IN-05"
    assert "folders of the system were left out: " + ", ".join(sorted(SYSTEM)) in finding.problem
    assert cohort.ignored == ()


def test_a_study_whose_folder_is_a_link_is_read_for_what_it_holds(tmp_path):
    write_dicom_study(tmp_path / "elsewhere" / "study")
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "study").symlink_to(tmp_path / "elsewhere" / "study")
    assert_the_base_study(tmp_path / "cohort")


def test_a_ct_behind_a_linked_folder_is_not_said_to_be_missing_IN_26(tmp_path):
    """The link is what is wrong; that there were no CT would be a guess."""
    write_dicom_study(tmp_path / "elsewhere")
    study = tmp_path / "cohort" / "study"
    write_nifti(study / "mask.nii.gz", femur_mask().astype(np.uint8))
    (study / "ct").symlink_to(tmp_path / "elsewhere" / "ct")
    assert_one_line_refusal(checked(tmp_path / "cohort").faults, "IN-26", str(study / "ct"), "is a link to a folder")


def test_masks_without_a_ct_name_what_else_lies_there_IN_05(tmp_path):
    study = tmp_path / "study"
    write_nifti(study / "mask.nii.gz", femur_mask().astype(np.uint8))
    (study / "scan.raw").write_bytes(os.urandom(64))
    says = "holds masks but no CT; 1 files are of no kind that is read (scan.raw …)"
    assert_one_line_refusal(checked(tmp_path).faults, "IN-05", str(study), says)


def cropped_affine(start_zyx: tuple[int, int, int]) -> np.ndarray:
    affine = affine_ras()
    affine[:3, 3] = (affine @ [*start_zyx[::-1], 1])[:3]
    return affine


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((slice(2, 12), slice(8, 14), slice(5, 12)), id="at its least extent"),
        pytest.param((slice(0, 14), slice(8, 24), slice(0, 12)), id="on three borders"),
    ],
)
def test_a_mask_that_was_cropped_is_placed_where_it_belongs_IN_20(tmp_path, box):
    """As 3D Slicer exports a segmentation: on the CT's lattice, cut to what it shows."""
    write_volume_study(tmp_path / "study")
    part = femur_mask()[box].astype(np.uint8)
    write_nifti(tmp_path / "study" / "mask.nii.gz", part, cropped_affine(tuple(side.start for side in box)))
    shape = " × ".join(map(str, part.shape))
    assert_the_base_study(tmp_path, f"IN-20: the mask holds {shape} of the CT's voxels alone")


@pytest.mark.parametrize(
    "start", [pytest.param((2, 8.3, 5), id="between the voxels"), pytest.param((6, 8, 5), id="beyond the CT")]
)
def test_a_cropped_mask_off_the_cts_lattice_is_refused_IN_20(tmp_path, start):
    write_volume_study(tmp_path / "study")
    part = femur_mask()[2:12, 8:14, 5:12].astype(np.uint8)
    write_nifti(tmp_path / "study" / "mask.nii.gz", part, cropped_affine(start))
    assert_one_line_refusal(checked(tmp_path).faults, "IN-20", "mask size (10, 6, 7), CT (14, 24, 26)")


def test_a_mask_of_whole_slices_that_lacks_some_is_not_cropped_and_refused_IN_20(tmp_path):
    write_volume_study(tmp_path / "study")
    write_nifti(tmp_path / "study" / "mask.nii.gz", femur_mask()[:13].astype(np.uint8))
    assert_one_line_refusal(checked(tmp_path).faults, "IN-20", "mask size (13, 24, 26), CT (14, 24, 26)")


def test_a_mask_in_another_unit_is_still_refused_by_its_spacing_IN_19(tmp_path):
    write_volume_study(tmp_path / "study")
    part, affine = femur_mask()[2:12, 8:14, 5:12].astype(np.uint8), cropped_affine((2, 8, 5))
    write_nifti(tmp_path / "study" / "mask.nii.gz", part, np.diag([0.001, 0.001, 0.001, 1]) @ affine)
    assert_one_line_refusal(checked(tmp_path).faults, "IN-19", "another unit?")


@pytest.mark.parametrize(
    ("unit", "says"), [("ED", "is ED, expected HU"), ("HU_MOD", "is HU_MOD"), ("Doe", "is of another unit")]
)
def test_a_ct_in_another_unit_than_hounsfields_is_refused_IN_10(tmp_path, unit, says):
    def in_unit(slices: list[Dataset]) -> None:
        for slice_ in slices:
            slice_.RescaleType = unit

    write_dicom_study(tmp_path / "study", ct=in_unit)
    assert_one_line_refusal(checked(tmp_path).faults, "IN-10", says, "(14 of 14 slices)")


def test_an_unspecified_unit_is_taken_for_hounsfields_with_a_remark_IN_10(tmp_path):
    def in_unit(slices: list[Dataset]) -> None:
        for slice_ in slices:
            slice_.RescaleType = "US"

    write_dicom_study(tmp_path / "study", ct=in_unit)
    assert_the_base_study(tmp_path, "IN-10: RescaleType (0028,1054) is US, unspecified")


@pytest.mark.parametrize(
    ("tag", "value", "fault_id", "says"),
    [
        (
            rb"3.0\2.5",
            rb"3,0\2,5",
            "IN-13",
            r"PixelSpacing (0028,0030) is '3,0\2,5', expected numbers with a decimal point",
        ),
        (b"-1024.0", b"-1024,0", "IN-10", "RescaleIntercept (0028,1052) is '-1024,0', expected a number"),
    ],
)
def test_numbers_with_a_decimal_comma_are_refused_and_shown(tmp_path, tag, value, fault_id, says):
    study = write_dicom_study(tmp_path / "study")
    for path in (study / "ct").iterdir():
        path.write_bytes(path.read_bytes().replace(tag, value))
    cohort = checked(tmp_path)
    assert_one_line_refusal([f for f in cohort.faults if "/ct/" in f.file], fault_id, says)


def test_a_text_where_a_number_belongs_is_not_shown_for_it_may_be_a_name_IN_13(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    for path in (study / "ct").iterdir():
        path.write_bytes(path.read_bytes().replace(rb"3.0\2.5", b"Doe Jan"))
    (fault,) = [fault for fault in checked(tmp_path).faults if "/ct/" in fault.file]
    assert "PixelSpacing (0028,0030) is 'text'" in fault.problem


def overview(count: int, says: str) -> list[Dataset]:
    made = ct_slices(ct_hu()[:count])
    for slice_ in made:
        slice_.ImageType, slice_.SeriesDescription = ["ORIGINAL", "PRIMARY", says], "Topogram 0.6 T20f"
    return made


@pytest.mark.parametrize(("count", "says"), [(1, "AXIAL"), (2, "AXIAL"), (14, "LOCALIZER")])
def test_a_topogram_is_no_ct_series_whatever_it_calls_itself_IN_07(tmp_path, count, says):
    study = write_dicom_study(tmp_path / "study")
    write_series(study / "topogram", overview(count, says))
    assert_the_base_study(tmp_path, "IN-07: localizer series left out")
    write_series(study / "second", ct_slices(ct_hu(seed=5)))
    (fault,) = checked(tmp_path).faults
    assert (fault.id, "holds 2 CT series" in fault.problem, "Topogram" in fault.problem) == ("IN-05", True, False)


@pytest.mark.parametrize("source", ["dicom", "volumes"])
def test_studies_in_dicom_and_in_volume_files_make_one_cohort(tmp_path, source):
    write_dicom_study(tmp_path / "anna")
    write_volume_study(tmp_path / "berta", seed=1)
    write_dicom_study(tmp_path / "carla", patient="P3", seed=2)
    cohort = check_cohort(tmp_path, CohortSettings(source=source), id_key=b"key")
    kinds = sorted(case.ct.kind for case in cohort.cases)
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    assert kinds == ["dicom", "dicom", "volume"]
    assert len({case.patient_id for case in cohort.cases}) == 3
