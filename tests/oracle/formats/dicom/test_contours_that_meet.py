"""Contours of one region that repeat, cross or hold one another, against areas whose inside is known by formula."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from object_maker import place_mm, saved, structure_set
from pydicom.dataset import Dataset
from study_maker import SHAPE_ZYX, assert_one_line_refusal, ct_hu, ct_slices, write_series

from femseg.cohorts.manifest import read_case_mask
from femseg.cohorts.settings import CohortSettings, StructureNames
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort

Z, Y, X = np.indices(SHAPE_ZYX)
SLICES = range(2, 12)
TWICE = range(5, 9)
Outline = np.ndarray


def disc(radius: float, row: float = 11.3, column: float = 12.6) -> np.ndarray:
    """Pixel centres inside a circle, by its equation."""
    return ((Y - row) ** 2 + (X - column) ** 2 < radius**2) & np.isin(Z, SLICES)


def circle(radius: float, row: float = 11.3, column: float = 12.6) -> Outline:
    """The same as 720 points (row, column), in pixels."""
    angle = np.radians(np.arange(0, 360, 0.5))
    return np.stack([row + radius * np.sin(angle), column + radius * np.cos(angle)], axis=1)


def checked(
    folder: Path,
    outlines: Callable[[int], list[Outline]],
    *,
    bone: np.ndarray | None = None,
    kind: str = "CLOSED_PLANAR",
    change: Callable[[Dataset], None] | None = None,
    **settings: object,
) -> CheckedCohort:
    """A study whose region has these outlines on each slice."""
    ct = ct_slices(ct_hu(disc(6.4) if bone is None else bone))
    write_series(folder / "study" / "ct", ct)
    contours = [(index, place_mm(index, outline)) for index in SLICES for outline in outlines(index)]
    structures = structure_set(ct, {"Femur": contours}, kind=kind)
    if change is not None:
        change(structures)
    saved(structures, folder / "study" / "rs.dcm")
    return check_cohort(folder, CohortSettings(source="dicom", **settings), id_key=b"key")


def mask_and_remarks(folder: Path, cohort: CheckedCohort) -> tuple[np.ndarray, str]:
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    (case,) = cohort.cases
    return read_case_mask(case, folder).femur_zyx, " ".join(case.remarks)


def resampled(outline: Outline) -> Outline:
    """Every edge cut in three: other points on the same way."""
    ends = np.roll(outline, -1, axis=0)
    return np.stack([outline + share * (ends - outline) for share in (0, 1 / 3, 2 / 3)], axis=1).reshape(-1, 2)


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
@pytest.mark.parametrize(
    "again",
    [
        pytest.param(lambda outline: outline[::-1], id="reversed"),
        pytest.param(lambda outline: np.roll(outline, 40, axis=0), id="from another start"),
        pytest.param(lambda outline: np.concatenate([outline, outline[:1]]), id="closed by its first point"),
        pytest.param(lambda outline: np.roll(outline[::-1], 3, axis=0).round(2), id="rounded to hundredths"),
        pytest.param(resampled, id="with other points"),
        pytest.param(lambda outline: np.repeat(outline, 2, axis=0), id="every point twice"),
    ],
)
def test_a_contour_that_is_there_twice_encloses_what_it_does_once_and_is_remarked_IN_22(tmp_path, again, kind):
    outline = circle(6.4)
    cohort = checked(tmp_path, lambda k: [outline, again(outline)] if k in TWICE else [outline], kind=kind)
    mask, remarks = mask_and_remarks(tmp_path, cohort)
    np.testing.assert_array_equal(mask, disc(6.4))
    assert "IN-22: contours of 'Femur' left out: 4 repeated" in remarks


def test_every_contour_may_be_there_thrice(tmp_path):
    outline = circle(6.4)
    cohort = checked(tmp_path, lambda _: [outline, outline[::-1], np.roll(outline, 9, axis=0)])
    mask, remarks = mask_and_remarks(tmp_path, cohort)
    np.testing.assert_array_equal(mask, disc(6.4))
    assert "20 repeated" in remarks


def test_contours_that_cross_are_one_area_by_the_standard(tmp_path):
    expected = disc(5.2) | disc(4.1, 9.0, 17.2)
    cohort = checked(tmp_path, lambda _: [circle(5.2), circle(4.1, 9.0, 17.2)], bone=expected)
    np.testing.assert_array_equal(mask_and_remarks(tmp_path, cohort)[0], expected)


def test_contours_that_cross_leave_a_hole_where_they_say_exclusive_or(tmp_path):
    expected = disc(5.2) ^ disc(4.1, 9.0, 17.2)
    outlines = [circle(5.2), circle(4.1, 9.0, 17.2)]
    cohort = checked(tmp_path, lambda _: outlines, bone=expected, kind="CLOSEDPLANAR_XOR")
    np.testing.assert_array_equal(mask_and_remarks(tmp_path, cohort)[0], expected)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_a_contour_inside_another_is_a_hole_and_one_inside_the_hole_an_island_in_any_order(tmp_path, order):
    """A cortex with a marrow and an island in it, and a second area that crosses the cortex from outside."""
    outlines = [circle(7.3), circle(5.0), circle(2.1), circle(3.2, 11.3, 20.9)]
    expected = (disc(7.3) & ~disc(5.0)) | disc(2.1) | disc(3.2, 11.3, 20.9)
    cohort = checked(tmp_path, lambda _: [outlines[k] for k in order], bone=expected)
    np.testing.assert_array_equal(mask_and_remarks(tmp_path, cohort)[0], expected)


def test_a_thin_cortex_is_no_repetition(tmp_path):
    """A wall of a sixth of a pixel: some pixel centres lie in it, and the marrow stays a hole."""
    cohort = checked(tmp_path, lambda _: [circle(8.4), circle(8.2)], bone=disc(8.4))
    assert [fault.id for fault in cohort.faults] in ([], ["IN-21"]), "a ring so thin is hardly on the bone"
    again = checked(tmp_path / "thick", lambda _: [circle(8.4), circle(7.4)], bone=disc(8.4) & ~disc(7.4))
    np.testing.assert_array_equal(mask_and_remarks(tmp_path / "thick", again)[0], disc(8.4) & ~disc(7.4))


@pytest.mark.filterwarnings("ignore:The value length")  # of pydicom, about a type that no standard has
def test_interpolated_contours_are_taken_with_a_remark_IN_22(tmp_path):
    def mostly_interpolated(structures: Dataset) -> None:
        for contour in structures.ROIContourSequence[0].ContourSequence[1::2]:
            contour.ContourGeometricType = "INTERPOLATED_PLANAR"

    mask, remarks = mask_and_remarks(tmp_path, checked(tmp_path, lambda _: [circle(6.4)], change=mostly_interpolated))
    np.testing.assert_array_equal(mask, disc(6.4))
    assert "5 contours of 'Femur' are INTERPOLATED_PLANAR" in remarks


def test_a_refusal_for_gaps_names_the_contours_that_were_left_out_IN_22(tmp_path):
    def mostly_open(structures: Dataset) -> None:
        for contour in structures.ROIContourSequence[0].ContourSequence[1::2]:
            contour.ContourGeometricType = "OPEN_PLANAR"

    cohort = checked(tmp_path, lambda _: [circle(6.4)], change=mostly_open)
    assert_one_line_refusal(cohort.faults, "IN-22", str(tmp_path), "on 5 of the 9 slices", "left out: 5 OPEN_PLANAR")


def test_a_contour_that_runs_round_twice_in_itself_is_refused_with_its_area_IN_22(tmp_path):
    outline = circle(6.4)
    cohort = checked(tmp_path, lambda k: [np.concatenate([outline, outline])] if k == 4 else [outline])
    assert_one_line_refusal(cohort.faults, "IN-22", "on slice 5 encloses", "mm² by its points, and no pixel")


def test_a_contour_beside_the_image_is_refused_IN_22(tmp_path):
    outline = circle(6.4)
    cohort = checked(tmp_path, lambda k: [outline + 60] if k == 4 else [outline])
    assert_one_line_refusal(cohort.faults, "IN-22", "on slice 5 encloses", "and no pixel")


def test_a_contour_that_crosses_itself_is_remarked_with_both_areas_IN_22(tmp_path):
    """A figure of eight: its two loops cancel by its points, and both are drawn."""
    outline = circle(6.4)
    second = np.roll(circle(3.0, 11.3, 15.0), -360, axis=0)[::-1]  # both touch at column 12
    eight = np.concatenate([circle(3.0, 11.3, 9.0), second])
    cohort = checked(tmp_path, lambda k: [eight] if k == 4 else [outline])
    _, remarks = mask_and_remarks(tmp_path, cohort)
    assert "IN-22: 1 contours of 'Femur' cross themselves or leave the image" in remarks


def test_a_slice_whose_contours_enclose_no_pixel_is_remarked_IN_22(tmp_path):
    outline = circle(6.4)
    cohort = checked(tmp_path, lambda k: [circle(0.2)] if k == 2 else [outline])
    assert "encloses no pixel's centre on 1 of its slices" in mask_and_remarks(tmp_path, cohort)[1]


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        pytest.param("ISO_IR 100", "Fémur droit", id="Latin-1"),
        pytest.param(["", "ISO 2022 IR 87"], "大腿骨", id="Japanese"),
        pytest.param("ISO_IR 192", "бедренная кость", id="UTF-8"),
        pytest.param("GB18030", "股骨", id="Chinese"),
    ],
)
def test_a_region_is_named_and_chosen_by_its_name_in_any_character_set(tmp_path, charset, name):
    def named(structures: Dataset) -> None:
        structures.SpecificCharacterSet = charset
        structures.StructureSetROISequence[0].ROIName = name

    chosen = StructureNames(femur=(name,))
    cohort = checked(tmp_path, lambda _: [circle(6.4)], change=named, structures=chosen)
    np.testing.assert_array_equal(mask_and_remarks(tmp_path, cohort)[0], disc(6.4))
    unchosen = CohortSettings(source="dicom", structures=StructureNames(femur=("tibia",)))
    faults = check_cohort(tmp_path, unchosen, id_key=b"key").faults
    assert_one_line_refusal(faults, "IN-22", f'"{name}"')


def test_a_patient_in_another_character_set_is_the_same_patient(tmp_path):
    """The CT is written in Latin-1, the structure set in UTF-8: other bytes, one PatientID."""
    ct = ct_slices(ct_hu(disc(6.4)), patient="Müller-7")
    for slice_ in ct:
        slice_.SpecificCharacterSet = "ISO_IR 100"
    write_series(tmp_path / "study" / "ct", ct)
    structures = structure_set(ct, {"Femur": [(k, place_mm(k, circle(6.4))) for k in SLICES]})
    structures.SpecificCharacterSet = "ISO_IR 192"
    saved(structures, tmp_path / "study" / "rs.dcm")
    cohort = check_cohort(tmp_path, CohortSettings(source="dicom"), id_key=b"key")
    np.testing.assert_array_equal(mask_and_remarks(tmp_path, cohort)[0], disc(6.4))
