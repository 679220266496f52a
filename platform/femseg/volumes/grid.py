"""Where the voxels of a volume lie in the patient."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoxelGrid:
    """Size, spacing, origin and direction of a volume; array order is (z, y, x), patient space is LPS in mm.

    Attributes:
        shape_zyx: voxels along each array axis.
        spacing_mm_zyx: distance of neighbouring voxel centres along each array axis.
        origin_mm_xyz: patient coordinates (left, posterior, superior) of the centre of voxel (0, 0, 0).
        direction_xyz: row-major 3 × 3 matrix; its columns are the unit vectors of the x, y and z index axes.
    """

    shape_zyx: tuple[int, int, int]
    spacing_mm_zyx: Triple
    origin_mm_xyz: Triple = (0.0, 0.0, 0.0)
    direction_xyz: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.shape_zyx) != 3 or min(self.shape_zyx) < 1:
            raise ValueError(f"shape_zyx: expected three sizes of at least 1, got {self.shape_zyx}")
        if len(self.spacing_mm_zyx) != 3 or not all(np.isfinite(s) and s > 0 for s in self.spacing_mm_zyx):
            raise ValueError(f"spacing_mm_zyx: expected three positive lengths, got {self.spacing_mm_zyx}")
        axes = np.array(self.direction_xyz).reshape(3, 3)
        if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-4):
            raise ValueError(f"direction_xyz: expected orthonormal axes, got {self.direction_xyz}")

    @classmethod
    def of_image(cls, image: sitk.Image) -> Self:
        """The grid of a SimpleITK image."""
        return cls(
            shape_zyx=image.GetSize()[::-1],
            spacing_mm_zyx=image.GetSpacing()[::-1],
            origin_mm_xyz=image.GetOrigin(),
            direction_xyz=image.GetDirection(),
        )

    def image(self, array_zyx: NDArray[Any]) -> sitk.Image:
        """A SimpleITK image of these voxels on this grid. Raises: ValueError if the shapes disagree."""
        if array_zyx.shape != self.shape_zyx:
            raise ValueError(f"array shape {array_zyx.shape} does not match grid {self.shape_zyx} (z, y, x)")
        image = sitk.GetImageFromArray(array_zyx)
        image.SetSpacing(self.spacing_mm_zyx[::-1])
        image.SetOrigin(self.origin_mm_xyz)
        image.SetDirection(self.direction_xyz)
        return image

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm_zyx))

    @property
    def extent_mm_zyx(self) -> Triple:
        """Edge lengths of the box that the voxels fill."""
        z, y, x = (n * s for n, s in zip(self.shape_zyx, self.spacing_mm_zyx, strict=True))
        return (z, y, x)

    def position_mm_xyz(self, index_zyx: tuple[float, float, float]) -> NDArray[np.float64]:
        """Patient coordinates of a (fractional) voxel index."""
        steps_xyz = np.array(index_zyx[::-1]) * np.array(self.spacing_mm_zyx[::-1])
        return np.asarray(np.array(self.origin_mm_xyz) + np.array(self.direction_xyz).reshape(3, 3) @ steps_xyz)

    def positions_mm_xyz(self, indices_zyx: NDArray[np.floating[Any] | np.integer[Any]]) -> NDArray[np.float64]:
        """The same of many indices, shapes (n, 3)."""
        steps_xyz = indices_zyx[:, ::-1] * np.array(self.spacing_mm_zyx[::-1])
        return np.asarray(steps_xyz @ np.array(self.direction_xyz).reshape(3, 3).T + np.array(self.origin_mm_xyz))

    def resized(self, shape_zyx: tuple[int, int, int]) -> "VoxelGrid":
        """A grid of another shape that fills the same box of the patient, edge to edge."""
        spacing = tuple(e / n for e, n in zip(self.extent_mm_zyx, shape_zyx, strict=True))
        first_centre_zyx = tuple(0.5 * new / old - 0.5 for new, old in zip(spacing, self.spacing_mm_zyx, strict=True))
        return VoxelGrid(
            shape_zyx=shape_zyx,
            spacing_mm_zyx=spacing,  # type: ignore[arg-type]  # three values, from a triple
            origin_mm_xyz=tuple(self.position_mm_xyz(first_centre_zyx).tolist()),  # type: ignore[arg-type]
            direction_xyz=self.direction_xyz,
        )

    def largest_offset_mm(self, other: "VoxelGrid") -> float:
        """How far apart the two grids place the same voxel, at the worst corner of the volume."""
        corners = [
            (z, y, x) for z in (0, self.shape_zyx[0]) for y in (0, self.shape_zyx[1]) for x in (0, self.shape_zyx[2])
        ]
        return max(float(np.linalg.norm(self.position_mm_xyz(c) - other.position_mm_xyz(c))) for c in corners)
