"""Positions of a grid's voxels in mm, boxes of them, and smooth fields carried from a coarse lattice onto them.

What is smooth (the body's outline, noise, distances far from a bone) is made once on a lattice that does not depend on
the grid, so that a person is the same on every spacing.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from femseg.volumes.grid import VoxelGrid

Box = tuple[NDArray[np.float64], NDArray[np.float64]]  # lowest and highest corner, (x, y, z) in mm
Slices = tuple[slice, slice, slice]  # along z, y, x


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """Coordinates in mm along each array axis, ascending and evenly spaced."""

    z: NDArray[np.float64]
    y: NDArray[np.float64]
    x: NDArray[np.float64]

    @classmethod
    def of_grid(cls, grid: VoxelGrid) -> Self:
        """Of a grid with identity direction."""
        steps = zip(grid.origin_mm_xyz[::-1], grid.spacing_mm_zyx, grid.shape_zyx, strict=True)
        z, y, x = (first + step * np.arange(count, dtype=np.float64) for first, step, count in steps)
        return cls(z, y, x)

    @classmethod
    def lattice(cls, box: Box, step_mm: float) -> Self:
        """A lattice of whole multiples of the step that covers a box."""
        low, high = np.floor(box[0] / step_mm), np.ceil(box[1] / step_mm)
        return cls(*(step_mm * np.arange(first, last + 1) for first, last in zip(low[::-1], high[::-1], strict=True)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each array axis."""
        return (len(self.z), len(self.y), len(self.x))

    @property
    def box(self) -> Box:
        """The first and the last voxel's centre."""
        low, high = zip(*((axis[0], axis[-1]) for axis in (self.x, self.y, self.z)), strict=True)
        return np.array(low), np.array(high)

    def open(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """x, y and z as arrays of shapes (1, 1, X), (1, Y, 1) and (Z, 1, 1), which broadcast to (Z, Y, X)."""
        x, y, z = (axis.astype(np.float32) for axis in (self.x, self.y, self.z))
        return x[None, None, :], y[None, :, None], z[:, None, None]

    def within(self, box: Box, margin_mm: float = 0.0) -> Slices:
        """The voxels in a box and a margin about it; empty slices where there are none."""
        slices = []
        for axis, low, high in zip((self.z, self.y, self.x), box[0][::-1], box[1][::-1], strict=True):
            first, last = np.searchsorted(axis, (low - margin_mm, high + margin_mm))
            slices.append(slice(int(first), max(int(first), int(last))))
        return (slices[0], slices[1], slices[2])

    def part(self, slices: Slices) -> "Axes":
        """The axes of some of the voxels."""
        return Axes(self.z[slices[0]], self.y[slices[1]], self.x[slices[2]])

    def positions(self, where: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Positions (x, y, z) of the chosen voxels, shape (N, 3)."""
        z, y, x = np.nonzero(where)
        return np.stack([self.x[x], self.y[y], self.z[z]], axis=-1)

    def slabs(self, voxels: int = 3_000_000) -> list[Slices]:
        """The whole, cut along z into parts of about so many voxels, which bound the memory of what is computed."""
        thick = max(1, voxels // (len(self.y) * len(self.x)))
        return [(slice(z, z + thick), slice(None), slice(None)) for z in range(0, len(self.z), thick)]


def carried(field: NDArray[Any], lattice: Axes, axes: Axes) -> NDArray[np.float32]:
    """A lattice's field at other positions, by linear interpolation; the outermost values go on outwards.

    Args:
        field: shape of the lattice.
    Returns: shape of `axes`.
    """
    near = lattice.within(axes.box, 2 * float(lattice.z[1] - lattice.z[0]))  # the rest has no weight
    if min(part.stop - part.start for part in near) > 1:
        field, lattice = field[near], lattice.part(near)
    along_z, along_y, along_x = (
        _weights(old, new) for old, new in ((lattice.z, axes.z), (lattice.y, axes.y), (lattice.x, axes.x))
    )
    planes = np.tensordot(along_z, field.astype(np.float32, copy=False), axes=1)
    return np.asarray(along_y @ planes @ along_x.T)


def _weights(old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float32]:
    place = np.clip((new - old[0]) / (old[1] - old[0]), 0, len(old) - 1)
    below = np.minimum(place.astype(int), len(old) - 2)
    weights = np.zeros((len(new), len(old)), dtype=np.float32)
    rows = np.arange(len(new))
    weights[rows, below] = 1 - (place - below)
    weights[rows, below + 1] = place - below
    return weights
