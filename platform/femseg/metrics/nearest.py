"""Distance from each of some voxels to the nearest of some others."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from femseg.metrics.masks import Mask

_NEIGHBOURHOOD = 2  # in units of the largest spacing: how far the voxels around are tried one by one

# One query of the tree takes as long as the distance transform of so many voxels (measured on femur-like masks).
_VOXELS_PER_NEAR_QUERY = 6
_VOXELS_PER_FAR_QUERY = 100
_NEAR_VOXELS = 5
_PROBES = 1000


def distances_to_nearest_mm(from_voxels: Mask, to_voxels: Mask, spacing_mm_zyx: Sequence[float]) -> NDArray[np.float64]:
    """Exact distance from every true voxel of one array to the nearest true voxel of the other, in C order.

    Where masks nearly agree, the nearest target is a few voxels away: the voxels around are looked up, nearest first.
    What is left goes to a k-d tree over the targets or, if that is many voxels far away (a threshold that took the
    pelvis too), to a distance transform of the volume, 12 bytes a voxel.

    Args:
        from_voxels: where to measure from, bool, shape (Z, Y, X).
        to_voxels: where to measure to, same shape, with at least one true voxel.
        spacing_mm_zyx: distance of neighbouring voxels along (z, y, x).
    Returns: mm, one value for each true voxel of `from_voxels`.
    """
    spacing_mm = np.asarray(spacing_mm_zyx, np.float64)
    reach = np.ceil(_NEIGHBOURHOOD * spacing_mm.max() / spacing_mm).astype(int)
    around = np.pad(to_voxels, [(n, n) for n in reach])
    places = np.flatnonzero(np.pad(from_voxels, [(n, n) for n in reach]))
    strides = np.array(around.strides) // around.itemsize
    targets = around.ravel()
    distances_mm = np.zeros(places.size)
    unmet = np.arange(places.size)
    for offset_zyx, distance_mm in _offsets_nearest_first(spacing_mm, reach):
        met = targets[places + int(offset_zyx @ strides)]
        distances_mm[unmet[met]] = distance_mm
        unmet, places = unmet[~met], places[~met]
        if not unmet.size:
            return distances_mm
    indices = np.column_stack(np.unravel_index(places, around.shape)) - reach
    distances_mm[unmet] = _far_distances_mm(indices, to_voxels, spacing_mm)
    return distances_mm


def _offsets_nearest_first(
    spacing_mm: NDArray[np.float64], reach: NDArray[np.int_]
) -> Iterator[tuple[NDArray[np.int_], float]]:
    """All voxel offsets within the neighbourhood's radius and their lengths: no nearer voxel is left out."""
    offsets = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    lengths_mm = np.linalg.norm(offsets * spacing_mm, axis=1)
    for place in np.argsort(lengths_mm, kind="stable"):
        if lengths_mm[place] > _NEIGHBOURHOOD * spacing_mm.max():
            return
        yield offsets[place], float(lengths_mm[place])


def _far_distances_mm(
    indices: NDArray[np.int_], to_voxels: Mask, spacing_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    tree = KDTree(np.argwhere(to_voxels) * spacing_mm, balanced_tree=False, leafsize=32)
    probes_mm = indices[:: max(1, len(indices) // _PROBES)] * spacing_mm
    near = tree.query(probes_mm)[0].mean() < _NEAR_VOXELS * spacing_mm.max()
    if len(indices) * (_VOXELS_PER_NEAR_QUERY if near else _VOXELS_PER_FAR_QUERY) < to_voxels.size:
        return np.asarray(tree.query(indices * spacing_mm)[0])
    nearest = distance_transform_edt(~to_voxels, sampling=spacing_mm, return_distances=False, return_indices=True)
    return np.asarray(np.linalg.norm((nearest[:, *indices.T].T - indices) * spacing_mm, axis=1))
