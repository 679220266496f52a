"""Accepted DICOM studies: what a case then says, and where its files may lie; odd ones are in the catalogue."""

from pathlib import Path

import numpy as np
import pytest
from study_maker import (
    ORIGIN_XYZ,
    SPACING_ZYX,
    affine_ras,
    ct_hu,
    ct_slices,
    femur_mask,
    write_dicom_study,
    write_nifti,
    write_series,
)

from femseg.cohorts.case import Case
from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings
from femseg.intake.check import check_cohort

TRUTH_HU = np.maximum(ct_hu(), -1024).astype(np.float32)


def accepted(folder: Path, **settings: object) -> Case:
    cohort = check_cohort(folder, CohortSettings(source="dicom", **settings), id_key=b"key")  # type: ignore[arg-type]
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    (case,) = cohort.cases
    return case


def test_a_study_comes_back_voxel_by_voxel_with_ids_that_say_nothing(tmp_path):
    write_dicom_study(tmp_path / "Jane Doe", patient="PATIENT-7")
    case = accepted(tmp_path)
    ct, mask = read_case_ct(case, tmp_path), read_case_mask(case, tmp_path)
    np.testing.assert_array_equal(ct.hu_zyx, TRUTH_HU)
    np.testing.assert_array_equal(mask.femur_zyx, femur_mask())
    assert ct.grid == mask.grid == case.grid
    assert case.grid.spacing_mm_zyx == SPACING_ZYX
    assert case.grid.origin_mm_xyz == ORIGIN_XYZ
    assert (case.facts.sex, case.facts.age_years, case.facts.metal_ml, case.facts.cut_off) == ("F", 71, 0.0, ())
    assert case.facts.femur_ml == pytest.approx(femur_mask().sum() * 4.0 * 3.0 * 2.5 / 1000)
    assert case.remarks == ()
    assert "PATIENT" not in case.case_id + case.patient_id


def test_files_that_lie_beside_are_ignored_and_listed_IN_14(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    for name in ("README", "ct/Thumbs.db", "ct/notes.txt", "DICOMDIR"):
        (study / name).write_bytes(b"nothing of interest")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "protocol.pdf").write_bytes(b"%PDF")
    cohort = check_cohort(tmp_path, CohortSettings(source="dicom"), id_key=b"key")
    assert len(cohort.cases) == 1
    assert not cohort.faults
    names = sorted(Path(name).name for name in cohort.ignored)
    assert names == ["DICOMDIR", "README", "Thumbs.db", "notes.txt", "protocol.pdf"]


@pytest.mark.parametrize("name", ["mask.nii.gz", "femur_seg.nii", "labels/any name.nii.gz"])
def test_the_mask_of_a_dicom_ct_may_be_a_volume_file(tmp_path, name):
    write_series(tmp_path / "study" / "series 2", ct_slices())
    write_nifti(tmp_path / "study" / name, femur_mask().astype(np.uint8), affine_ras())
    case = accepted(tmp_path)
    assert case.mask.kind == "volume"
    np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, femur_mask())


def test_a_folder_that_is_one_study_is_taken_as_such(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    assert accepted(study).grid == accepted(tmp_path).grid
