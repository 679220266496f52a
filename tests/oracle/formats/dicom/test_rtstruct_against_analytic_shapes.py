"""Masks as RTSTRUCT: contours of shapes whose inside is known by formula, filled to the voxel, or refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from object_maker import place_mm, saved, structure_set
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from study_maker import SHAPE_ZYX, UPRIGHT, assert_one_line_refusal, ct_hu, ct_slices, write_series

from femseg.cohorts.manifest import read_case_mask
from femseg.cohorts.settings import CohortSettings, StructureNames
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort

OBLIQUE = (0.9961946981, 0.0871557427, 0.0, -0.0868240888, 0.9924038765, 0.0871557427)
Z, Y, X = np.indices(SHAPE_ZYX)
SLICES = range(2, 12)


def inside_ellipse(radius_y: float, radius_x: float, centre: tuple[float, float] = (11.3, 9.6)) -> np.ndarray:
    """Pixel centres inside an ellipse, by its equation; slices 2 to 11."""
    within = ((Y - centre[0]) / radius_y) ** 2 + ((X - centre[1]) / radius_x) ** 2 < 1
    return within & np.isin(Z, SLICES)


def ellipse(radius_y: float, radius_x: float, centre: tuple[float, float] = (11.3, 9.6)) -> np.ndarray:
    """The same as a closed contour of 720 points (row, column), in pixels."""
    angle = np.radians(np.arange(0, 360, 0.5))
    return np.stack([centre[0] + radius_y * np.sin(angle), centre[1] + radius_x * np.cos(angle)], axis=1)


RING = inside_ellipse(7.4, 6.3) & ~inside_ellipse(3.2, 2.7)


def ring_contours(orientation: tuple[float, ...]) -> list[tuple[int, np.ndarray]]:
    return [
        (index, place_mm(index, outline, orientation))
        for index in SLICES
        for outline in (ellipse(7.4, 6.3), ellipse(3.2, 2.7))
    ]


def write(folder: Path, regions: dict, *, orientation=UPRIGHT, change: Callable[[Dataset], None] | None = None) -> Path:
    ct = ct_slices(ct_hu(RING), orientation=orientation)
    write_series(folder / "study" / "ct series", ct)
    structures = structure_set(ct, regions)
    if change is not None:
        change(structures)
    return saved(structures, folder / "study" / "rs.dcm")


def checked(folder: Path, **settings: object) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source="dicom", **settings), id_key=b"key")


def mask_of(folder: Path, **settings: object) -> np.ndarray:
    cohort = checked(folder, **settings)
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    (case,) = cohort.cases
    assert case.mask is not None
    assert case.mask.kind == "rtstruct"
    return read_case_mask(case, folder).femur_zyx


@pytest.mark.parametrize(
    "orientation",
    [
        pytest.param(UPRIGHT, id="upright"),
        pytest.param(OBLIQUE, id="oblique"),
        pytest.param((-1.0, 0, 0, 0, -1.0, 0), id="turned by 180 degrees"),
        pytest.param((0, 1.0, 0, 0, 0, -1.0), id="sagittal"),
    ],
)
def test_an_ellipse_with_a_hole_is_filled_to_the_voxel(tmp_path, orientation):
    write(tmp_path, {"Femur": ring_contours(orientation)}, orientation=orientation)
    np.testing.assert_array_equal(mask_of(tmp_path), RING)


def test_a_keyhole_and_two_areas_on_one_slice_are_filled_to_the_voxel(tmp_path):
    """The hole is reached by a cut that is run through twice; a second area lies beside."""
    outer, hole = ellipse(7.4, 6.3), ellipse(3.2, 2.7)[::-1]
    keyhole = np.concatenate([outer, outer[:1], hole, hole[:1]])
    small = ellipse(3.0, 3.0, centre=(12.0, 20.2))
    contours = [(index, place_mm(index, outline)) for index in SLICES for outline in (keyhole, small)]
    write(tmp_path, {"Femur": contours})
    expected = RING | inside_ellipse(3.0, 3.0, centre=(12.0, 20.2))
    np.testing.assert_array_equal(mask_of(tmp_path), expected)


def test_a_region_is_chosen_by_name_among_several(tmp_path):
    other = [(index, place_mm(index, ellipse(2.0, 2.0, centre=(5.0, 20.0)))) for index in SLICES]
    path = write(tmp_path, {"Patella": other, "Femur R": ring_contours(UPRIGHT)})
    np.testing.assert_array_equal(mask_of(tmp_path, structures=StructureNames(femur=("femur r",))), RING)
    assert_one_line_refusal(checked(tmp_path).faults, "IN-22", str(path), "Patella", "Femur R")


def test_points_and_repeated_contours_are_left_out_with_a_remark(tmp_path):
    def with_points(structures: Dataset) -> None:
        sequence = structures.ROIContourSequence[0].ContourSequence
        sequence.append(pydicom.Dataset(sequence[0]))
        point = Dataset()
        point.ContourGeometricType, point.NumberOfContourPoints, point.ContourData = "POINT", 1, [1.0, 2.0, 3.0]
        sequence.append(point)

    write(tmp_path, {"Femur": ring_contours(UPRIGHT)}, change=with_points)
    np.testing.assert_array_equal(mask_of(tmp_path), RING)
    (case,) = checked(tmp_path).cases
    assert "IN-22: contours of 'Femur' left out: 1 repeated, 1 POINT (mask)" in case.remarks


def raised(mm: float) -> Callable[[Dataset], None]:
    def change(structures: Dataset) -> None:
        for contour in structures.ROIContourSequence[0].ContourSequence:
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            points[:, 2] += mm
            contour.ContourData = [f"{value:.8g}" for value in points.ravel()]

    return change


def every_second_slice(structures: Dataset) -> None:
    sequence = structures.ROIContourSequence[0].ContourSequence
    structures.ROIContourSequence[0].ContourSequence = [c for k, c in enumerate(sequence) if k // 2 % 2 == 0]


def other_patient(structures: Dataset) -> None:
    structures.PatientID = "SECRET-99"


def other_frame(structures: Dataset) -> None:
    structures.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = generate_uid()
    structures.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = generate_uid()


def other_series(structures: Dataset) -> None:
    study = structures.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence[0].SeriesInstanceUID = generate_uid()


def names_another_slice(structures: Dataset) -> None:
    contours = structures.ROIContourSequence[0].ContourSequence
    contours[0].ContourImageSequence = contours[-1].ContourImageSequence


def points_alone(structures: Dataset) -> None:
    for contour in structures.ROIContourSequence[0].ContourSequence:
        contour.ContourGeometricType = "POINT"


def words(structures: Dataset) -> None:
    structures.ROIContourSequence[0].ContourSequence[3].ContourData = [1.0, 2.0]


def region_of_another_frame(structures: Dataset) -> None:
    """The set lists the CT's frame and a second one, in which the region lies."""
    second = pydicom.Dataset(structures.ReferencedFrameOfReferenceSequence[0])
    second.FrameOfReferenceUID = generate_uid()
    structures.ReferencedFrameOfReferenceSequence.append(second)
    structures.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = second.FrameOfReferenceUID


