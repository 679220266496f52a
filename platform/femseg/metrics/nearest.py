"""Distance from each of some voxels to the nearest of some others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from femseg.metrics.masks import Mask, with_rim

Ring = tuple[NDArray[np.int_], float]  # columns that are equally far, as steps in memory; their squared distance in mm²

_REACH = 8  # in units of the largest spacing: how far is searched


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Slices to the nearest target voxel in the same column, for every voxel of a volume, as far as is searched.

    This is the first pass of a separable distance transform (Felzenszwalb & Huttenlocher 2012); the second is done only
    for the voxels that are asked for, and stops where no column can bring a nearer target.

    Attributes:
        slices_away_zyx: uint8 or int32, padded in y and x by the columns that are tried.
        no_target: what stands there where the column has no target within reach.
        rim_yx: width of that padding.
        rings: the columns around a column, nearest first.
        spacing_mm: along (z, y, x).
    """

    slices_away_zyx: NDArray[np.uint8 | np.int32]
    no_target: int
    rim_yx: tuple[int, int]
    rings: Sequence[Ring]
    spacing_mm: NDArray[np.float64]

    @classmethod
    def of(cls, to_voxels: Mask, spacing_mm: NDArray[np.float64]) -> Self:
        """Two passes along z over the targets, bool, shape (Z, Y, X); each tries 1, 2, 4 … slices farther."""
        reach, y, x = (int(_REACH * spacing_mm.max() / s) for s in spacing_mm)
        farther = [2**n for n in range(reach.bit_length()) if 2**n < len(to_voxels)]
        no_target, dtype = (128, np.dtype(np.uint8)) if reach < 128 else (2**15, np.dtype(np.int32))  # no sum overflows
        slices_away = np.multiply(~to_voxels, no_target, dtype=dtype)  # ten times as fast as np.where
        further = np.empty_like(slices_away)
        for step in farther:
            below, above, more = slices_away[:-step], slices_away[step:], further[step:]
            np.minimum(above, np.add(below, step, out=more), out=above)
        for step in farther:
            below, above, more = slices_away[:-step], slices_away[step:], further[step:]
            np.minimum(below, np.add(above, step, out=more), out=below)
        height, depth, width = to_voxels.shape
        padded = np.full((height, depth + 2 * y, width + 2 * x), no_target, dtype)
        padded[:, y : y + depth, x : x + width] = slices_away
        rings = _rings_nearest_first((y, x), spacing_mm, padded.shape[2])
        return cls(slices_away_zyx=padded, no_target=no_target, rim_yx=(y, x), rings=rings, spacing_mm=spacing_mm)

    @property
    def reach_mm(self) -> float:
        """Distances up to here are found."""
        return float(_REACH * self.spacing_mm.max())

    def steps_for(self, distances_mm: NDArray[np.float64]) -> float:
        """How many columns lie within these distances, on average."""
        within_mm = np.minimum(distances_mm, self.reach_mm)
        return float(np.mean(np.pi * within_mm**2) / (self.spacing_mm[1] * self.spacing_mm[2]))

    def distances_mm(self, indices_zyx: NDArray[np.int_]) -> NDArray[np.float64]:
        """Distance of each of these voxels to its nearest target; infinite if that is beyond `reach_mm`."""
        _, y, x = self.slices_away_zyx.shape
        places = (indices_zyx + np.array((0, *self.rim_yx))) @ (y * x, x, 1)
        slices_away = self.slices_away_zyx.ravel()
        squared_mm2 = (np.arange(self.no_target + 1) * self.spacing_mm[0]) ** 2
        squared_mm2[self.no_target] = np.inf
        nearest_mm2 = squared_mm2[slices_away[places]]
        open_, found_mm2 = np.arange(len(places)), nearest_mm2.copy()
        for offsets, length_mm2 in self.rings:
            nearest_mm2[open_] = found_mm2
            improvable = found_mm2 > length_mm2
            if not improvable.all():
                open_, places, found_mm2 = open_[improvable], places[improvable], found_mm2[improvable]
            if not open_.size:
                break
            fewest = slices_away[places + offsets[0]]
            for offset in offsets[1:]:
                np.minimum(fewest, slices_away[places + offset], out=fewest)
            np.minimum(found_mm2, squared_mm2[fewest] + length_mm2, out=found_mm2)
        nearest_mm2[open_] = found_mm2
        nearest_mm2[nearest_mm2 > self.reach_mm**2] = np.inf
        return np.asarray(np.sqrt(nearest_mm2))


def _rings_nearest_first(rim_yx: tuple[int, int], spacing_mm: NDArray[np.float64], width: int) -> Sequence[Ring]:
    """The columns around within reach, where rows are this wide."""
    y, x = np.meshgrid(*(np.arange(-n, n + 1) for n in rim_yx), indexing="ij")
    lengths_mm2 = (y * spacing_mm[1]) ** 2 + (x * spacing_mm[2]) ** 2
    offsets = (y * width + x).ravel()
    rings, members = np.unique(lengths_mm2, return_inverse=True)
    order = np.argsort(members, axis=None, kind="stable")
    starts = np.searchsorted(members.ravel()[order], np.arange(len(rings) + 1))
    within = np.searchsorted(rings, (_REACH * spacing_mm.max()) ** 2, side="right")
    return [
        (offsets[order[starts[n] : starts[n + 1]]], float(rings[n])) for n in range(1, within)
    ]  # 0: the column itself


