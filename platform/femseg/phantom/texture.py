"""Random fields: why no tissue is uniform and no muscle has straight edges."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import ndimage

from femseg.phantom.shapes import Voxels
from femseg.volumes.grid import VoxelGrid

_COARSE = 4  # what varies slowly is drawn on every fourth voxel


@dataclass(frozen=True, slots=True, kw_only=True)
class Texture:
    """Fields of mean 0 and deviation near 1 on one grid.

    Attributes:
        grain: varies over a few millimetres: trabecular bone, fat between muscle fibres.
        waves: two fields that vary over centimetres: how the edges of muscles wander.
    """

    grain: Voxels
    waves: tuple[Voxels, Voxels]

    def __getitem__(self, where: tuple[slice, slice, slice]) -> "Texture":
        """The texture of a part of the grid."""
        return Texture(grain=self.grain[where], waves=(self.waves[0][where], self.waves[1][where]))

    @classmethod
    def drawn(cls, rng: np.random.Generator, grid: VoxelGrid) -> Self:
        """Draw all fields for a grid."""
        return cls(
            grain=_smooth_field(rng, grid, 2.5), waves=(_slow_field(rng, grid, 14.0), _slow_field(rng, grid, 14.0))
        )


def _smooth_field(rng: np.random.Generator, grid: VoxelGrid, smooth_mm: float) -> Voxels:
    """White noise under a Gaussian of standard deviation `smooth_mm`, scaled back to deviation 1."""
    sigmas = [smooth_mm / spacing for spacing in grid.spacing_mm_zyx]
    white = rng.standard_normal(grid.shape_zyx, dtype=np.float32)
    kept = math.prod(max(1.0, 2.0 * math.sqrt(math.pi) * sigma) for sigma in sigmas)
    smooth = ndimage.gaussian_filter(white, sigmas, mode="wrap", truncate=3.0)
    smooth *= math.sqrt(kept)
    return np.asarray(smooth)


def _slow_field(rng: np.random.Generator, grid: VoxelGrid, smooth_mm: float) -> Voxels:
    z, y, x = (-(-n // _COARSE) for n in grid.shape_zyx)
    coarse = _smooth_field(rng, grid.resized((z, y, x)), smooth_mm)
    return enlarged(coarse, grid.shape_zyx)


def enlarged(coarse_zyx: Voxels, shape_zyx: tuple[int, int, int]) -> Voxels:
    """A coarse field on a finer grid of the same box, linear in between; ten times as fast as ndimage.zoom."""
    field = coarse_zyx
    for axis, fine in enumerate(shape_zyx):
        rough = field.shape[axis]
        at = np.clip((np.arange(fine) + 0.5) * rough / fine - 0.5, 0.0, rough - 1.0)
        low = np.minimum(at.astype(np.intp), max(rough - 2, 0))
        share = (at - low).astype(np.float32).reshape([-1 if n == axis else 1 for n in range(3)])
        below, field = field.take(low, axis), field.take(np.minimum(low + 1, rough - 1), axis)
        field -= below  # in place, as large as a scan
        field *= share
        field += below
    return field