def drawn_on_a_second_series(contours: int) -> Callable[[Dataset], None]:
    """The set lists two series of the patient; its first contours name images of the one that is not the CT."""

    def change(structures: Dataset) -> None:
        listed = structures.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        second = Dataset()
        second.SeriesInstanceUID, second.ContourImageSequence = generate_uid(), []
        for contour in structures.ROIContourSequence[0].ContourSequence[:contours]:
            image = Dataset(contour.ContourImageSequence[0])
            image.ReferencedSOPInstanceUID = generate_uid()
            contour.ContourImageSequence = [image]
            second.ContourImageSequence.append(image)
        listed.RTReferencedSeriesSequence.append(second)

    return change


@pytest.mark.parametrize(
    ("change", "fault_id", "says"),
    [
        pytest.param(
            raised(1.0), "IN-20", ["contour 1 of 'Femur' reaches 1 mm", "tolerated 0.1 mm"], id="IN-20 between"
        ),
        pytest.param(raised(0.2), "IN-20", ["reaches 0.2 mm from the nearest slice"], id="IN-20 off plane"),
        pytest.param(names_another_slice, "IN-20", ["lies on slice 3", "drawn on slice 12"], id="IN-20 other slice"),
        pytest.param(every_second_slice, "IN-22", ["on 5 of the 9 slices", "gap is slice 4"], id="IN-22 every second"),
        pytest.param(points_alone, "IN-22", ["no closed contour (20 POINT)"], id="IN-22 points"),
        pytest.param(other_patient, "IN-06", ["its PatientID is ", "(hashed)"], id="IN-06 patient"),
        pytest.param(other_frame, "IN-06", ["its FrameOfReferenceUID is ", "--accept-frame"], id="IN-06 frame"),
        pytest.param(region_of_another_frame, "IN-06", ["its FrameOfReferenceUID is "], id="IN-06 frame of the region"),
        pytest.param(
            drawn_on_a_second_series(20), "IN-06", ["20 of 20 contours of 'Femur' name images"], id="IN-06 all images"
        ),
        pytest.param(drawn_on_a_second_series(3), "IN-06", ["3 of 20 contours"], id="IN-06 some images"),
        pytest.param(other_series, "IN-06", ["its referenced series is "], id="IN-06 series"),
        pytest.param(words, "IN-14", ["has broken contours"], id="IN-14 two numbers"),
    ],
)
def test_a_structure_set_with_a_fault_is_refused_in_one_line(tmp_path, change, fault_id, says):
    path = write(tmp_path, {"Femur": ring_contours(UPRIGHT)}, change=change)
    faults = checked(tmp_path).faults
    assert_one_line_refusal(faults, fault_id, str(path), *says)
    assert "SECRET" not in str(faults[0])