_NEIGHBOURHOOD = 1.2  # in units of the largest spacing: how far the voxels around are tried one by one

# Costs in units of one voxel of a distance transform, measured on femur-like masks.
_STEP_COST = 0.2  # one step of one voxel's search over columns
_NEAR_QUERY_COST = 6  # one query of the tree
_FAR_QUERY_COST = 100
_NEAR_VOXELS = 5
_PROBES = 1000


def distances_to_nearest_mm(from_voxels: Mask, to_voxels: Mask, spacing_mm_zyx: Sequence[float]) -> NDArray[np.float64]:
    """Exact distance from every true voxel of one array to the nearest true voxel of the other, in C order.

    Where masks nearly agree, the nearest target touches: the voxels around are looked up, nearest first. What is left
    is searched column by column; what is farther than these go asks a k-d tree over the targets or, if that is many
    voxels (a threshold that took the pelvis too), a distance transform of the volume, 12 bytes a voxel.

    Args:
        from_voxels: where to measure from, bool, shape (Z, Y, X).
        to_voxels: where to measure to, same shape, with at least one true voxel.
        spacing_mm_zyx: distance of neighbouring voxels along (z, y, x).
    Returns: mm, one value for each true voxel of `from_voxels`.
    """
    spacing_mm = np.asarray(spacing_mm_zyx, np.float64)
    distances_mm, unmet, indices = _touching(from_voxels, to_voxels, spacing_mm)
    if not unmet.size:
        return distances_mm
    columns = Columns.of(to_voxels, spacing_mm)
    every = max(1, len(indices) // _PROBES)
    steps = len(indices) * columns.steps_for(columns.distances_mm(indices[::every]))
    if steps * _STEP_COST > to_voxels.size:
        distances_mm[unmet] = _by_transform(indices, to_voxels, spacing_mm)
        return distances_mm
    distances_mm[unmet] = columns.distances_mm(indices)
    far = unmet[np.isinf(distances_mm[unmet])]
    if far.size:
        distances_mm[far] = _far_distances_mm(indices[np.isinf(distances_mm[unmet])], to_voxels, spacing_mm)
    return distances_mm


def _touching(
    from_voxels: Mask, to_voxels: Mask, spacing_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int_], NDArray[np.int_]]:
    """Distances to targets within the neighbourhood; which voxels met none, by place in C order and by (z, y, x)."""
    reach = np.ceil(_NEIGHBOURHOOD * spacing_mm.max() / spacing_mm).astype(int)
    around = with_rim(to_voxels, reach)
    places = np.flatnonzero(with_rim(from_voxels, reach))
    strides = np.array(around.strides) // around.itemsize
    targets = around.ravel()
    distances_mm = np.zeros(places.size)
    unmet = np.arange(places.size)
    for offsets_zyx, distance_mm in _shells_nearest_first(spacing_mm, reach):
        first, *others = offsets_zyx @ strides
        met = targets[places + first]
        for offset in others:
            met |= targets[places + offset]
        distances_mm[unmet[met]] = distance_mm
        unmet, places = unmet[~met], places[~met]
        if not unmet.size:
            break
    return distances_mm, unmet, np.column_stack(np.unravel_index(places, around.shape)) - reach


def _shells_nearest_first(
    spacing_mm: NDArray[np.float64], reach: NDArray[np.int_]
) -> Iterator[tuple[NDArray[np.int_], float]]:
    """All voxel offsets within the neighbourhood's radius, by length: no nearer voxel is left out."""
    offsets = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    lengths_mm, members = np.unique(np.linalg.norm(offsets * spacing_mm, axis=1), return_inverse=True)
    for shell, length_mm in enumerate(lengths_mm):
        if length_mm > _NEIGHBOURHOOD * spacing_mm.max():
            return
        yield offsets[members == shell], float(length_mm)


def _far_distances_mm(
    indices: NDArray[np.int_], to_voxels: Mask, spacing_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    tree = KDTree(np.argwhere(to_voxels) * spacing_mm, balanced_tree=False, leafsize=32)
    probes_mm = indices[:: max(1, len(indices) // _PROBES)] * spacing_mm
    near = tree.query(probes_mm)[0].mean() < _NEAR_VOXELS * spacing_mm.max()
    if len(indices) * (_NEAR_QUERY_COST if near else _FAR_QUERY_COST) < to_voxels.size:
        return np.asarray(tree.query(indices * spacing_mm)[0])
    return _by_transform(indices, to_voxels, spacing_mm)


def _by_transform(indices: NDArray[np.int_], to_voxels: Mask, spacing_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    nearest = distance_transform_edt(~to_voxels, sampling=spacing_mm, return_distances=False, return_indices=True)
    return np.asarray(np.linalg.norm((nearest[:, *indices.T].T - indices) * spacing_mm, axis=1))
