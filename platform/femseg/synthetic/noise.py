"""Random fields of deviation 1: white ones, and such that vary over millimetres or centimetres."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from femseg.volumes.grid import Triple

Shape = tuple[int, int, int]
Voxels = NDArray[np.float32]
_KEPT = 151 / 315  # variance of white noise that a cubic B-spline keeps on average, along each axis


def white_noise(shape_zyx: Shape, generator: np.random.Generator) -> Voxels:
    """Evenly distributed, mean 0 and deviation 1: a quarter of what normal noise costs."""
    noise = generator.random(shape_zyx, dtype=np.float32)
    noise -= np.float32(0.5)
    noise *= np.float32(np.sqrt(12.0))
    return noise


def smooth_noise(shape_zyx: Shape, spacing_mm_zyx: Triple, size_mm: float, generator: np.random.Generator) -> Voxels:
    """Normal noise on knots `size_mm` apart and cubic B-splines between them; white where voxels are as large.

    Sparse products use no BLAS, so that bytes do not depend on the number of threads.
    """
    if size_mm <= min(spacing_mm_zyx):
        return white_noise(shape_zyx, generator)
    from_z, from_y, from_x = (
        _spline_weights(n, spacing / max(size_mm, spacing), float(generator.random()))
        for n, spacing in zip(shape_zyx, spacing_mm_zyx, strict=True)
    )
    knots = generator.standard_normal((from_z.shape[1], from_y.shape[1], from_x.shape[1]), dtype=np.float32)
    along_x = (from_x @ knots.reshape(-1, knots.shape[2]).T).T.reshape(*knots.shape[:2], -1)
    along_y = np.stack([from_y @ slice_yx for slice_yx in along_x])
    noise: Voxels = (from_z @ along_y.reshape(len(along_y), -1)).reshape(shape_zyx)
    return noise


def _spline_weights(voxels: int, step: float, phase: float) -> csr_array:
    """What each knot gives to each voxel, shape (voxels, knots); `step` knots lie between neighbouring voxels."""
    at = np.arange(voxels) * step + phase
    first, t = at.astype(np.intp), at % 1.0
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    columns = first[:, None] + np.arange(4)
    indptr = 4 * np.arange(voxels + 1)
    scaled = (weights / np.sqrt(_KEPT)).astype(np.float32)
    return csr_array((scaled.ravel(), columns.ravel(), indptr), shape=(voxels, int(first[-1]) + 4))
