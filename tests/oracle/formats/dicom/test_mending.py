"""Mended stacks against a field whose value is known everywhere, against SimpleITK and against SciPy."""

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from slice_headers import slice_header

from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.dicom.mending import OUTSIDE_HU, mend_plan, mended_ct, mended_labels
from femseg.volumes.grid import VoxelGrid

SPACING_YX = (2.0, 1.5)
ROWS, COLUMNS, STEP = 70, 90, 2.0
TILT = np.radians(15.0)
OBLIQUE = (np.cos(0.2), np.sin(0.2), 0.0, -np.sin(0.2) * np.cos(0.3), np.cos(0.2) * np.cos(0.3), np.sin(0.3))
RAMP_HU_PER_MM = 1700 / 22.5  # of the ellipsoid below, along its shortest radius


def ellipsoid_hu(position_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Air, then a linear ramp to 700 HU over half of an ellipsoid's radii; in any place, shape (..., 3) to (...)."""
    reach = np.linalg.norm((position_mm - [5.0, 8.0, 40.0]) / [60.0, 45.0, 60.0], axis=-1)
    return -1000.0 + 1700.0 * np.clip((1.0 - reach) / 0.5, 0.0, 1.0)


def positions(orientation: tuple[float, ...], heights: NDArray[np.float64], tilt: float) -> NDArray[np.float64]:
    """Of each slice's first pixel: along the normal, and sideways along the columns by the tilt."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    first = np.array([5.0, 8.0, 0.0]) - COLUMNS / 2 * SPACING_YX[1] * row - ROWS / 2 * SPACING_YX[0] * column
    along = np.outer(heights, np.cross(row, column)) + np.outer((heights - heights.mean()) * np.tan(tilt), column)
    return first + along


def raw_stack(
    heights: NDArray[np.float64], *, tilt: float = 0.0, orientation: tuple[float, ...] = (1.0, 0, 0, 0, 1.0, 0)
) -> tuple[list[SliceHeader], NDArray[np.float32]]:
    """The ellipsoid as an odd scanner sees it: headers, and voxels of shape (n, ROWS, COLUMNS)."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    places = positions(orientation, heights, tilt)
    y, x = np.arange(ROWS)[:, None, None] * SPACING_YX[0], np.arange(COLUMNS)[:, None] * SPACING_YX[1]
    hu = np.stack([ellipsoid_hu(place + y * column + x * row) for place in places]).astype(np.float32)
    headers = [
        slice_header(k, place, orientation, rows=ROWS, columns=COLUMNS, spacing_mm_yx=SPACING_YX)
        for k, place in enumerate(places)
    ]
    return headers, hu


def seen_upright(grid: VoxelGrid) -> NDArray[np.float64]:
    """The same field sampled on the mended grid itself."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape_zyx), indexing="ij"), axis=-1)
    steps = index[..., ::-1] * np.array(grid.spacing_mm_zyx[::-1])
    return ellipsoid_hu(np.array(grid.origin_mm_xyz) + steps @ np.array(grid.direction_xyz).reshape(3, 3).T)


EVEN = np.arange(45) * STEP
UNEVEN = np.concatenate([np.arange(10) * 1.0, 10.0 + np.arange(16) * 5.0])
JITTERED = EVEN + np.random.default_rng(4).uniform(-0.6, 0.6, EVEN.size)


@pytest.mark.parametrize(
    ("heights", "tilt", "orientation", "mends"),
    [
        pytest.param(EVEN, TILT, (1.0, 0, 0, 0, 1.0, 0), ("untilt",), id="IN-09 tilt"),
        pytest.param(EVEN, -TILT, OBLIQUE, ("untilt",), id="IN-09 oblique tilt"),
        pytest.param(UNEVEN, 0.0, (1.0, 0, 0, 0, 1.0, 0), ("regularise",), id="IN-02 1 mm then 5 mm"),
        pytest.param(JITTERED, 0.0, OBLIQUE, ("regularise",), id="IN-02 jitter"),
        pytest.param(np.delete(EVEN, [20, 30]), 0.0, (1.0, 0, 0, 0, 1.0, 0), ("regularise",), id="IN-01 two gaps"),
        pytest.param(UNEVEN, TILT, (1.0, 0, 0, 0, 1.0, 0), ("untilt", "regularise"), id="IN-02 IN-09 both"),
    ],
)
def test_a_mended_stack_shows_what_an_upright_even_one_would_have_shown(heights, tilt, orientation, mends):
    """Within the error of linear interpolation: where the ramp sets in, a quarter of its rise over one step."""
    headers, hu = raw_stack(heights, tilt=tilt, orientation=orientation)
    plan = mend_plan(headers, mends)
    mended, truth = mended_ct(hu, plan), seen_upright(plan.grid)
    shown = truth > -999.0  # where the field of view ends, no slice knows what lies beyond
    widest_mm = max(np.diff(heights).max() if "regularise" in mends else 0.0, SPACING_YX[0] if tilt else 0.0)
    error = np.abs(mended - truth)[shown]
    assert error.max() < RAMP_HU_PER_MM * widest_mm / 4 + 3.0
    assert error.mean() < 0.02 * RAMP_HU_PER_MM * widest_mm
    assert np.abs(mended[~shown] - -1000.0).max() < RAMP_HU_PER_MM * widest_mm / 4 + 3.0
    axes = np.array(plan.grid.direction_xyz).reshape(3, 3)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)


def test_a_stack_read_as_upright_without_the_mend_would_be_wrong_by_hundreds_of_hu_IN_09():
    """What the mend is worth: the same voxels on the grid of the first and last slice."""
    headers, hu = raw_stack(EVEN, tilt=TILT)
    assert np.abs(hu - seen_upright(mend_plan(headers, ()).grid)).max() > 500


def test_untilting_is_what_simpleitk_makes_of_each_slice_by_a_translation_IN_09():
    headers, hu = raw_stack(EVEN, tilt=TILT, orientation=OBLIQUE)
    hu += np.random.default_rng(0).normal(0, 30, hu.shape).astype(np.float32)
    plan = mend_plan(headers, ["untilt"])
    mended = mended_ct(hu, plan)
    column = np.array(OBLIQUE[3:])
    for k in (0, 7, 22, 44):
        one = sitk.GetImageFromArray(hu[k])
        one.SetSpacing(SPACING_YX[::-1])
        one.SetOrigin((0.0, float((np.array(headers[k].position_mm_xyz) - plan.grid.origin_mm_xyz) @ column)))
        like = sitk.Image(plan.grid.shape_zyx[:0:-1], sitk.sitkFloat32)
        like.SetSpacing(SPACING_YX[::-1])
        expected = sitk.GetArrayFromImage(sitk.Resample(one, like, sitk.Transform(), sitk.sitkLinear, OUTSIDE_HU))
        np.testing.assert_allclose(mended[k], expected, atol=2e-3)


def test_regularising_is_scipys_linear_interpolation_and_measured_slices_stay_bit_for_bit_IN_02():
    headers, hu = raw_stack(UNEVEN)
    plan = mend_plan(headers, ["regularise"])
    mended = mended_ct(hu, plan)
    assert plan.grid.shape_zyx == (86, ROWS, COLUMNS)
    assert plan.grid.spacing_mm_zyx[0] == 1.0
    expected = make_interp_spline(UNEVEN, hu.astype(np.float64), k=1)(np.arange(86) * 1.0)
    np.testing.assert_allclose(mended, expected, atol=1e-3)
    np.testing.assert_array_equal(mended[UNEVEN.astype(int)], hu)


@pytest.mark.parametrize("mends", [("untilt",), ("regularise",), ("untilt", "regularise")], ids=str)
def test_a_stack_that_needs_no_mend_comes_back_bit_for_bit(mends):
    headers, hu = raw_stack(EVEN)
    plan = mend_plan(headers, mends)
    assert plan.grid == mend_plan(headers, ()).grid
    np.testing.assert_array_equal(mended_ct(hu, plan), hu)
    np.testing.assert_array_equal(mended_labels((hu > 0).astype(np.uint8), plan), hu > 0)


def test_mending_twice_gives_the_same_bytes():
    headers, hu = raw_stack(UNEVEN, tilt=TILT)
    mends = ("untilt", "regularise")
    assert mended_ct(hu, mend_plan(headers, mends)).tobytes() == mended_ct(hu, mend_plan(headers, mends)).tobytes()


def test_the_field_of_view_is_that_of_all_slices_together_and_air_lies_outside_IN_09():
    headers, hu = raw_stack(EVEN, tilt=TILT)
    hu[:] = 40.0
    plan = mend_plan(headers, ["untilt"])
    mended = mended_ct(hu, plan)
    shifts = (EVEN - EVEN[0]) * np.tan(TILT) / SPACING_YX[0]
    assert plan.grid.shape_zyx == (45, ROWS + round(shifts[-1]), COLUMNS)
    assert set(np.unique(mended)) == {OUTSIDE_HU, 40.0}
    assert ((mended == 40.0).sum(axis=1) == ROWS).all()


@pytest.mark.parametrize("factor", [1, 3, 255], ids="value {}".format)
def test_a_binary_mask_is_cut_at_one_half_and_keeps_its_value_and_volume_PP_04(factor):
    headers, hu = raw_stack(UNEVEN, tilt=TILT)
    plan = mend_plan(headers, ("untilt", "regularise"))
    mask = ((hu > 200).astype(np.uint8)) * np.uint8(factor)
    mended = mended_labels(mask, plan)
    truth = seen_upright(plan.grid) > 200
    assert set(np.unique(mended)) == {0, factor}
    assert mended.dtype == mask.dtype
    assert np.count_nonzero((mended == factor) != truth) < 0.06 * truth.sum()
    assert (mended == factor).sum() == pytest.approx(truth.sum(), rel=0.01)


def test_a_label_map_holds_no_value_that_was_not_there_before_PP_04():
    headers, hu = raw_stack(JITTERED, tilt=TILT)
    plan = mend_plan(headers, ("untilt", "regularise"))
    labels = np.digitize(hu, [-400, 100, 600]).astype(np.int16) * 10  # 0, 10, 20, 30: means of two are labels as well
    labels[:, :, 45:][labels[:, :, 45:] == 20] = 7
    mended = mended_labels(labels, plan)
    assert set(np.unique(mended)) == set(np.unique(labels))
    truth = np.digitize(seen_upright(plan.grid), [-400, 100, 600]) * 10
    assert np.mean(np.where(mended == 7, 20, mended) != truth) < 0.02


def test_of_two_opposite_faces_one_counts_where_a_slice_lies_midway_PP_04():
    """Slices 0, 1, _, 3, 4 a mask on 0 and 1, or on 3 and 4: the middle one goes with the upper slice each time."""
    heights = np.array([0.0, 2.0, 6.0, 8.0])
    headers = [slice_header(k, (0, 0, h), rows=4, columns=4) for k, h in enumerate(heights)]
    plan = mend_plan(headers, ["regularise"])
    for covered in ([1, 1, 0, 0], [0, 0, 1, 1]):
        mask = np.repeat(np.array(covered, np.uint8), 16).reshape(4, 4, 4)
        both = mended_labels(mask, plan)[:, 0, 0].tolist()
        assert both == [covered[0], covered[1], covered[2], covered[2], covered[3]]
