"""A small solid without any symmetry, known exactly: where it lies, a mirrored or shifted copy does not."""

import numpy as np
from numpy.typing import NDArray

from femseg.volumes.grid import VoxelGrid

CENTRE_MM_XYZ = np.array([-37.0, 22.0, -410.0])
_BALLS = (  # LPS, relative to the centre: a stem up, an arm to the left, a knob to the back
    ((0.0, 0.0, -5.0), 5.2),
    ((0.0, 0.0, 3.0), 4.1),
    ((5.5, 0.5, 4.0), 3.2),
    ((0.5, 5.0, -6.0), 3.0),
)
SLOPE = 0.25  # of the probability, per mm


def signed_distance_mm(points_mm_xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Below 0 inside; shape (…,) of points (…, 3) in LPS."""
    return np.min(
        [
            np.linalg.norm(points_mm_xyz - CENTRE_MM_XYZ - np.array(centre), axis=-1) - radius
            for centre, radius in _BALLS
        ],
        axis=0,
    )


def grid_of(
    direction_xyz: NDArray[np.float64], spacing_mm_zyx: tuple[float, float, float] = (1.5, 1.0, 1.2), reach_mm=13.0
) -> VoxelGrid:
    """A grid of this orientation with the solid well inside of it."""
    shape = tuple(int(np.ceil(2 * reach_mm / spacing)) + 1 for spacing in spacing_mm_zyx)
    half_xyz = (np.array(shape[::-1]) - 1) * spacing_mm_zyx[::-1] / 2
    origin = CENTRE_MM_XYZ + np.array([0.13, -0.21, 0.08]) - direction_xyz @ half_xyz
    return VoxelGrid(
        shape_zyx=shape,
        spacing_mm_zyx=spacing_mm_zyx,
        origin_mm_xyz=tuple(origin.tolist()),
        direction_xyz=tuple(direction_xyz.ravel().tolist()),
    )


def probability_on(grid: VoxelGrid) -> NDArray[np.float32]:
    """One half on the solid's surface, falling by `SLOPE` a millimetre outwards."""
    indices = np.moveaxis(np.indices(grid.shape_zyx), 0, -1).reshape(-1, 3)
    distance = signed_distance_mm(grid.positions_mm_xyz(indices))
    return np.clip(0.5 - SLOPE * distance, 0, 1).astype(np.float32).reshape(grid.shape_zyx)