def test_a_region_of_another_frame_is_taken_where_it_is_accepted_IN_06(tmp_path):
    write(tmp_path, {"Femur": ring_contours(UPRIGHT)}, change=region_of_another_frame)
    np.testing.assert_array_equal(mask_of(tmp_path, accept_frame=True), RING)


def test_a_region_of_another_frame_that_is_not_chosen_does_no_harm(tmp_path):
    other = [(index, place_mm(index, ellipse(2.0, 2.0, centre=(5.0, 20.0)))) for index in SLICES]
    regions = {"Patella": other, "Femur": ring_contours(UPRIGHT)}
    write(tmp_path, regions, change=region_of_another_frame)
    np.testing.assert_array_equal(mask_of(tmp_path, structures=StructureNames(femur=("Femur",))), RING)


def numbered(*roi_numbers: int) -> Callable[[Dataset], None]:
    def change(structures: Dataset) -> None:
        for region, item, number in zip(
            structures.StructureSetROISequence, structures.ROIContourSequence, roi_numbers, strict=True
        ):
            region.ROINumber = item.ReferencedROINumber = number

    return change


@pytest.mark.parametrize("number", [0, 65536, 2**31 - 1])
def test_every_legal_roi_number_is_read(tmp_path, number):
    other = [(index, place_mm(index, ellipse(2.0, 2.0, centre=(5.0, 20.0)))) for index in SLICES]
    regions = {"Patella": other, "Femur": ring_contours(UPRIGHT)}
    write(tmp_path, regions, change=numbered(7, number))
    np.testing.assert_array_equal(mask_of(tmp_path, structures=StructureNames(femur=("Femur",))), RING)


def without_a_number(structures: Dataset) -> None:
    del structures.StructureSetROISequence[1].ROINumber


@pytest.mark.parametrize(
    ("change", "fault_id", "says"),
    [
        pytest.param(numbered(1, -5), "IN-13", 'of structure 2 of 2 is "-5"', id="IN-13 negative"),
        pytest.param(without_a_number, "IN-13", "of structure 2 of 2 is missing", id="IN-13 none"),
        pytest.param(numbered(3, 3), "IN-22", "several structures the ROINumber (3006,0022) 3", id="IN-22 twice"),
    ],
)
def test_regions_that_no_roi_number_tells_apart_are_refused(tmp_path, change, fault_id, says):
    path = write(tmp_path, {"Patella": ring_contours(UPRIGHT), "Femur": ring_contours(UPRIGHT)}, change=change)
    assert_one_line_refusal(checked(tmp_path).faults, fault_id, str(path), says)


def test_contours_rounded_to_a_tenth_of_a_millimetre_are_on_their_slice(tmp_path):
    write(tmp_path, {"Femur": ring_contours(UPRIGHT)}, change=raised(0.09))
    np.testing.assert_array_equal(mask_of(tmp_path), RING)


def test_regions_of_both_sides_must_not_overlap_IN_22(tmp_path):
    inner = [(index, place_mm(index, ellipse(5.0, 5.0))) for index in SLICES]
    path = write(tmp_path, {"l": ring_contours(UPRIGHT), "r": inner})
    sides = StructureNames(left=("l",), right=("r",))
    assert_one_line_refusal(checked(tmp_path, structures=sides).faults, "IN-22", str(path), "shares", "on slice 3")


def test_a_structure_set_and_a_mask_series_want_a_choice_IN_05(tmp_path):
    path = write(tmp_path, {"Femur": ring_contours(UPRIGHT)})
    second = path.parent / "second" / "rs.dcm"
    second.parent.mkdir()
    second.write_bytes(path.read_bytes())
    assert_one_line_refusal(checked(tmp_path).faults, "IN-05", "2 masks", str(path), str(second))
    np.testing.assert_array_equal(mask_of(tmp_path, mask="second"), RING)
