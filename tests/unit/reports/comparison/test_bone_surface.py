"""The annotated bone from four sides, on masks whose distances are known."""

import numpy as np
import pytest

from femseg.reports.comparison.bone_surface import bone_views, deepest_error, signed_distance_mm
from femseg.reports.comparison.evidence import CasePicture
from femseg.reports.comparison.worst_cases import worst_case
from femseg.reports.style import PIXELS_PER_INCH

SPACING = (2.0, 1.0, 1.0)
SHAPE = (30, 40, 36)


def box(z=(5, 25), y=(12, 28), x=(10, 26)):
    mask = np.zeros(SHAPE, bool)
    mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


def test_distances_are_negative_inside_positive_outside_and_right_to_half_a_voxel():
    signed = signed_distance_mm(box(), SPACING)
    assert ((signed < 0) == box()).all()
    assert signed[15, 20, 26 + 4] == pytest.approx(4.5)
    assert signed[15, 20, 26 - 3] == pytest.approx(-2.5)
    assert np.isinf(signed_distance_mm(np.zeros(SHAPE, bool), SPACING)).all()


@pytest.mark.parametrize(
    ("side", "change"),
    [
        ("front", {"y": (9, 28)}),  # y runs from the front to the back
        ("back", {"y": (12, 31)}),
        ("right", {"x": (7, 26)}),  # x from the patient's right to the left
        ("left", {"x": (10, 29)}),
    ],
)
def test_a_prediction_that_is_3_mm_too_thick_on_one_side_is_red_there_and_white_on_the_others(side, change):
    views = bone_views(box(), box(**change), SPACING)
    middle = {name: view.distance_mm[20:-20, 8:-8] for name, view in views.items()}
    assert np.nanmedian(middle.pop(side)) == pytest.approx(3.0, abs=0.5)
    for others in middle.values():
        assert np.nanmedian(others) == pytest.approx(0.0, abs=0.5)


def test_a_prediction_that_falls_short_is_blue_and_the_head_is_up():
    views = bone_views(box(), box(z=(5, 20)), SPACING)  # 10 mm short at the upper end
    front = views["front"].distance_mm
    assert np.nanmin(front[6:12]) < -4
    assert np.nanmedian(front[-20:-8]) == pytest.approx(0.0, abs=0.5)


def test_each_view_has_the_front_of_the_body_where_a_viewer_on_that_side_sees_it():
    wedge = box() | box(z=(5, 10), y=(8, 12)) | box(z=(5, 10), x=(26, 32))  # a foot to the front, and to the left
    feet = {side: np.isfinite(view.light[-12]) for side, view in bone_views(wedge, wedge, SPACING).items()}
    shafts = {side: np.isfinite(view.light[10]) for side, view in bone_views(wedge, wedge, SPACING).items()}
    points_right = {side: feet[side].nonzero()[0].max() > shafts[side].nonzero()[0].max() + 1 for side in feet}
    assert points_right == {"front": True, "back": False, "left": False, "right": True}


def test_the_deepest_error_is_found_with_its_depth():
    predicted = box()
    predicted[6:8, 30:38, 15:17] = True
    depth, place = deepest_error(box(), predicted, SPACING)
    assert (depth, place[1]) == (9.5, 37)
    assert deepest_error(box(), box(), SPACING) is None


def test_without_an_annotation_there_is_nothing_to_show_and_an_empty_prediction_is_infinitely_short():
    empty = np.zeros(SHAPE, bool)
    assert bone_views(empty, box(), SPACING) == {}
    short = bone_views(box(), empty, SPACING)["front"].distance_mm
    assert (short[np.isfinite(bone_views(box(), box(), SPACING)["front"].light)] == -np.inf).all()


def in_figure(shape, spacing, mask_of, *, annotated=True):
    """Width and height in inches of a worst case's figure."""
    z, y, x = ((np.arange(n) + 0.5 - n / 2) * s for n, s in zip(shape, spacing, strict=True))
    femur = mask_of(*np.meshgrid(z, y, x, indexing="ij"))
    ct = (femur * 0.7 + np.random.default_rng(0).normal(0.2, 0.02, shape)).astype(np.float32)
    case = CasePicture(
        case_id="case",
        spacing_mm_zyx=spacing,
        ct_zyx=ct,
        gradient_zyx=ct,
        reference_zyx=femur if annotated else np.zeros_like(femur),
        predicted_zyx={"raw": np.roll(femur, 1, axis=2), "gradient": femur},
    )
    made = worst_case(case, dice={"raw": 0.9, "gradient": 1.0})
    return [int.from_bytes(made[at : at + 4], "big") / PIXELS_PER_INCH for at in (16, 20)]


def test_the_figure_of_a_worst_case_fits_a_page_whatever_the_field_of_view():
    def one(z, y, x):
        return x**2 + y**2 < 20**2

    def both_in_a_wide_field(z, y, x):
        return (abs(x) - 150) ** 2 + (y - 60) ** 2 < 22**2

    long = in_figure((60, 20, 20), (8.0, 6.0, 6.0), one)
    wide = in_figure((32, 40, 60), (6.0, 10.0, 8.0), both_in_a_wide_field)
    empty = in_figure((32, 40, 60), (6.0, 10.0, 8.0), both_in_a_wide_field, annotated=False)
    assert 5 < long[0] < 11.5
    for width, height in (wide, empty):
        assert width < 11.5
        assert height > 0.55 * width  # no strip
