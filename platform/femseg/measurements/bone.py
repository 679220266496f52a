"""A bone without the steps of its voxels: points on its surface, plane cuts through it, where the scan cuts it off.

The mask is softened by a Gaussian; where that falls through one half is the surface, to a fraction of a voxel.
Everything is said in patient coordinates (LPS, mm), so that nothing depends on how the volume is stored.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from femseg.measurements.lines import Array, square
from femseg.volumes.grid import MaskVolume, VoxelGrid

_SOFTENED_MM = 0.8
_SOFTENED_VOXELS = 0.6  # of a voxel's edge, where that is more
_MARGIN_VOXELS = 5
_CAP_MM = 8.0
_AT_CUT_MM = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One connected piece of a plane cut through a bone.

    Attributes:
        centre: centroid of the filled outline.
        across, along: unit vectors of the plane; the cut was sampled at `ticks_mm` along either, from `origin`.
        share: of bone at these places, 0 to 1, shape (along, across); 0 off the piece.
    """

    centre: Array
    area_mm2: float
    origin: Array
    across: Array
    along: Array
    ticks_mm: Array
    share: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Bone:
    """One bone of a mask.

    Attributes:
        soft_zyx: the mask softened, 0 to 1, on `grid`; beyond the scan's edge it goes on as it left.
        grid: of the box round the bone, with a margin.
        surface: points on its surface, shape (n, 3), none where the scan ends.
        cut_off: where bone reaches the scan's edge, or was sawn off, shape (n, 3).
    """

    soft_zyx: NDArray[np.float32]
    grid: VoxelGrid
    surface: Array
    cut_off: Array

    @classmethod
    def of_mask(cls, mask: MaskVolume, sawn_off: Array | None = None) -> Self:
        """Soften a mask that shows one femur.

        Args:
            sawn_off: points where some bone ends though the scan does not; of this one are those on its surface.
        Raises: ValueError if the mask is empty.
        """
        spans = [np.flatnonzero(mask.femur_zyx.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        if not spans[0].size:
            raise ValueError("mask: expected a femur, got an empty mask")
        shape = np.array(mask.grid.shape_zyx)
        start = np.array([span[0] for span in spans]) - _MARGIN_VOXELS
        stop = np.array([span[-1] + 1 for span in spans]) + _MARGIN_VOXELS
        inner = tuple(slice(low, high) for low, high in zip(np.maximum(start, 0), np.minimum(stop, shape), strict=True))
        padding = list(zip(np.maximum(-start, 0), np.maximum(stop - shape, 0), strict=True))
        box = np.pad(mask.femur_zyx[inner], padding, mode="edge")
        x, y, z = mask.grid.position_mm_xyz((float(start[0]), float(start[1]), float(start[2]))).tolist()
        grid = VoxelGrid(
            shape_zyx=(box.shape[0], box.shape[1], box.shape[2]),
            spacing_mm_zyx=mask.grid.spacing_mm_zyx,
            origin_mm_xyz=(x, y, z),
            direction_xyz=mask.grid.direction_xyz,
        )
        sigmas = [max(_SOFTENED_MM / edge, _SOFTENED_VOXELS) for edge in grid.spacing_mm_zyx]
        soft_zyx = ndimage.gaussian_filter(box.astype(np.float32), sigmas, mode="nearest", truncate=3.0)
        first, last = np.maximum(-start, 0), shape - start - 1  # of the scan, on this grid
        crossings, voxels = _crossings(soft_zyx), np.argwhere(box)
        in_scan = np.all((crossings > first + 0.5) & (crossings < last - 0.5), axis=1)
        at_edge = np.any((voxels == first) | (voxels == last), axis=1) & np.all((voxels >= first) & (voxels <= last), 1)
        surface, cut_off = grid.positions_mm_xyz(crossings[in_scan]), grid.positions_mm_xyz(voxels[at_edge])
        if sawn_off is not None and len(sawn_off) and len(surface):
            own = sawn_off[_near(sawn_off, surface)]
            surface, cut_off = surface[~_near(surface, own)], np.concatenate([cut_off, own])
        return cls(soft_zyx=soft_zyx, grid=grid, surface=surface, cut_off=cut_off)

    @property
    def coarsest_mm(self) -> float:
        """The longest edge of a voxel."""
        return max(self.grid.spacing_mm_zyx)

    def filled(self, points: Array) -> Array:
        """How far each point lies inside: 1 deep inside, one half on the surface, 0 outside."""
        return sampled(self.soft_zyx, self.grid, points)

    def cut(self, origin: Array, normal: Array, *, reach_mm: float = 55.0, step_mm: float = 1.0) -> Cut | None:
        """The piece of a plane cut that holds `origin`, or else lies nearest to it; None where the plane misses.

        Args:
            normal: of the plane through `origin`, a unit vector.
            reach_mm: half the edge of the square that is looked at.
        """
        across, along = square(normal)
        ticks = np.arange(-reach_mm, reach_mm + step_mm / 2, step_mm)
        v, u = np.meshgrid(ticks, ticks, indexing="ij")
        share = self.filled(origin + u.reshape(-1, 1) * across + v.reshape(-1, 1) * along).reshape(u.shape)
        pieces, count = ndimage.label(share >= 0.5)
        if not count:
            return None
        nearest = int(np.argmin(np.where(pieces > 0, u**2 + v**2, np.inf)))
        piece = ndimage.binary_dilation(pieces == pieces.ravel()[nearest], iterations=2)
        share = np.where(piece, share, 0.0)
        total = float(share.sum())
        centre = origin + float((share * u).sum()) / total * across + float((share * v).sum()) / total * along
        return Cut(
            centre=centre,
            area_mm2=total * step_mm**2,
            origin=origin,
            across=across,
            along=along,
            ticks_mm=ticks,
            share=share,
        )


def _near(points: Array, others: Array) -> NDArray[np.bool_]:
    """Which points have one of the others beside them."""
    if not len(others):
        return np.zeros(len(points), np.bool_)
    return np.asarray(np.isfinite(KDTree(others).query(points, distance_upper_bound=_AT_CUT_MM)[0]))


def sampled(volume_zyx: NDArray[np.float32], grid: VoxelGrid, points: Array) -> Array:
    """Values of a volume at points in patient coordinates, shape (n, 3), linear in between; its edge's beyond it."""
    at = grid.indices_zyx(points)
    return np.asarray(ndimage.map_coordinates(volume_zyx, at.T, order=1, mode="nearest"), np.float64)


def furthest(points: Array, towards: Array) -> Array:
    """Where a surface reaches furthest in a direction, to a fraction of a voxel: the top of a paraboloid on its cap."""
    height = points @ towards
    top = points[int(np.argmax(height))]
    apart = points - top
    cap = apart[(np.linalg.norm(apart, axis=1) < _CAP_MM) & (apart @ towards > -_CAP_MM / 2)]
    across, along = square(towards)
    u, v, h = cap @ across, cap @ along, cap @ towards
    columns = np.column_stack([np.ones_like(u), u, v, u**2, u * v, v**2])
    c = np.linalg.lstsq(columns, h, rcond=None)[0]
    bend = np.array([[2 * c[3], c[4]], [c[4], 2 * c[5]]])
    if np.linalg.eigvalsh(bend).max() < -1e-3:  # a hill; else a ridge or a plain, where the highest point must do
        at = np.linalg.solve(bend, -c[1:3])
        if np.linalg.norm(at) < _CAP_MM:
            rise = float(c[0] + c[1:3] @ at + 0.5 * at @ bend @ at)
            return np.asarray(top + at[0] * across + at[1] * along + rise * towards)
    return np.asarray(top + float(np.percentile(h, 99.0)) * towards)


def _crossings(soft_zyx: NDArray[np.float32]) -> Array:
    """Where the edges between neighbouring voxels cross one half; fractional indices (z, y, x), shape (n, 3)."""
    found = []
    for axis in range(3):
        here = np.moveaxis(soft_zyx, axis, 0)
        before, after = here[:-1], here[1:]
        places = np.argwhere((before >= 0.5) != (after >= 0.5))
        first, second = before[tuple(places.T)], after[tuple(places.T)]
        exact = places.astype(np.float64)
        exact[:, 0] += (0.5 - first) / (second - first)
        found.append(np.insert(exact[:, 1:], axis, exact[:, 0], axis=1))
    return np.concatenate(found)
