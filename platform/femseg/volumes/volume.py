"""A CT or a mask together with its grid: voxels never travel without their geometry."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.volumes.grid import VoxelGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class CtVolume:
    """CT in Hounsfield units, shape (Z, Y, X), with its grid."""

    hu_zyx: NDArray[np.float32]
    grid: VoxelGrid

    def __post_init__(self) -> None:
        if self.hu_zyx.shape != self.grid.shape_zyx:
            raise ValueError(f"CT shape {self.hu_zyx.shape} does not match grid {self.grid.shape_zyx} (z, y, x)")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskVolume:
    """Femur mask, bool, shape (Z, Y, X), with its grid."""

    femur_zyx: NDArray[np.bool_]
    grid: VoxelGrid

    def __post_init__(self) -> None:
        if self.femur_zyx.shape != self.grid.shape_zyx:
            raise ValueError(f"mask shape {self.femur_zyx.shape} does not match grid {self.grid.shape_zyx} (z, y, x)")
        if self.femur_zyx.dtype != np.bool_:
            raise ValueError(f"mask dtype: expected bool, got {self.femur_zyx.dtype}")
