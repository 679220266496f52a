"""Outlines of any mask enclose its voxels and nothing else, whatever its holes, islands and corners."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from matplotlib.path import Path as Outline
from scipy import ndimage

from femseg.formats.dicom.contours import PlanarContour, region_of
from femseg.formats.dicom.writing.outlines import outlines

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.booleans())
with_frames = masks.map(lambda mask: np.pad(np.pad(mask, 1, constant_values=True), 1))  # holes and islands


def area(points_xy: np.ndarray) -> float:
    x, y = points_xy.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


@given(masks | with_frames)
def test_areas_add_up_to_the_number_of_voxels_and_all_run_the_same_way_round(mask_yx):
    areas = [area(points) for points in outlines(mask_yx)]
    assert all(one > 0 for one in areas)
    assert sum(areas) == np.count_nonzero(mask_yx)


@given(masks | with_frames)
def test_each_piece_has_one_outline_that_holds_its_voxels_centres_and_no_others(mask_yx):
    numbers, count = ndimage.label(mask_yx)  # pieces that touch at a corner are two
    found = outlines(mask_yx)
    assert len(found) == count
    centres = np.indices(mask_yx.shape)[::-1].reshape(2, -1).T
    pieces = set()
    for points in found:
        closed = Outline(np.concatenate([points, points[:1]]), closed=True)
        inside = closed.contains_points(centres).reshape(mask_yx.shape)
        (number,) = np.unique(numbers[inside])
        assert np.array_equal(inside, numbers == number)
        pieces.add(number)
    assert pieces == {*range(1, count + 1)}


@given(masks | with_frames)
def test_our_reader_draws_the_same_mask(mask_yx):
    contours = [PlanarContour(points) for points in outlines(mask_yx)]
    region = region_of(contours, mask_yx.shape, (1.0, 0.8))
    assert np.array_equal(region.inside_yx, mask_yx)
    assert region.repeated == 0


@given(masks | with_frames)
def test_points_lie_on_corners_of_voxels_and_none_in_the_middle_of_an_edge(mask_yx):
    for points in outlines(mask_yx):
        assert np.array_equal(points % 1, np.full_like(points, 0.5))
        before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
        assert np.all(np.count_nonzero(before, axis=1) == 1)  # along rows or columns alone
        straight_on = np.all(np.sign(before) == np.sign(after), axis=1)
        assert not straight_on.any()
