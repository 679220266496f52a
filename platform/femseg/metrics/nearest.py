"""Distance from each of some voxels to the nearest of some others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from femseg.metrics.masks import Mask

# One query of the tree takes as long as the distance transform of so many voxels (measured on femur-like masks).
_VOXELS_PER_NEAR_QUERY = 6
_VOXELS_PER_FAR_QUERY = 100
_NEAR_VOXELS = 5
_PROBES = 1000


def distances_to_nearest_mm(from_voxels: Mask, to_voxels: Mask, spacing_mm_zyx: Sequence[float]) -> NDArray[np.float64]:
    """Exact distance from every true voxel of one array to the nearest true voxel of the other, in C order.

    Masks that nearly agree leave few voxels to measure from, all close to their target: a k-d tree over the targets is
    quickest and its memory grows with the surface only. Many voxels far away (a threshold that took the pelvis too) are
    the tree's bad case and go to a distance transform of the volume, 12 bytes a voxel. Both are exact.

    Args:
        from_voxels: where to measure from, bool, shape (Z, Y, X).
        to_voxels: where to measure to, same shape, with at least one true voxel.
        spacing_mm_zyx: distance of neighbouring voxels along (z, y, x).
    Returns: mm, one value for each true voxel of `from_voxels`.
    """
    shared = to_voxels[from_voxels]
    distances_mm = np.zeros(shared.size)
    if not shared.all():
        distances_mm[~shared] = _distances_mm(from_voxels & ~to_voxels, to_voxels, np.asarray(spacing_mm_zyx))
    return distances_mm


def _distances_mm(apart: Mask, to_voxels: Mask, spacing_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    indices = np.argwhere(apart)
    tree = KDTree(np.argwhere(to_voxels) * spacing_mm, balanced_tree=False, leafsize=32)
    probes_mm = indices[:: max(1, len(indices) // _PROBES)] * spacing_mm
    near = tree.query(probes_mm)[0].mean() < _NEAR_VOXELS * spacing_mm.max()
    if len(indices) * (_VOXELS_PER_NEAR_QUERY if near else _VOXELS_PER_FAR_QUERY) < apart.size:
        return np.asarray(tree.query(indices * spacing_mm)[0])
    nearest = distance_transform_edt(~to_voxels, sampling=spacing_mm, return_distances=False, return_indices=True)
    return np.asarray(np.linalg.norm((nearest[:, apart].T - indices) * spacing_mm, axis=1))
