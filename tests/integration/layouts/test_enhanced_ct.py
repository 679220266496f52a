"""Enhanced multi-frame CTs: read voxel by voxel where their frames make a regular stack, refused by name where not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from object_maker import enhanced_ct, item, saved
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    EnhancedMRImageStorage,
    JPEG2000Lossless,
    JPEGLSLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)
from study_maker import assert_one_line_refusal, ct_hu, ct_slices

from femseg.cohorts.case import Case
from femseg.cohorts.manifest import read_case_ct
from femseg.errors import Refusal
from femseg.intake.single_ct import inspect_study
from femseg.volumes.grid import CtVolume

BODY = np.zeros((13, 36, 40), bool)
BODY[2:11, 10:20, 12:22] = True
TRUTH_HU = np.maximum(ct_hu(BODY), -1024)
SHUFFLED = [int(k) for k in np.random.default_rng(0).permutation(13)]
EXPORT_FIRST = "Fix: export it as single slices, for frames of one file are not resampled; then "
OBLIQUE = (0.9961946981, 0.0871557427, 0.0, -0.0868240888, 0.9924038765, 0.0871557427)


def inspected(folder: Path, dataset: Dataset) -> tuple[Case, CtVolume]:
    saved(dataset, folder / "enhanced.dcm")
    return inspect_study(folder, id_key=b"key")


def refused(folder: Path, dataset: Dataset) -> Refusal:
    with pytest.raises(Refusal) as caught:
        inspected(folder, dataset)
    return caught.value


@pytest.mark.parametrize("order", [list(range(13)), SHUFFLED], ids=["in order", "shuffled"])
@pytest.mark.parametrize("rescale_each", [False, True], ids=["one rescaling", "rescaling of each frame"])
def test_frames_are_put_in_order_and_rescaled_one_by_one(tmp_path, order, rescale_each):
    slices = ct_slices(TRUTH_HU, orientation=OBLIQUE)
    case, ct = inspected(tmp_path, enhanced_ct(slices, order=order, rescale_each=rescale_each))
    np.testing.assert_array_equal(ct.hu_zyx, TRUTH_HU)
    np.testing.assert_array_equal(read_case_ct(case, tmp_path).hu_zyx, TRUTH_HU)
    assert case.ct.kind == "multiframe"
    for k in (0, 7, 12):
        np.testing.assert_allclose(ct.grid.position_mm_xyz((k, 0, 0)), slices[k].ImagePositionPatient, atol=1e-6)
    remarked = ["IN-10: 13 different rescalings to Hounsfield units, applied slice by slice"] if rescale_each else []
    assert [remark for remark in case.remarks if remark.startswith("IN-")] == remarked


def test_simpleitk_reads_the_same_where_frames_are_in_order(tmp_path):
    dataset = enhanced_ct(ct_slices(TRUTH_HU))
    dataset.SOPClassUID = LegacyConvertedEnhancedCTImageStorage
    _, ct = inspected(tmp_path, dataset)
    image = sitk.ReadImage(str(tmp_path / "enhanced.dcm"), sitk.sitkFloat32)
    np.testing.assert_array_equal(ct.hu_zyx, sitk.GetArrayFromImage(image))
    assert image.GetOrigin() == pytest.approx(ct.grid.origin_mm_xyz)
    assert image.GetSpacing() == pytest.approx(ct.grid.spacing_mm_zyx[::-1])


def compressed(syntax: str) -> Callable[[Dataset], None]:
    return lambda dataset: dataset.compress(syntax)


def in_fragments(dataset: Dataset) -> None:
    dataset.compress(JPEG2000Lossless)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=13))
    dataset.PixelData = encapsulate(frames, fragments_per_frame=3, has_bot=False)


def with_extended_table(dataset: Dataset) -> None:
    dataset.compress(JPEGLSLossless)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=13))
    dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(frames)


def in_12_signed_bits(dataset: Dataset) -> None:
    """Hounsfield units as they are; the bits above the twelfth hold something else, as overlays once did."""
    stored = np.frombuffer(dataset.PixelData, "<u2").astype(int) - 1024
    dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 1, 12, 11
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.PixelValueTransformationSequence[0].RescaleIntercept = 0
    dataset.PixelData = (stored & 0xFFF | 0xA000).astype("<u2").tobytes()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(compressed(RLELossless), id="RLE"),
        pytest.param(compressed(JPEGLSLossless), id="JPEG-LS"),
        pytest.param(compressed(JPEG2000Lossless), id="JPEG 2000"),
        pytest.param(in_fragments, id="JPEG 2000 in three fragments a frame, empty offset table"),
        pytest.param(with_extended_table, id="extended offset table"),
        pytest.param(in_12_signed_bits, id="12 bits signed"),
    ],
)
def test_frames_are_the_same_however_they_are_stored(tmp_path, change):
    path = saved(enhanced_ct(ct_slices(TRUTH_HU), order=SHUFFLED), tmp_path / "ct" / "enhanced.dcm")
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)
    _, ct = inspect_study(tmp_path / "ct", id_key=b"key")
    np.testing.assert_array_equal(ct.hu_zyx, TRUTH_HU)


def frames_of(dataset: Dataset) -> list[Dataset]:
    return list(dataset.PerFrameFunctionalGroupsSequence)


def without_one(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence = [*frames_of(dataset)[:6], *frames_of(dataset)[7:]]
    dataset.NumberOfFrames = 12
    dataset.PixelData = dataset.PixelData[: 12 * 36 * 40 * 2]


def two_phases(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence = frames_of(dataset) * 2
    dataset.NumberOfFrames = 26
    dataset.PixelData = dataset.PixelData * 2


def concatenated(dataset: Dataset) -> None:
    dataset.ConcatenationUID, dataset.InConcatenationNumber = "1.2.3", 1
    dataset.InConcatenationTotalNumber = 2


def electron_density(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0].RescaleType = "ED"


def colour(dataset: Dataset) -> None:
    dataset.PixelPresentation = "COLOR"


def mr(dataset: Dataset) -> None:
    dataset.SOPClassUID, dataset.Modality = EnhancedMRImageStorage, "MR"


def group_missing(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence = frames_of(dataset)[:-1]


def place_missing(dataset: Dataset) -> None:
    del frames_of(dataset)[4].PlanePositionSequence


def no_rescaling(dataset: Dataset) -> None:
    del dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence


def one_intercept_wrong(dataset: Dataset) -> None:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for k, frame in enumerate(frames_of(dataset)):
        own = item(RescaleSlope=1, RescaleIntercept=0 if k == 5 else -1024, RescaleType="HU")
        frame.PixelValueTransformationSequence = [own]
    del shared.PixelValueTransformationSequence


def tilted(dataset: Dataset) -> None:
    for k, group in enumerate(frames_of(dataset)):
        x, y, z = group.PlanePositionSequence[0].ImagePositionPatient
        group.PlanePositionSequence = [item(ImagePositionPatient=[x, y + k, z])]


def one_frame(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence = frames_of(dataset)[:1]
    dataset.NumberOfFrames, dataset.PixelData = 1, dataset.PixelData[: 36 * 40 * 2]


def half_the_pixels(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[: 6 * 36 * 40 * 2]


def a_million_frames(dataset: Dataset) -> None:
    dataset.NumberOfFrames = 1_000_000


@pytest.mark.parametrize(
    ("change", "fault_id", "says"),
    [
        pytest.param(
            without_one, "IN-01", ["8.00 mm between frame-00006 and frame-00007", EXPORT_FIRST], id="IN-01 gap"
        ),
        pytest.param(two_phases, "IN-04", ["26 frames at 13 places"], id="IN-04 phases"),
        pytest.param(tilted, "IN-09", ["14.0°", EXPORT_FIRST], id="IN-09 tilt"),
        pytest.param(electron_density, "IN-10", ["RescaleType (0028,1054) is ED"], id="IN-10 unit"),
        pytest.param(no_rescaling, "IN-10", ["RescaleSlope"], id="IN-10 none"),
        pytest.param(one_intercept_wrong, "IN-10", ["frame-00006", "changes by 10"], id="IN-10 one intercept"),
        pytest.param(concatenated, "IN-12", ["one of 2 parts"], id="IN-12 concatenation"),
        pytest.param(colour, "IN-12", ["PixelPresentation (0008,9205) is COLOR"], id="IN-12 colour"),
        pytest.param(mr, "IN-12", ["13 frames", "Enhanced MR Image Storage"], id="IN-12 MR"),
        pytest.param(group_missing, "IN-13", ["describes 12 frames", "says 13"], id="IN-13 groups"),
        pytest.param(place_missing, "IN-13", ["ImagePositionPatient", "frame-00005"], id="IN-13 place"),
        pytest.param(one_frame, "IN-13", ["single slice"], id="IN-13 one frame"),
        pytest.param(half_the_pixels, "IN-14", ["17280 bytes", "need 37440"], id="IN-14 pixels"),
        pytest.param(a_million_frames, "IN-14", ["37440 bytes"], id="IN-24 a million frames declared"),
    ],
)
def test_an_object_that_makes_no_stack_is_refused_in_one_line(tmp_path, change, fault_id, says):
    dataset = enhanced_ct(ct_slices(TRUTH_HU))
    change(dataset)
    faults = refused(tmp_path, dataset).faults[:1]
    assert_one_line_refusal(faults, fault_id, str(tmp_path / "enhanced.dcm"), *says)


def test_an_enhanced_ct_beside_a_series_wants_a_choice_IN_05(tmp_path):
    for k, one in enumerate(ct_slices(TRUTH_HU)):
        saved(one, tmp_path / f"slice-{k}.dcm")
    dataset = enhanced_ct(ct_slices(TRUTH_HU))
    faults = refused(tmp_path, dataset).faults
    assert_one_line_refusal(faults, "IN-05", "2 CT series", "13 images", f"--series {dataset.SeriesInstanceUID}"[:9])
