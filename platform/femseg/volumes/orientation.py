"""One array order for every scan: a view whose axes run as a patient lies in LPS."""

from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femseg.volumes.grid import VoxelGrid


def _axis_for_patient_axis(grid: VoxelGrid) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """For patient axes (left, posterior, superior): the index axis (x, y, z) that is closest, and whether it runs back.

    All six assignments are compared, so that an oblique scan never gives one axis to two directions.
    """
    direction = np.array(grid.direction_xyz).reshape(3, 3)
    axes = max(permutations(range(3)), key=lambda order: sum(abs(direction[p, a]) for p, a in enumerate(order)))
    return axes, tuple(bool(direction[p, a] < 0) for p, a in enumerate(axes))


def lps_grid(grid: VoxelGrid) -> VoxelGrid:
    """The grid of `to_lps`: the same voxels, counted from inferior, anterior and right."""
    axes, runs_back = _axis_for_patient_axis(grid)
    direction = np.array(grid.direction_xyz).reshape(3, 3)[:, axes] * np.where(runs_back, -1.0, 1.0)
    first_xyz = [0, 0, 0]
    for axis, back in zip(axes, runs_back, strict=True):
        first_xyz[axis] = grid.shape_zyx[2 - axis] - 1 if back else 0
    z, y, x = (2 - axis for axis in axes[::-1])  # array axis 0 is index axis z
    origin = grid.position_mm_xyz((first_xyz[2], first_xyz[1], first_xyz[0]))
    return VoxelGrid(
        shape_zyx=(grid.shape_zyx[z], grid.shape_zyx[y], grid.shape_zyx[x]),
        spacing_mm_zyx=(grid.spacing_mm_zyx[z], grid.spacing_mm_zyx[y], grid.spacing_mm_zyx[x]),
        origin_mm_xyz=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction_xyz=tuple(float(d) + 0.0 for d in direction.ravel()),  # no negative zeros
    )


def to_lps(array_zyx: NDArray[Any], grid: VoxelGrid) -> tuple[NDArray[Any], VoxelGrid]:
    """See a volume with axes inferior to superior, anterior to posterior, right to left, as nearly as its axes allow.

    Args:
        array_zyx: voxels on `grid`, shape (Z, Y, X).
        grid: where they lie; an oblique grid keeps its obliqueness, for no voxel is interpolated.
    Returns: a view of the same memory (writing to it writes to the array), and its grid.
    Raises: ValueError if array and grid disagree on shape.
    """
    if array_zyx.shape != grid.shape_zyx:
        raise ValueError(f"array shape {array_zyx.shape} does not match grid {grid.shape_zyx} (z, y, x)")
    axes, runs_back = _axis_for_patient_axis(grid)
    steps = tuple(slice(None, None, -1 if back else 1) for back in runs_back[::-1])
    return array_zyx.transpose([2 - axis for axis in axes[::-1]])[steps], lps_grid(grid)
