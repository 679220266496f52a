"""Slices that make no regular stack, resampled to one that does: the mends that a user may choose, "untilt" and
"regularise". Pure: a raw stack and the places of its slices in, an array and its grid out, the same at every reading.

*untilt*: every slice is moved within its own plane to where its header puts it, by linear interpolation there; nothing
is interpolated between slices. The grid's axes are the slices' rows, columns and normal, its first voxel lies on the
first slice's lattice, and its field of view is that of all slices together.

*regularise*: the first and the last slice stay; those between are interpolated linearly along the normal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.dicom.stack import offsets_mm, stack_grid
from femseg.formats.dicom.tilt_and_spacing import even_step_mm
from femseg.formats.source import Mend
from femseg.volumes.grid import VoxelGrid

OUTSIDE_HU = -1000.0  # what no slice shows is air: the same for every CT, whatever its own least value
_ON_A_SLICE = 1e-6  # of a step: the same place but for the last digits
_TIE_SHIFT = 1e-6  # of a voxel: a mask is never sampled exactly between two voxels


@dataclass(frozen=True, slots=True, kw_only=True)
class MendPlan:
    """Where each voxel of the mended stack takes its value from.

    Attributes:
        grid: of the mended stack.
        rows, columns: for every raw slice, the (fractional) raw index of the mended stack's first row and column.
        slices: for every mended slice, its (fractional) raw index.
    """

    grid: VoxelGrid
    rows: tuple[float, ...]
    columns: tuple[float, ...]
    slices: tuple[float, ...]


def mend_plan(slices: Sequence[SliceHeader], mends: Sequence[Mend]) -> MendPlan:
    """How to mend an ordered stack whose slices share orientation, size and pixel spacing."""
    raw = stack_grid(slices)
    along_rows, along_columns, heights = offsets_mm(slices).T
    _, dy, dx = raw.spacing_mm_zyx
    untilted = "untilt" in mends
    moved_y, moved_x = (along_columns / dy, along_rows / dx) if untilted else (np.zeros(len(slices)),) * 2
    first_y, first_x = (int(np.floor(moved.min() + 0.5)) for moved in (moved_y, moved_x))
    last_y, last_x = (int(np.floor(moved.max() + 0.5)) for moved in (moved_y, moved_x))
    step = even_step_mm(heights) if "regularise" in mends else raw.spacing_mm_zyx[0]
    count = round(float(heights[-1]) / step) + 1
    height, width = raw.shape_zyx[1:]
    origin = raw.position_mm_xyz((0, first_y, first_x))
    return MendPlan(
        grid=VoxelGrid(
            shape_zyx=(count, height + last_y - first_y, width + last_x - first_x),
            spacing_mm_zyx=(step, dy, dx),
            origin_mm_xyz=(float(origin[0]), float(origin[1]), float(origin[2])),
            direction_xyz=raw.direction_xyz,
        ),
        rows=tuple((first_y - moved_y).tolist()),
        columns=tuple((first_x - moved_x).tolist()),
        slices=tuple(_raw_indices(heights, step, count) if "regularise" in mends else map(float, range(count))),
    )


def _raw_indices(heights_mm: NDArray[np.float64], step_mm: float, count: int) -> list[float]:
    found = np.interp(np.arange(count) * step_mm, heights_mm, np.arange(len(heights_mm)))
    whole = np.round(found)
    snapped: list[float] = np.where(np.abs(found - whole) < _ON_A_SLICE, whole, found).tolist()
    return snapped


def mended_ct(hu_zyx: NDArray[np.float32], plan: MendPlan) -> NDArray[np.float32]:
    """A CT's raw slices on the mended grid, linear everywhere; -1000 HU where no slice shows anything.

    Args:
        hu_zyx: raw slices in stack order, shape (n, rows, columns).
        plan: of exactly these slices.
    Returns: read-only, shape `plan.grid.shape_zyx`.
    """
    mended = np.empty(plan.grid.shape_zyx, np.float32)
    for z, (below, above, weight) in enumerate(_neighbours(plan.slices)):
        lower = _moved(hu_zyx[below], plan, below, outside=OUTSIDE_HU)
        if weight:
            lower = (1.0 - weight) * lower + weight * _moved(hu_zyx[above], plan, above, outside=OUTSIDE_HU)
        mended[z] = lower
    mended.flags.writeable = False
    return mended


def mended_labels(values_zyx: NDArray[np.generic], plan: MendPlan) -> NDArray[np.generic]:
    """A mask's raw slices on the mended grid: no value that was not there before; 0 where no slice shows anything.

    A mask of one value beside 0 is interpolated as 0 and 1 and cut at 0.5, a label map takes the nearest voxel (PP-04).
    """
    mended = np.zeros(plan.grid.shape_zyx, values_zyx.dtype)
    value = values_zyx.max()
    binary = not ((values_zyx != 0) & (values_zyx != value)).any()
    for z, (below, above, weight) in enumerate(_neighbours(plan.slices)):
        weight = weight + _TIE_SHIFT if below != above else weight
        if binary:
            slices = [(k, (values_zyx[k] != 0).astype(np.float64)) for k in (below, above)]
            shares = [_moved(mask, plan, k, outside=0.0, shift=_TIE_SHIFT) for k, mask in slices]
            mended[z][(1.0 - weight) * shares[0] + weight * shares[1] >= 0.5] = value
        else:
            nearest = above if weight >= 0.5 else below
            mended[z] = _nearest(values_zyx[nearest], plan, nearest)
    mended.flags.writeable = False
    return mended


def _neighbours(raw_indices: Sequence[float]) -> list[tuple[int, int, float]]:
    """For every mended slice the raw slices below and above it, and the weight of the one above."""
    pairs = []
    for index in raw_indices:
        below = int(index)
        pairs.append((below, below if index == below else below + 1, index - below))
    return pairs


def _moved(
    slice_yx: NDArray[np.float32 | np.float64], plan: MendPlan, k: int, *, outside: float, shift: float = 0.0
) -> NDArray[np.float64]:
    """A raw slice on the mended rows and columns. A pixel reaches half its edge beyond its centre, and there holds."""
    moved = np.asarray(slice_yx, np.float64)
    for axis, first in enumerate((plan.rows[k], plan.columns[k])):
        moved = _along(moved, axis, _places(first, plan.grid.shape_zyx[axis + 1], shift), outside)
    return moved


def _places(first: float, count: int, shift: float) -> NDArray[np.float64]:
    """Raw indices along an axis; the first is snapped to a whole number that it misses by rounding alone."""
    first = round(first) if abs(first - round(first)) < _ON_A_SLICE else first
    return np.arange(count, dtype=np.float64) + (first + (shift if first % 1 else 0.0))


def _along(moved: NDArray[np.float64], axis: int, places: NDArray[np.float64], outside: float) -> NDArray[np.float64]:
    last = moved.shape[axis] - 1
    low = np.floor(places)
    weight = np.expand_dims(places - low, 1 - axis)
    below, above = (np.clip(low + extra, 0, last).astype(np.intp) for extra in (0, 1))
    if not weight.any():
        taken = np.take(moved, below, axis)
    else:
        taken = (1.0 - weight) * np.take(moved, below, axis) + weight * np.take(moved, above, axis)
    beyond = (places < -0.5) | (places >= last + 0.5)
    taken[(slice(None),) * axis + (beyond,)] = outside
    return np.asarray(taken)


def _nearest(slice_yx: NDArray[np.generic], plan: MendPlan, k: int) -> NDArray[np.generic]:
    for axis, first in enumerate((plan.rows[k], plan.columns[k])):
        places = _places(first, plan.grid.shape_zyx[axis + 1], _TIE_SHIFT)
        last = slice_yx.shape[axis] - 1
        taken = np.take(slice_yx, np.clip(np.floor(places + 0.5), 0, last).astype(np.intp), axis)
        taken[(slice(None),) * axis + ((places < -0.5) | (places >= last + 0.5),)] = 0
        slice_yx = taken
    return slice_yx
