"""Random fields: why no tissue is uniform and no muscle has straight edges."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import ndimage

from femseg.cohorts.phantom.shapes import Voxels
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
    return np.asarray(ndimage.gaussian_filter(white, sigmas, mode="wrap", truncate=3.0) * math.sqrt(kept))


def _slow_field(rng: np.random.Generator, grid: VoxelGrid, smooth_mm: float) -> Voxels:
    z, y, x = (-(-n // _COARSE) for n in grid.shape_zyx)
    coarse = _smooth_field(rng, grid.resized((z, y, x)), smooth_mm)
    zoom = [fine / rough for fine, rough in zip(grid.shape_zyx, coarse.shape, strict=True)]
    return np.asarray(ndimage.zoom(coarse, zoom, order=1, mode="nearest", grid_mode=True))
