"""Masks as DICOM-SEG, written by highdicom: every voxel where it was drawn, or a refusal in one line."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from object_maker import enhanced_ct, saved, segmentation
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid
from study_maker import SHAPE_ZYX, assert_one_line_refusal, ct_hu, ct_slices, write_series

from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings, StructureNames
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort

LARGE_ZYX = (13, 36, 40)  # JPEG 2000's encoder wants 32 pixels and more
OBLIQUE = (0.9961946981, 0.0871557427, 0.0, -0.0871557427, 0.9961946981, 0.0)
FEMUR = StructureNames(femur=("Femur",))


def two_femora(shape_zyx: tuple[int, int, int] = SHAPE_ZYX) -> np.ndarray:
    """Segment 1, asymmetric on every axis, and segment 2 far from it; both in dense bone of `bony_ct`."""
    values = np.zeros(shape_zyx, np.uint8)
    values[2:9, 4:15, 3:10] = 1
    values[7:9, 4:8, 3:6] = 0
    values[3:8, 8:14, 15:22] = 2
    return values


def bony_ct(values: np.ndarray, **kwargs: object) -> list[Dataset]:
    return ct_slices(ct_hu(values > 0), **kwargs)


def study(folder: Path, ct: list[Dataset], seg: Dataset) -> Path:
    """`folder/study` with the CT's slices and a segmentation beside them, of a name that says nothing."""
    saved_seg = folder / "study" / "1.2.3.dcm"
    saved_seg.parent.mkdir(parents=True, exist_ok=True)
    write_series(folder / "study" / "series", ct)
    seg.save_as(saved_seg)
    return saved_seg


def with_meta(datasets: list[Dataset], folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in write_series(folder, datasets)]


def checked(folder: Path, **settings: object) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source="dicom", **settings), id_key=b"key")


def mask_of(folder: Path, **settings: object) -> np.ndarray:
    cohort = checked(folder, **settings)
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    (case,) = cohort.cases
    assert case.mask is not None
    assert case.mask.kind == "dicom-seg"
    mask = read_case_mask(case, folder)
    assert mask.grid == case.grid
    return mask.femur_zyx


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        ("BINARY", ExplicitVRLittleEndian),
        ("FRACTIONAL", ExplicitVRLittleEndian),
        ("FRACTIONAL", RLELossless),
        ("FRACTIONAL", JPEG2000Lossless),
        ("FRACTIONAL", JPEGLSLossless),
        ("LABELMAP", ExplicitVRLittleEndian),
        ("LABELMAP", RLELossless),
        ("LABELMAP", JPEG2000Lossless),
        ("LABELMAP", JPEGLSLossless),
    ],
)
def test_the_chosen_segment_comes_back_voxel_by_voxel(tmp_path, kind, syntax):
    values = two_femora(LARGE_ZYX)
    ct = with_meta(bony_ct(values, orientation=OBLIQUE), tmp_path / "unused")
    seg = segmentation(ct, values, ["Femur", "Other femur"], kind=kind, syntax=syntax)
    study(tmp_path / "cohort", ct, seg)
    np.testing.assert_array_equal(mask_of(tmp_path / "cohort", structures=FEMUR), values == 1)


def test_left_and_right_segments_keep_their_sides(tmp_path):
    values = two_femora()
    ct = with_meta(bony_ct(values), tmp_path / "unused")
    study(tmp_path / "cohort", ct, segmentation(ct, values, ["femur L", "femur R"]))
    names = StructureNames(right=("Femur L",), left=("FEMUR R",))  # as they lie in the patient: x grows to the left
    both = mask_of(tmp_path / "cohort", structures=names)
    np.testing.assert_array_equal(both, values > 0)
    np.testing.assert_array_equal(mask_of(tmp_path / "cohort", structures=names, femur="left"), values == 2)


def test_a_fraction_of_one_half_and_more_counts_with_a_remark(tmp_path):
    values = two_femora()
    fractions = np.where(values == 1, 0.5, 0.0)
    fractions[3, 5, 4] = 0.49
    ct = with_meta(bony_ct(values), tmp_path / "unused")
    seg = segmentation(ct, fractions[..., None], ["Femur"], kind="FRACTIONAL", max_fractional_value=200)
    study(tmp_path / "cohort", ct, seg)
    np.testing.assert_array_equal(mask_of(tmp_path / "cohort"), fractions >= 0.5)
    (case,) = checked(tmp_path / "cohort").cases
    assert "IN-22: fractional segments cut at half of 200 (mask)" in case.remarks


