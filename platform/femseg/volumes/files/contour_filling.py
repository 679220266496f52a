"""Which pixels closed contours enclose, by the even-odd rule on pixel centres."""

import numpy as np
from numpy.typing import NDArray


def filled(contours_xy: list[NDArray[np.float64]], shape_yx: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside an odd number of the contours' windings: a contour inside another is a hole.

    A centre exactly on an edge belongs to the area at its right and below (towards higher x and y), so that areas that
    share an edge share no pixel and leave none out. An edge that is run through twice, as in a keyhole, encloses
    nothing.

    Args:
        contours_xy: each of shape (n, 2), in pixels; pixel (y, x) has its centre at (x, y). Closed from last to first.
        shape_yx: size of the slice; what lies beyond it is cut off.
    """
    height, width = shape_yx
    toggles = np.zeros((height, width + 1), bool)  # one column more for crossings right of the slice
    for points in contours_xy:
        starts, ends = points, np.roll(points, -1, axis=0)
        upward = starts[:, 1:] <= ends[:, 1:]
        low, high = np.where(upward, starts, ends), np.where(upward, ends, starts)  # both ways along an edge: the same
        first = np.clip(np.ceil(low[:, 1]), 0, height).astype(int)  # rows whose centre line y meets low <= y < high
        after = np.clip(np.ceil(high[:, 1]), 0, height).astype(int)
        edge = np.repeat(np.arange(len(points)), after - first)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(after - first) - (after - first), after - first) + first[edge]
        share = (row - low[edge, 1]) / (high[edge, 1] - low[edge, 1])
        crossing = low[edge, 0] + share * (high[edge, 0] - low[edge, 0])
        column = np.clip(np.ceil(crossing), 0, width).astype(int)
        np.logical_xor.at(toggles, (row, column), True)
    return np.asarray(np.logical_xor.accumulate(toggles, axis=1)[:, :width])
