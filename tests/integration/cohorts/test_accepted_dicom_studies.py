"""Odd but valid DICOM studies: accepted, each voxel at its place and of its value, and only mends remarked."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless
from study_maker import (
    ORIGIN_XYZ,
    SPACING_ZYX,
    Change,
    affine_ras,
    ct_hu,
    ct_slices,
    femur_mask,
    write_dicom_study,
    write_nifti,
    write_series,
)

from femseg.cohorts.case import Case
from femseg.cohorts.check import check_cohort, inspect_study
from femseg.cohorts.reading import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings
from femseg.volumes.volume import CtVolume

TRUTH_HU = np.maximum(ct_hu(), -1024).astype(np.float32)


def accepted(folder: Path, **settings: object) -> Case:
    cohort = check_cohort(folder, CohortSettings(source="dicom", **settings), id_key=b"key")  # type: ignore[arg-type]
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    (case,) = cohort.cases
    return case


def inspected(folder: Path, datasets: list[Dataset], **kwargs: str) -> tuple[Case, CtVolume]:
    write_series(folder, datasets, **kwargs)
    return inspect_study(folder, id_key=b"key")


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


def shuffled(datasets: list[Dataset]) -> None:
    np.random.default_rng(3).shuffle(datasets)  # type: ignore[arg-type]


def reversed_numbers(datasets: list[Dataset]) -> None:
    for number, dataset in enumerate(reversed(datasets)):
        dataset.InstanceNumber = number


def jittered(datasets: list[Dataset]) -> None:
    for k, dataset in enumerate(datasets):
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z + 0.001 * (k % 2)]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(shuffled, id="IN-15 shuffled files"),
        pytest.param(list.reverse, id="IN-15 reversed files"),
        pytest.param(reversed_numbers, id="IN-15 InstanceNumber reversed"),
        pytest.param(jittered, id="IN-02 jitter of 0.001 mm"),
    ],
)
def test_order_of_files_and_noise_in_positions_change_nothing(tmp_path, change: Change):
    write_dicom_study(tmp_path / "study", ct=change)
    case = accepted(tmp_path)
    np.testing.assert_array_equal(read_case_ct(case, tmp_path).hu_zyx, TRUTH_HU)
    assert case.grid.spacing_mm_zyx == pytest.approx(SPACING_ZYX, abs=2e-4)
    assert case.remarks == ()


def test_spacing_noise_below_one_percent_is_accepted_with_a_remark_IN_02(tmp_path):
    def uneven(datasets: list[Dataset]) -> None:
        x, y, z = datasets[5].ImagePositionPatient
        datasets[5].ImagePositionPatient = [x, y, z + 0.03]

    write_dicom_study(tmp_path / "study", ct=uneven)
    (remark,) = accepted(tmp_path).remarks
    assert remark == "IN-02: slices are 3.97 to 4.03 mm apart; read as an even 4 mm"


@pytest.mark.parametrize(
    "orientation",
    [
        pytest.param((-1.0, 0, 0, 0, -1.0, 0), id="IN-15 IOP (-1,0,0,0,-1,0)"),
        pytest.param((1.0, 0, 0, 0, -1.0, 0), id="feet first, prone"),
        pytest.param((0, 1.0, 0, 0, 0, -1.0), id="sagittal"),
        pytest.param((0.9961946981, 0.0871557427, 0, -0.0871557427, 0.9961946981, 0), id="turned by 5 degrees"),
    ],
)
def test_every_voxel_lies_where_position_and_orientation_say(tmp_path, orientation):
    _, ct = inspected(tmp_path / "study", ct_slices(orientation=orientation))
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    for index in [(0, 0, 0), (3, 5, 7), (13, 23, 25)]:
        z, y, x = index
        there = np.array(ORIGIN_XYZ) + z * 4.0 * normal + y * 3.0 * column + x * 2.5 * row
        np.testing.assert_allclose(ct.grid.position_mm_xyz(index), there, atol=1e-6)
        assert ct.hu_zyx[index] == TRUTH_HU[index]


def test_a_series_stored_from_head_to_feet_is_stacked_along_its_normal(tmp_path):
    datasets = ct_slices()
    for k, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = [*ORIGIN_XYZ[:2], ORIGIN_XYZ[2] - 4.0 * k]
    _, ct = inspected(tmp_path / "study", datasets)
    np.testing.assert_array_equal(ct.hu_zyx, TRUTH_HU[::-1])
    assert ct.grid.origin_mm_xyz == (*ORIGIN_XYZ[:2], ORIGIN_XYZ[2] - 4.0 * 13)


def test_rescaling_of_each_slice_counts_even_in_fractions_IN_10(tmp_path):
    datasets = ct_slices()
    expected = TRUTH_HU.astype(np.float64)
    for k, dataset in enumerate(datasets):
        dataset.RescaleSlope, dataset.RescaleIntercept = 1 + k / 16, -1024 - k / 2
        expected[k] = (TRUTH_HU[k] + 1024) * (1 + k / 16) - 1024 - k / 2
    _, ct = inspected(tmp_path / "study", datasets)
    np.testing.assert_allclose(ct.hu_zyx, expected, atol=1e-3)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=["implicit little-endian", "explicit big-endian"]
)
def test_other_encodings_give_the_same_voxels(tmp_path, syntax):
    datasets = ct_slices()
    if syntax == ExplicitVRBigEndian:
        for dataset in datasets:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    case, ct = inspected(tmp_path / "study", datasets, syntax=syntax)
    np.testing.assert_array_equal(ct.hu_zyx, TRUTH_HU)
    np.testing.assert_array_equal(read_case_ct(case, tmp_path / "study").hu_zyx, TRUTH_HU)


def test_run_length_encoded_pixels_are_read(tmp_path):
    paths = write_series(tmp_path / "study", ct_slices())
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    _, ct = inspect_study(tmp_path / "study", id_key=b"key")
    np.testing.assert_array_equal(ct.hu_zyx, TRUTH_HU)


def test_an_identical_copy_of_a_slice_is_left_out_and_recorded_IN_04(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    copy = study / "ct" / "slice-005 (1).dcm"
    copy.write_bytes((study / "ct" / "slice-005.dcm").read_bytes())
    case = accepted(tmp_path)
    np.testing.assert_array_equal(read_case_ct(case, tmp_path).hu_zyx, TRUTH_HU)
    assert case.remarks == ("IN-04: slice-005.dcm repeats slice-005 (1).dcm and was left out",)


def test_a_localizer_in_the_series_is_left_out_and_recorded_IN_07(tmp_path):
    def with_scout(datasets: list[Dataset]) -> None:
        scout = ct_slices()[0]
        scout.SeriesInstanceUID, scout.StudyInstanceUID = datasets[0].SeriesInstanceUID, datasets[0].StudyInstanceUID
        scout.FrameOfReferenceUID = datasets[0].FrameOfReferenceUID
        scout.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        scout.Rows, scout.PixelData = 40, bytes(40 * 26 * 2)
        datasets.append(scout)

    write_dicom_study(tmp_path / "study", ct=with_scout)
    case = accepted(tmp_path)
    np.testing.assert_array_equal(read_case_ct(case, tmp_path).hu_zyx, TRUTH_HU)
    assert case.remarks == ("IN-07: slice-014.dcm left out as localizer(s)",)


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


def test_a_missing_count_is_remarked_IN_03(tmp_path):
    def uncounted(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            del dataset.ImagesInAcquisition

    write_dicom_study(tmp_path / "study", ct=uncounted)
    assert accepted(tmp_path).remarks == ("IN-03: count of slices not verifiable",)


@pytest.mark.parametrize("name", ["mask.nii.gz", "femur_seg.nii", "labels/any name.nii.gz"])
def test_the_mask_of_a_dicom_ct_may_be_a_volume_file(tmp_path, name):
    write_series(tmp_path / "study" / "series 2", ct_slices())
    write_nifti(tmp_path / "study" / name, femur_mask().astype(np.uint8), affine_ras())
    case = accepted(tmp_path)
    assert case.mask.kind == "volume"
    np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, femur_mask())


def test_a_mask_series_may_be_known_by_its_description(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    for path in (study / "mask").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SeriesDescription = "Femur segmentation"
        dataset.save_as(study / f"m-{path.name}")
        path.unlink()
    np.testing.assert_array_equal(read_case_mask(accepted(tmp_path), tmp_path).femur_zyx, femur_mask())


def test_a_folder_that_is_one_study_is_taken_as_such(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    assert accepted(study).grid == accepted(tmp_path).grid
