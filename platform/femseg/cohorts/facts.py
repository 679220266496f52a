"""What a CT and its femur mask show at a glance: metal, and a femur cut off by the field of view."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from femseg.volumes.grid import VoxelGrid

METAL_HU = 2500.0
BONE_HU = 300.0
_CUT_BONE_MM2 = 100.0

End = Literal["superior", "inferior"]


def metal_ml(ct_hu_zyx: NDArray[np.float32], grid: VoxelGrid) -> float:
    """Volume above 2500 HU: denser than any bone."""
    return float(np.count_nonzero(ct_hu_zyx > METAL_HU)) * grid.voxel_volume_mm3 / 1000


def _ends(array_zyx: NDArray[Any], grid: VoxelGrid) -> list[tuple[End, NDArray[Any], float]]:
    """The two end slices across the body axis, each with its end of the body and its voxels' area in mm²."""
    superior_xyz = np.array(grid.direction_xyz).reshape(3, 3)[2]  # how far each index axis climbs
    axis_xyz = int(np.argmax(np.abs(superior_xyz)))
    axis_zyx = 2 - axis_xyz
    area = grid.voxel_volume_mm3 / grid.spacing_mm_zyx[axis_zyx]
    climbs = superior_xyz[axis_xyz] > 0
    first: End = "inferior" if climbs else "superior"
    last: End = "superior" if climbs else "inferior"
    return [(first, np.take(array_zyx, 0, axis_zyx), area), (last, np.take(array_zyx, -1, axis_zyx), area)]


def cut_off(mask_zyx: NDArray[np.bool_], grid: VoxelGrid) -> tuple[End, ...]:
    """Ends of the body axis at which the mask reaches the last slice: the femur goes on where the scan does not."""
    return tuple(sorted(end for end, face, _ in _ends(mask_zyx, grid) if face.any()))


def bone_cut_off(ct_hu_zyx: NDArray[np.float32], grid: VoxelGrid) -> tuple[End, ...]:
    """The same told from a CT without mask: ends whose slice shows more than 1 cm² above 300 HU, of any bone."""
    return tuple(
        sorted(
            end for end, face, area in _ends(ct_hu_zyx, grid) if np.count_nonzero(face > BONE_HU) * area > _CUT_BONE_MM2
        )
    )
