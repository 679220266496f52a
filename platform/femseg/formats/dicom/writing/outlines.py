"""The outlines of a mask on one slice, along the edges of its voxels: what they enclose is the mask, no more, no less.

Each piece (voxels that share edges) has one outline. A hole is reached by a cut that is run through both ways, a
keyhole (PS3.3 C.8.8.6.3); pieces that touch at a corner have an outline each.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Corner = tuple[int, int]  # row and column between voxels: (0, 0) is the outer corner of the first
Edge = tuple[Corner, int]  # from a corner to the next one in a direction

# Right, down, left, up in rows and columns. Edges have the mask at their right hand; at each corner the rightmost way
# is taken, which follows the boundary of what is inside, keeps corners apart, and goes through each cut both ways.
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
_RIGHTMOST_FIRST = (1, 0, 3, 2)
_EVEN_CORNERS_TOO = np.ones((3, 3), bool)


def outlines(mask_yx: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed outlines of a mask's pieces.

    Args:
        mask_yx: shape (Y, X).
    Returns: for each its points, shape (n, 2), as (x, y) in pixels: pixel (y, x) has its centre at (x, y), corners lie
        halfway between. Closed from last to first, clockwise where y points down.
    """
    if not mask_yx.any():
        return []
    rows, columns = (np.flatnonzero(mask_yx.any(axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    box = np.pad(mask_yx[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    shift_xy = np.array([left, top]) - 1.5
    return [np.array(loop, np.float64)[:, ::-1] + shift_xy for loop in _loops(_edges(box))]


def _edges(box: NDArray[np.bool_]) -> dict[Edge, None]:
    """All edges between inside and outside, and the cuts to holes, in a fixed order; the box's rim is outside."""
    leaving = np.zeros((4, *(size + 1 for size in box.shape)), bool)
    here, right, below = box, np.roll(box, -1, axis=1), np.roll(box, -1, axis=0)
    leaving[0, 1:-1, :-1] = below[:-1] & ~here[:-1]  # along the upper edge of a pixel
    leaving[1, :-1, 1:-1] = here[:, :-1] & ~right[:, :-1]
    leaving[2, 1:-1, 1:] = here[:-1] & ~below[:-1]
    leaving[3, 1:, 1:-1] = right[:, :-1] & ~here[:, :-1]
    for cut in _cuts(box, np.logical_or.reduce(leaving)):
        for row, column in cut:
            leaving[3, row, column] = leaving[1, row - 1, column] = True
    found = np.argwhere(leaving)
    return {((row, column), direction): None for direction, row, column in found.tolist()}


def _cuts(box: NDArray[np.bool_], on_edge: NDArray[np.bool_]) -> Iterator[list[Corner]]:
    """From each hole straight up through the mask to the next edge: the lower corner of each step.

    The first pixel of a hole has nothing but mask above it, left and right of the cut, until another edge is met.
    """
    numbers = ndimage.label(~box, structure=_EVEN_CORNERS_TOO)[0]
    outside = numbers[0, 0]
    for number, place in enumerate(ndimage.find_objects(numbers), start=1):
        if number == outside:
            continue
        row = place[0].start
        column = int(np.flatnonzero(numbers[row] == number)[0])
        cut = [(row, column)]
        while not on_edge[row - 1, column]:
            row -= 1
            cut.append((row, column))
        yield cut


def _loops(edges: dict[Edge, None]) -> Iterator[list[Corner]]:
    """Closed walks over all edges, of each the corners where it turns."""
    while edges:
        start, _ = edges.popitem()
        edge, loop = start, []
        while True:
            (row, column), direction = edge
            corner = (row + _STEPS[direction][0], column + _STEPS[direction][1])
            ways = ((corner, (direction + turn) % 4) for turn in _RIGHTMOST_FIRST)
            edge = next(way for way in ways if way in edges or way == start)
            if edge[1] != direction:
                loop.append(corner)
            if edge == start:
                break
            del edges[edge]
        yield loop
