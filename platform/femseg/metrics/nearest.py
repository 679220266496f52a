"""Distance from each of some voxels to the nearest of some others."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from femseg.metrics.columns import Columns
from femseg.metrics.masks import Mask, with_rim

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
