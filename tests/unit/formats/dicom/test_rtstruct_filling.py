"""Even-odd filling: areas that share an edge share no pixel, and repeated edges enclose nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from femseg.formats.dicom.contours import filled

SHAPE_YX = (9, 11)


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)


def test_a_centre_on_an_edge_belongs_to_what_lies_right_and_below():
    mask = filled([box(2, 3, 5, 6)], SHAPE_YX)
    assert np.argwhere(mask).min(axis=0).tolist() == [3, 2]
    assert np.argwhere(mask).max(axis=0).tolist() == [5, 4]


def test_neighbours_share_no_pixel_and_leave_none_out():
    left, right = filled([box(1, 1, 4, 7)], SHAPE_YX), filled([box(4, 1, 8, 7)], SHAPE_YX)
    assert not (left & right).any()
    np.testing.assert_array_equal(left | right, filled([box(1, 1, 8, 7)], SHAPE_YX))


def test_what_lies_beyond_the_slice_is_cut_off():
    np.testing.assert_array_equal(filled([box(-5, -5, 40, 40)], SHAPE_YX), np.ones(SHAPE_YX, bool))
    assert not filled([box(-5, -5, -1, 40), box(20, -5, 40, 40)], SHAPE_YX).any()


def test_a_line_there_and_back_encloses_nothing():
    line = np.array([[1.3, 1.1], [8.7, 6.9], [4.2, 7.7], [8.7, 6.9]])
    assert not filled([line], SHAPE_YX).any()


corners = st.floats(-2, 12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(corners, corners), min_size=3, max_size=3))
def test_triangles_agree_with_matplotlib_away_from_their_edges(points):
    """Matplotlib's rule is winding, ours even-odd; on a triangle they are one. On an edge it has no rule."""
    triangle = np.array(points)
    rows, columns = np.indices(SHAPE_YX)
    centres = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(float)
    starts, along = triangle, np.roll(triangle, -1, axis=0) - triangle
    length2 = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip(((centres[:, None] - starts) * along).sum(axis=2) / length2, 0, 1)
    away = np.linalg.norm(centres[:, None] - starts - share[..., None] * along, axis=2).min(axis=1) > 1e-6
    expected = Outline(np.concatenate([triangle, triangle[:1]]), closed=True).contains_points(centres)
    np.testing.assert_array_equal(filled([triangle], SHAPE_YX).ravel()[away], expected[away])
