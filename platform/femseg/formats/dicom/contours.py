"""Closed contours of one region on one slice, filled: which are there twice, which are holes, which are joined.

Contours that cross are one area (PS3.3 C.8.8.6.3 keeps exclusive-or for CLOSEDPLANAR_XOR). One that lies wholly inside
another is a hole, and one inside a hole is an island, as planning systems write them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int]
Points = NDArray[np.float64]  # shape (n, 2), x and y in pixels; closed from last to first

SAME_CONTOUR_MM = 0.1  # planning systems write one or two decimals; no cortex is as thin
_CELLS_AT_MOST = 1 << 18  # of the finer raster on which two contours are compared


class PlanarContour(NamedTuple):
    """A closed contour on a slice, and whether it toggles what lies in it (CLOSEDPLANAR_XOR)."""

    points_xy: Points
    toggles: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What all contours of a region on one slice enclose.

    Attributes:
        repeated: contours left out, for they run where another one does.
        pairs: how many pairs had to be compared.
    """

    inside_yx: NDArray[np.bool_]
    repeated: int
    pairs: int


def filled(contours_xy: Sequence[Points], shape_yx: Shape) -> NDArray[np.bool_]:
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


def region_of(contours: Sequence[PlanarContour], shape_yx: Shape, spacing_mm_yx: tuple[float, float]) -> Region:
    """Fill all contours of a region on one slice."""
    if len(contours) == 1:
        return Region(inside_yx=filled([contours[0].points_xy], shape_yx), repeated=0, pairs=0)
    inside_yx = np.zeros(shape_yx, bool)
    kept: list[tuple[PlanarContour, bool]] = []  # with whether it is filled; from the largest to the smallest
    repeated = pairs = 0
    for contour in sorted(contours, key=lambda one: -enclosed_px(one.points_xy)):
        fills = True
        for earlier, earlier_fills in kept:
            if not _boxes_meet(contour.points_xy, earlier.points_xy):
                continue
            pairs += 1
            if _run_together(contour.points_xy, earlier.points_xy, shape_yx, spacing_mm_yx):
                repeated += 1
                break
            if not contour.toggles and not earlier.toggles and _lies_in(contour.points_xy, earlier.points_xy, shape_yx):
                fills = not earlier_fills  # the last one that it lies in is the innermost
        else:
            kept.append((contour, fills))
            if not contour.toggles:
                inside_yx[filled([contour.points_xy], shape_yx)] = fills
    inside_yx ^= filled([contour.points_xy for contour, _ in kept if contour.toggles], shape_yx)
    return Region(inside_yx=inside_yx, repeated=repeated, pairs=pairs)


def enclosed_px(points: Points) -> float:
    """Area that a contour encloses by its points alone, in pixels; one that runs round twice has twice its area."""
    x, y = (points - points.mean(axis=0)).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def length_px(points: Points) -> float:
    """Length of a contour, in pixels."""
    return float(np.hypot(*(np.roll(points, -1, axis=0) - points).T).sum())


def _boxes_meet(one: Points, other: Points) -> bool:
    low, high = np.maximum(one.min(axis=0), other.min(axis=0)), np.minimum(one.max(axis=0), other.max(axis=0))
    return bool((low <= high).all())


def _run_together(one: Points, other: Points, shape_yx: Shape, spacing_mm_yx: tuple[float, float]) -> bool:
    """Whether two contours enclose the same but for a rim of 0.1 mm, wherever they start and whichever way they run."""
    spacing_xy = np.array(spacing_mm_yx[::-1])
    lows, highs = ([points.min(axis=0), points.max(axis=0)] for points in (one, other))
    corners_mm = np.abs(np.subtract(lows, highs)) * spacing_xy
    if corners_mm.max() > 2 * SAME_CONTOUR_MM:
        return False
    low, high = np.minimum(lows, highs)[0], np.maximum(lows, highs)[1]
    (first, second), cell_px = _rasters(one, other, low, high, shape_yx)
    rim_px = float(np.count_nonzero(first ^ second)) * cell_px
    return rim_px <= SAME_CONTOUR_MM / float(spacing_xy.max()) * length_px(one)


def _lies_in(inner: Points, outer: Points, shape_yx: Shape) -> bool:
    """Whether a contour lies wholly inside another, as far as a raster of up to 5 × 5 cells a pixel shows."""
    (first, second), _ = _rasters(inner, outer, inner.min(axis=0), inner.max(axis=0), shape_yx)
    return bool(first.any()) and not bool((first & ~second).any())


def _rasters(
    one: Points, other: Points, low_xy: Points, high_xy: Points, shape_yx: Shape
) -> tuple[list[NDArray[np.bool_]], float]:
    """Both filled on the cells of a box, as finely as there is room, and the area of a cell in pixels."""
    low = np.clip(np.floor(low_xy), 0, shape_yx[::-1])
    width, height = np.clip(np.ceil(high_xy) + 1, 0, shape_yx[::-1]).astype(int) - low.astype(int)
    times = next((k for k in (5, 3) if width * height * k * k <= _CELLS_AT_MOST), 1)  # odd: centres of pixels stay some
    box = (int(height) * times, int(width) * times)
    return [filled([(points - low) * times + times // 2], box) for points in (one, other)], 1 / times**2