def shuffled(seg: Dataset, values: np.ndarray) -> None:
    """The same frames in another order of storage."""
    order = np.random.default_rng(1).permutation(int(seg.NumberOfFrames))
    frames = seg.pixel_array[order]
    seg.PerFrameFunctionalGroupsSequence = [seg.PerFrameFunctionalGroupsSequence[k] for k in order]
    seg.PixelData = padded(np.packbits(frames.ravel(), bitorder="little").tobytes())


def padded(data: bytes) -> bytes:
    return data + bytes(len(data) % 2)


@pytest.mark.parametrize(
    ("rows_to_columns", "flip_rows", "flip_columns"),
    [(t, r, c) for t in (False, True) for r in (False, True) for c in (False, True)],
)
def test_frames_that_are_turned_or_mirrored_in_the_plane_are_laid_right(
    tmp_path, rows_to_columns, flip_rows, flip_columns
):
    """All eight ways: the pixels are turned and the header says so; an own formula says where the first pixel went."""
    values = two_femora()
    ct = with_meta(bony_ct(values, orientation=OBLIQUE), tmp_path / "unused")
    seg = segmentation(ct, (values == 1).astype(np.uint8), ["Femur"])
    shuffled(seg, values)
    frames = seg.pixel_array
    row, column = np.array(OBLIQUE[:3]), np.array(OBLIQUE[3:])
    height_mm, width_mm = (SHAPE_ZYX[1] - 1) * 3.0 * column, (SHAPE_ZYX[2] - 1) * 2.5 * row
    shift = np.zeros(3)
    if flip_rows:
        frames, column, shift = frames[:, ::-1], -column, shift + height_mm
    if flip_columns:
        frames, row, shift = frames[:, :, ::-1], -row, shift + width_mm
    spacing = [3.0, 2.5]
    if rows_to_columns:
        frames, row, column, spacing = frames.transpose(0, 2, 1), column, row, spacing[::-1]
    shared = seg.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [f"{v:.10g}" for v in (*row, *column)]
    shared.PixelMeasuresSequence[0].PixelSpacing = spacing
    seg.Rows, seg.Columns = frames.shape[1:]
    seg.PixelData = padded(np.packbits(frames.ravel(), bitorder="little").tobytes())
    for group in seg.PerFrameFunctionalGroupsSequence:
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient) + shift
        group.PlanePositionSequence[0].ImagePositionPatient = [f"{v:.10g}" for v in position]
    study(tmp_path / "cohort", ct, seg)
    np.testing.assert_array_equal(mask_of(tmp_path / "cohort"), values == 1)


def test_a_segmentation_of_an_enhanced_ct_is_laid_on_its_frames(tmp_path):
    values = two_femora()
    slices = bony_ct(values)
    order = [*range(1, SHAPE_ZYX[0], 2), *range(0, SHAPE_ZYX[0], 2)]
    path = saved(enhanced_ct(slices, order=order, rescale_each=True), tmp_path / "cohort" / "study" / "ct.dcm")
    ct = with_meta(slices, tmp_path / "unused")
    for one in ct:  # as if drawn on the enhanced object
        one.SOPInstanceUID = pydicom.dcmread(path).SOPInstanceUID
    seg = segmentation(ct, (values == 1).astype(np.uint8), ["Femur"])
    seg.save_as(tmp_path / "cohort" / "study" / "mask.dcm")
    np.testing.assert_array_equal(mask_of(tmp_path / "cohort"), values == 1)
    (case,) = checked(tmp_path / "cohort").cases
    truth = np.stack([np.frombuffer(one.PixelData, "<u2").reshape(SHAPE_ZYX[1:]) for one in slices]) - 1024.0
    np.testing.assert_array_equal(read_case_ct(case, tmp_path / "cohort").hu_zyx, truth)


