"""Where the voxels of a volume lie in the patient."""

from dataclasses import dataclass
from itertools import permutations, product
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

    def indices_zyx(self, positions_mm_xyz: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The (fractional) voxel indices of patient coordinates, shapes (n, 3)."""
        axes = np.array(self.direction_xyz).reshape(3, 3)
        steps_xyz = (positions_mm_xyz - np.array(self.origin_mm_xyz)) @ axes / np.array(self.spacing_mm_zyx[::-1])
        return np.asarray(steps_xyz[:, ::-1])

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
        z, y, x = self.shape_zyx
        corners = product((0, z), (0, y), (0, x))
        return max(float(np.linalg.norm(self.position_mm_xyz(c) - other.position_mm_xyz(c))) for c in corners)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelVolume:
    """What each voxel is, uint8, shape (Z, Y, X), 0 for background, with its grid."""

    labels_zyx: NDArray[np.uint8]
    grid: VoxelGrid

    def __post_init__(self) -> None:
        if self.labels_zyx.shape != self.grid.shape_zyx:
            raise ValueError(
                f"labels' shape {self.labels_zyx.shape} does not match grid {self.grid.shape_zyx} (z, y, x)"
            )
        if self.labels_zyx.dtype != np.uint8:
            raise ValueError(f"labels' dtype: expected uint8, got {self.labels_zyx.dtype}")


Indices = NDArray[np.intp]
IndicesZyx = tuple[Indices, Indices, Indices]


def voxels_where_crossing(array_zyx: NDArray[Any], indices_zyx: IndicesZyx) -> NDArray[Any]:
    """The voxels at the crossings of the given slices, rows and columns.

    Args:
        array_zyx: any array or strided view, shape (Z, Y, X).
        indices_zyx: along each axis.
    Returns: shape (len(z), len(y), len(x)); a view where all indices follow one another, else a copy.
    """
    for axis, indices in enumerate(indices_zyx):
        if np.all(np.diff(indices) == 1):
            array_zyx = array_zyx[(slice(None),) * axis + (slice(int(indices[0]), int(indices[-1]) + 1),)]
        else:
            array_zyx = array_zyx.take(indices, axis=axis)
    return array_zyx


def with_neighbours(indices: Indices, size: int) -> Indices:
    """Indices together with the index before and after each, within 0 … size − 1; ascending, each once."""
    around = np.concatenate([indices - 1, indices, indices + 1])
    return np.unique(around[(around >= 0) & (around < size)])


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
