"""Two small femora without any symmetry, known by formula: where they lie, no mirrored or shifted copy does.

Places are worked out here from plain numbers, and share no code with the grids that are tested.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, permutations, product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from femseg.volumes.grid import LabelVolume, MaskVolume, VoxelGrid

LEFT, RIGHT = 1, 2
SIDES = {LEFT: "left", RIGHT: "right"}
_CENTRE = np.array([-37.0, 22.0, -410.0])  # LPS, far from the origin, where digits are lost
_REACH_MM = 27.0
_SPACING_MM_ZYX = (2.4, 2.0, 2.2)
_SLOPE = 0.2  # of the probability, per mm
_OFF_HALF = 5e-3  # meshes are made with no vertex on a voxel's centre
_Balls = tuple[tuple[float, float, float, float], ...]  # x, y, z, radius in mm; neighbours are joined by a round rod
_PARTS: dict[int, tuple[_Balls, ...]] = {
    LEFT: (
        ((15, 0, -14, 3.6), (15.5, -1, 0, 3.4), (15, 0, 9, 3.9)),  # shaft
        ((15, 0, 9, 3.5), (7, -2, 14, 4.6)),  # neck and head
        ((12, 3.5, -16, 4.0), (18.5, 2.5, -15, 4.4)),  # condyles
    ),
    RIGHT: (  # no mirror image of the other: shorter, higher, and bent
        ((-14, 2, -9, 3.9), (-15, 0.5, 4, 3.6), (-14.5, 2, 12, 4.1)),
        ((-14.5, 2, 12, 3.4), (-7.5, 3.5, 17.5, 4.2)),
        ((-17.5, 5, -11, 4.3), (-11, 6.5, -12, 3.7)),
    ),
}


@dataclass(frozen=True, kw_only=True)  # with what it has worked out
class Sample:
    """The phantom on one grid.

    Attributes:
        name: where the grid's axes point, such as "LPS", or that it is oblique.
        lps_of_xyz: 4 × 4 matrix from voxel index (x, y, z, 1) to millimetres.
        shape_zyx, spacing_mm_zyx: of the grid.
    """

    name: str
    lps_of_xyz: NDArray[np.float64]
    shape_zyx: tuple[int, int, int]
    spacing_mm_zyx: tuple[float, float, float]

    @property
    def grid(self) -> VoxelGrid:
        """As femseg keeps it."""
        direction = self.lps_of_xyz[:3, :3] / self.spacing_mm_zyx[::-1]
        x, y, z = self.lps_of_xyz[:3, 3].tolist()
        return VoxelGrid(
            shape_zyx=self.shape_zyx,
            spacing_mm_zyx=self.spacing_mm_zyx,
            origin_mm_xyz=(x, y, z),
            direction_xyz=tuple(direction.ravel().tolist()),
        )

    @cached_property
    def places_mm(self) -> NDArray[np.float64]:
        """Of all voxels, shape (Z, Y, X, 3)."""
        indices_xyz = np.moveaxis(np.indices(self.shape_zyx), 0, -1)[..., ::-1]
        return np.asarray(indices_xyz @ self.lps_of_xyz[:3, :3].T + self.lps_of_xyz[:3, 3])

    @cached_property
    def distances_mm(self) -> dict[int, NDArray[np.float64]]:
        """Of all voxels from the surface of each femur, below 0 inside; shape (Z, Y, X)."""
        return {label: distance_mm(self.places_mm, label) for label in SIDES}

    def labels(self) -> LabelVolume:
        """1 in the left femur, 2 in the right one."""
        return labels_at(self.places_mm, self.grid)

    def mask(self, label: int) -> MaskVolume:
        """One femur."""
        return MaskVolume(femur_zyx=self.distances_mm[label] < 0, grid=self.grid)

    def probability(self, label: int) -> NDArray[np.float32]:
        """One half on the surface of a femur, falling outwards, and at no voxel; shape (Z, Y, X)."""
        inwards = np.clip(-_SLOPE * self.distances_mm[label], -0.5, 0.5)
        return (0.5 + np.copysign(np.maximum(np.abs(inwards), _OFF_HALF), inwards)).astype(np.float32)

    def voxels_mm(self, label: int) -> NDArray[np.float64]:
        """Where the voxels of a femur lie, shape (n, 3)."""
        return np.asarray(self.places_mm[self.distances_mm[label] < 0])

    def crossings_mm(self, label: int) -> NDArray[np.float64]:
        """Where the probability passes one half between neighbouring voxels, shape (n, 3)."""
        places, above = self.places_mm, self.probability(label).astype(np.float64) - 0.5
        found = []
        for axis in range(3):
            one, other = (np.moveaxis(above, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
            at, next_at = (np.moveaxis(places, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
            passed = (one < 0) != (other < 0)
            share = (one[passed] / (one[passed] - other[passed]))[:, None]
            found.append(at[passed] + share * (next_at[passed] - at[passed]))
        return np.concatenate(found)


def distance_mm(places_mm: NDArray[np.float64], label: int) -> NDArray[np.float64]:
    """From the surface of a femur, below 0 inside; shape (…) of places (…, 3)."""
    rods = [pair for part in _PARTS[label] for pair in pairwise(part)]
    return np.asarray(np.min([_from_rod_mm(places_mm - _CENTRE, np.array(a), np.array(b)) for a, b in rods], axis=0))


def _from_rod_mm(places: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    along = b[:3] - a[:3]
    share = np.clip((places - a[:3]) @ along / (along @ along), 0, 1)
    nearest = a + share[..., None] * (b - a)
    return np.asarray(np.linalg.norm(places - nearest[..., :3], axis=-1) - nearest[..., 3])


def labels_at(places_mm: NDArray[np.float64], grid: VoxelGrid) -> LabelVolume:
    """The labels of places (Z, Y, X, 3), which are said to be a grid's."""
    labels = np.zeros(grid.shape_zyx, np.uint8)
    for label in SIDES:
        labels[distance_mm(places_mm, label) < 0] = label
    return LabelVolume(labels_zyx=labels, grid=grid)


def samples() -> Iterator[Sample]:
    """All 48 ways in which the axes can run, and five oblique ones, two of them left-handed."""
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        letters = ("LR", "PA", "SI")
        name = "".join(letters[axis][sign < 0] for axis, sign in zip(axes, signs, strict=True))
        yield sample(name, np.eye(3)[:, list(axes)] * signs)
    turns = ((10, 0, 0), (-20, 15, 30), (120, -70, 200), (25, 40, -60), (5, -8, 95))
    for number, degrees in enumerate(turns, start=1):
        handed = np.diag((1.0, 1.0, -1.0 if number > 3 else 1.0))
        yield sample(f"oblique {number}", Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ handed)


def sample(name: str, direction: NDArray[np.float64]) -> Sample:
    """The phantom on a grid whose x, y and z axes run along the columns of a matrix, the femora well inside."""
    shape = tuple(int(np.ceil(2 * _REACH_MM / spacing)) + 1 for spacing in _SPACING_MM_ZYX)
    affine = np.eye(4)
    affine[:3, :3] = direction * _SPACING_MM_ZYX[::-1]
    middle_xyz = (np.array(shape[::-1]) - 1) / 2
    affine[:3, 3] = _CENTRE + np.array([0.13, -0.21, 0.08]) - affine[:3, :3] @ middle_xyz
    z, y, x = shape
    return Sample(name=name, lps_of_xyz=affine, shape_zyx=(z, y, x), spacing_mm_zyx=_SPACING_MM_ZYX)