def moved(mm: float, axis: int):
    def change(seg: Dataset) -> None:
        for group in seg.PerFrameFunctionalGroupsSequence:
            position = list(group.PlanePositionSequence[0].ImagePositionPatient)
            position[axis] += mm
            group.PlanePositionSequence[0].ImagePositionPatient = position

    return change


def other_spacing(seg: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [3.0, 2.6]


def swapped_slices(seg: Dataset) -> None:
    """Frames from head to feet, places from feet to head: what a program does that forgets one of the two."""
    groups = seg.PerFrameFunctionalGroupsSequence
    positions = [group.PlanePositionSequence for group in groups]
    for group, position in zip(groups, reversed(positions), strict=True):
        group.PlanePositionSequence = position


def every_second(seg: Dataset) -> None:
    kept = list(range(0, int(seg.NumberOfFrames), 2))
    frames = seg.pixel_array[kept]
    seg.PerFrameFunctionalGroupsSequence = [seg.PerFrameFunctionalGroupsSequence[k] for k in kept]
    seg.NumberOfFrames = len(kept)
    seg.PixelData = padded(np.packbits(frames.ravel(), bitorder="little").tobytes())


def doubled(seg: Dataset) -> None:
    position = seg.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence = position
    del seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence


def other_patient(seg: Dataset) -> None:
    seg.PatientID = "SECRET-99"


def other_frame(seg: Dataset) -> None:
    seg.FrameOfReferenceUID = generate_uid()


def other_series(seg: Dataset) -> None:
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = generate_uid()


def drawn_on_a_second_series(seg: Dataset) -> None:
    """The object lists two series of the patient; its frames name images of the one that is not the CT."""
    second = Dataset()
    second.SeriesInstanceUID, second.ReferencedInstanceSequence = generate_uid(), []
    for group in seg.PerFrameFunctionalGroupsSequence:
        for image in group.DerivationImageSequence[0].SourceImageSequence:
            image.ReferencedSOPInstanceUID = generate_uid()
            second.ReferencedInstanceSequence.append(image)
    seg.ReferencedSeriesSequence.append(second)


def groups_missing(seg: Dataset) -> None:
    del seg.PerFrameFunctionalGroupsSequence[-1]


def of_no_segment(seg: Dataset) -> None:
    """Every frame but the third says itself what it shows; nothing is said for all."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    for k, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        if k != 2:
            group.SegmentIdentificationSequence = shared.SegmentIdentificationSequence
    del shared.SegmentIdentificationSequence


def empty(seg: Dataset) -> None:
    seg.PixelData = bytes(len(seg.PixelData))


@pytest.mark.parametrize(
    ("change", "fault_id", "says"),
    [
        pytest.param(moved(0.5, 2), "IN-20", ["frame 1 lies 0.5 mm from the nearest slice", "(7 of 7"], id="IN-20 z"),
        pytest.param(moved(0.05, 0), "IN-20", ["0.05 mm beside the CT's slice 9"], id="IN-20 x"),
        pytest.param(other_spacing, "IN-20", ["pixel spacing 3, 2.6 mm, CT 3, 2.5"], id="IN-20 spacing"),
        pytest.param(swapped_slices, "IN-20", ["lies on slice 3 of the CT, but names slice 9"], id="IN-20 reversed"),
        pytest.param(every_second, "IN-22", ["drawn on 4 of the 7 slices", "gap is slice 4"], id="IN-22 every second"),
        pytest.param(doubled, "IN-04", ["'Femur' has several frames on 1 slices"], id="IN-04 two frames"),
        pytest.param(other_patient, "IN-06", ["its PatientID is ", "(hashed)"], id="IN-06 patient"),
        pytest.param(other_frame, "IN-06", ["its FrameOfReferenceUID is ", "--accept-frame"], id="IN-06 frame"),
        pytest.param(other_series, "IN-06", ["its referenced series is "], id="IN-06 series"),
        pytest.param(drawn_on_a_second_series, "IN-06", ["7 of 7 frames name images"], id="IN-06 images"),
        pytest.param(groups_missing, "IN-13", ["describes 6 frames", "says 7"], id="IN-13 groups"),
        pytest.param(of_no_segment, "IN-13", ["frame 3 names no segment", "(1 of 7"], id="IN-13 no segment"),
        pytest.param(empty, "IN-22", ["is empty"], id="IN-22 empty"),
    ],
)
def test_a_segmentation_with_a_fault_is_refused_in_one_line(tmp_path, change, fault_id, says):
    values = two_femora()
    ct = with_meta(bony_ct(values), tmp_path / "unused")
    seg = segmentation(ct, (values == 1).astype(np.uint8), ["Femur"])
    change(seg)
    path = study(tmp_path / "cohort", ct, seg)
    faults = checked(tmp_path / "cohort").faults
    assert_one_line_refusal(faults, fault_id, str(path), *says)
    assert "SECRET" not in str(faults[0])


@pytest.mark.parametrize(
    ("maximum", "found"), [(0, "is 0"), (256, "is 256"), (None, "is missing")], ids=["zero", "256", "none"]
)
def test_fractions_of_no_known_maximum_are_refused_IN_13(tmp_path, maximum, found):
    values = two_femora()
    ct = with_meta(bony_ct(values), tmp_path / "unused")
    seg = segmentation(ct, (values == 1).astype(np.uint8), ["Femur"], kind="FRACTIONAL")
    seg.MaximumFractionalValue = maximum
    path = study(tmp_path / "cohort", ct, seg)
    assert_one_line_refusal(checked(tmp_path / "cohort").faults, "IN-13", str(path), f"(0062,000E) {found}", "1 to 255")


def test_another_frame_of_reference_is_taken_where_it_is_accepted_IN_06(tmp_path):
    values = two_femora()
    ct = with_meta(bony_ct(values), tmp_path / "unused")
    seg = segmentation(ct, (values == 1).astype(np.uint8), ["Femur"])
    other_frame(seg)
    study(tmp_path / "cohort", ct, seg)
    np.testing.assert_array_equal(mask_of(tmp_path / "cohort", accept_frame=True), values == 1)
    (case,) = checked(tmp_path / "cohort", accept_frame=True).cases
    assert any("FrameOfReferenceUID" in remark and "accepted as chosen" in remark for remark in case.remarks)


def test_several_segments_want_a_choice_by_name_IN_22(tmp_path):
    values = two_femora()
    ct = with_meta(bony_ct(values), tmp_path / "unused")
    path = study(tmp_path / "cohort", ct, segmentation(ct, values, ["Tibia", "Femur"]))
    assert_one_line_refusal(checked(tmp_path / "cohort").faults, "IN-22", str(path), "Tibia", "Femur")
    absent = StructureNames(femur=("Patella",))
    assert_one_line_refusal(checked(tmp_path / "cohort", structures=absent).faults, "IN-22", str(path), "Tibia")


def test_overlapping_segments_are_united_where_they_mean_the_same_and_refused_else_IN_22(tmp_path):
    values = two_femora()
    stacked = np.stack([values == 1, values > 0], axis=-1).astype(np.uint8)
    ct = with_meta(bony_ct(values), tmp_path / "unused")
    path = study(tmp_path / "cohort", ct, segmentation(ct, stacked, ["shaft", "all"]))
    same = StructureNames(femur=("shaft", "all"))
    np.testing.assert_array_equal(mask_of(tmp_path / "cohort", structures=same), values > 0)
    one = StructureNames(femur=("shaft",))
    np.testing.assert_array_equal(mask_of(tmp_path / "cohort", structures=one), values == 1)
    sides = StructureNames(left=("shaft",), right=("all",))
    faults = checked(tmp_path / "cohort", structures=sides).faults
    assert_one_line_refusal(faults, "IN-22", str(path), "'shaft' and 'all' share", "frame")


def test_masks_of_several_kinds_want_a_choice_IN_05(tmp_path):
    values = two_femora()
    ct = with_meta(bony_ct(values), tmp_path / "unused")
    seg = segmentation(ct, (values == 1).astype(np.uint8), ["Femur"])
    path = study(tmp_path / "cohort", ct, seg)
    second = path.parent / "second" / "other.dcm"
    second.parent.mkdir()
    seg.save_as(second)
    assert_one_line_refusal(checked(tmp_path / "cohort").faults, "IN-05", "2 masks", str(path), str(second))
    np.testing.assert_array_equal(mask_of(tmp_path / "cohort", mask="second"), values == 1)
