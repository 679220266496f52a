"""What lies beside a CT in an archive: doses, directories, masks; and masks built to exhaust memory or time."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from object_maker import place_mm, saved, structure_set
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.native import _encode_segment
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless, RTDoseStorage, SegmentationStorage, generate_uid
from study_maker import SHAPE_ZYX, assert_one_line_refusal, ct_hu, ct_slices, femur_mask, write_series

from femseg.cohorts.manifest import read_case_mask
from femseg.cohorts.settings import CohortSettings
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.formats.dicom.ct_planes import check_unmended
from femseg.formats.source import CheckedVolume
from femseg.intake.check import check_cohort
from femseg.intake.cost import LIBRARIES_BYTES, check_memory_bytes
from femseg.intake.result import CheckedCohort
from femseg.layouts.dicom_pairs import studies
from femseg.volumes.grid import VoxelGrid

BOX = np.array([[7.5, 4.5], [7.5, 11.5], [13.5, 11.5], [13.5, 4.5]])  # (row, column) round the mask of femur_mask


def checked(folder: Path, **settings: object) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source="dicom", **settings), id_key=b"key")


def study_with_contours(folder: Path) -> tuple[list[Dataset], Dataset]:
    """A CT in `folder/study` and the structure set of its femur, not yet written."""
    ct = ct_slices(ct_hu())
    write_series(folder / "study", ct)
    return ct, structure_set(ct, {"Femur": [(index, place_mm(index, BOX)) for index in range(2, 12)]})


def dose(ct: list[Dataset]) -> Dataset:
    made = ct[0].copy()
    made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID = RTDoseStorage, generate_uid(), generate_uid()
    made.Modality, made.NumberOfFrames = "RTDOSE", 14
    made.PixelData = bytes(14 * SHAPE_ZYX[1] * SHAPE_ZYX[2] * 2)
    return made


def test_a_dose_beside_a_ct_and_its_contours_is_left_out_with_a_remark(tmp_path):
    ct, contours = study_with_contours(tmp_path)
    saved(contours, tmp_path / "study" / "rs.dcm")
    other = dose(ct)
    saved(other, tmp_path / "study" / "rd.dcm")
    cohort = checked(tmp_path)
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    (case,) = cohort.cases
    assert "IN-12: RTDOSE series left out" in case.remarks
    np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, femur_mask())


def test_a_dicomdir_beside_the_ct_is_ignored(tmp_path):
    _, contours = study_with_contours(tmp_path)
    saved(contours, tmp_path / "study" / "rs.dcm")
    shutil.copy(get_testdata_file("DICOMDIR-implicit"), tmp_path / "study" / "DICOMDIR")
    cohort = checked(tmp_path)
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    assert [Path(name).name for name in cohort.ignored] == ["DICOMDIR"]


def binary_segmentation(ct: list[Dataset], mask_zyx: np.ndarray) -> Dataset:
    """By hand, with no more than the standard asks for: one segment, a frame for each slice that is not empty."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = SegmentationStorage, generate_uid(), "SEG"
    made.PatientID, made.StudyInstanceUID = ct[0].PatientID, ct[0].StudyInstanceUID
    made.SeriesInstanceUID, made.FrameOfReferenceUID = generate_uid(), ct[0].FrameOfReferenceUID
    made.SegmentationType = "BINARY"
    segment = Dataset()
    segment.SegmentNumber, segment.SegmentLabel = 1, "Femur"
    made.SegmentSequence = [segment]
    shown = [k for k in range(len(ct)) if mask_zyx[k].any()]
    frames = []
    for k in shown:
        group, position, orientation, measures, identity = (Dataset() for _ in range(5))
        position.ImagePositionPatient = ct[k].ImagePositionPatient
        orientation.ImageOrientationPatient = ct[k].ImageOrientationPatient
        measures.PixelSpacing = ct[k].PixelSpacing
        identity.ReferencedSegmentNumber = 1
        group.PlanePositionSequence, group.PlaneOrientationSequence = [position], [orientation]
        group.PixelMeasuresSequence, group.SegmentIdentificationSequence = [measures], [identity]
        frames.append(group)
    made.PerFrameFunctionalGroupsSequence = frames
    made.NumberOfFrames, made.Rows, made.Columns = len(shown), *mask_zyx.shape[1:]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 1, 1, 0
    packed = np.packbits(mask_zyx[shown].ravel(), bitorder="little").tobytes()
    made.PixelData = packed + bytes(len(packed) % 2)
    return made


def run_length_encoded(made: Dataset, mask_zyx: np.ndarray) -> None:
    """PS3.5 8.2.2: of one-bit pixels, the packed bytes are encoded, in one segment a frame."""
    frames = []
    for slice_yx in mask_zyx[mask_zyx.any(axis=(1, 2))]:
        packed = np.packbits(slice_yx.ravel(), bitorder="little")
        coded = bytes(_encode_segment(packed.tobytes(), packed.size))
        frames.append(np.array([1, 64, *[0] * 14], "<u4").tobytes() + coded + bytes(len(coded) % 2))
    made.PixelData = encapsulate(frames)
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", DeflatedExplicitVRLittleEndian, RLELossless])
def test_a_minimal_binary_segmentation_is_read_however_it_is_stored(tmp_path, syntax):
    ct, _ = study_with_contours(tmp_path)
    made = binary_segmentation(ct, femur_mask())
    if syntax == RLELossless:
        run_length_encoded(made, femur_mask())
    saved(made, tmp_path / "study" / "seg.dcm", syntax=syntax)
    cohort = checked(tmp_path)
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    np.testing.assert_array_equal(read_case_mask(cohort.cases[0], tmp_path).femur_zyx, femur_mask())


def many_items(dataset: Dataset) -> None:
    dataset.private_block(0x0099, "many", create=True).add_new(1, "UN", b"\xfe\xff\0\xe0\0\0\0\0" * 160_000)


def many_contours(dataset: Dataset) -> None:
    region = dataset.ROIContourSequence[0]
    region.ContourSequence = [region.ContourSequence[0]] * 10_001


def endless_contour(dataset: Dataset) -> None:
    contour = dataset.ROIContourSequence[0].ContourSequence[0]
    z = contour.ContourData[2]
    contour.ContourData = [-1e6, 0, z, 1e6, 0, z, 1e6, 1, z]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(many_items, "items, at most", id="IN-24 items"),
        pytest.param(many_contours, "10001 pieces of contours", id="IN-24 contours"),
        pytest.param(endless_contour, "mm of contours", id="IN-24 length"),
    ],
)
def test_a_structure_set_built_to_take_for_ever_is_refused_IN_24(tmp_path, change, says):
    _, contours = study_with_contours(tmp_path)
    change(contours)
    path = saved(contours, tmp_path / "study" / "rs.dcm")
    assert_one_line_refusal(checked(tmp_path).faults, "IN-24", str(path), says, exit_code=ExitCode.RESOURCE)


def test_a_segmentation_of_more_frames_than_pixels_is_refused_IN_14(tmp_path):
    ct, _ = study_with_contours(tmp_path)
    made = binary_segmentation(ct, femur_mask())
    made.NumberOfFrames = 2_000_000_000
    path = saved(made, tmp_path / "study" / "seg.dcm")
    assert_one_line_refusal(checked(tmp_path).faults[:1], "IN-14", str(path), "bytes of pixel data")


def test_frames_beside_a_ct_do_not_count_as_memory_of_the_ct(tmp_path):
    ct, _ = study_with_contours(tmp_path)
    (without,) = studies(tmp_path)
    before = check_memory_bytes(without)
    saved(binary_segmentation(ct, np.ones(SHAPE_ZYX, bool)), tmp_path / "study" / "seg.dcm")
    (with_mask,) = studies(tmp_path)
    assert LIBRARIES_BYTES < before <= check_memory_bytes(with_mask) <= before + SHAPE_ZYX[1] * SHAPE_ZYX[2] * 20


def test_a_mask_on_the_original_slices_of_a_resampled_ct_is_refused_IN_20(tmp_path):
    grid = VoxelGrid(shape_zyx=(3, 4, 5), spacing_mm_zyx=(1.0, 1.0, 1.0))
    check_unmended(CheckedVolume(kind="dicom", paths=(tmp_path,), grid=grid), "seg.dcm")
    mended = CheckedVolume(kind="dicom", paths=(tmp_path,), grid=grid, mends=("regularise",))
    with pytest.raises(Refusal) as caught:
        check_unmended(mended, "seg.dcm")
    assert_one_line_refusal(caught.value.faults, "IN-20", "seg.dcm", "resampled (regularise)")
