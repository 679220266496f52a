"""The gradient pre-processor: how steeply the CT number changes, in HU per mm."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from femseg.volumes.grid import Indices, IndicesZyx, Triple, VoxelGrid, voxels_where_crossing, with_neighbours


def gradient_magnitude(ct_hu_zyx: NDArray[np.float32], grid: VoxelGrid) -> NDArray[np.float32]:
    """Magnitude of the CT gradient: what the network sees in "gradient" mode.

    Args:
        ct_hu_zyx: CT in Hounsfield units, shape (Z, Y, X).
        grid: voxel grid of the same shape; its spacing scales the derivative. Its direction does not matter.
    Returns: HU per mm, shape (Z, Y, X), never negative.
    Raises: ValueError if array and grid disagree on shape.
    Source: the paper, "Gradient pre-processor"; ITK's central differences repeat edge voxels outward, so a face
        voxel sees half of a ramp's slope.
    """
    if ct_hu_zyx.shape != grid.shape_zyx:
        raise ValueError(f"CT shape {ct_hu_zyx.shape} does not match grid {grid.shape_zyx} (z, y, x)")
    image = sitk.GetImageFromArray(ct_hu_zyx.astype(np.float32, copy=False))
    image.SetSpacing(grid.spacing_mm_zyx[::-1])  # SimpleITK speaks (x, y, z)
    return np.asarray(sitk.GetArrayFromImage(sitk.GradientMagnitude(image)))


def gradient_magnitude_where(
    ct_hu_zyx: NDArray[np.float32], grid: VoxelGrid, indices_zyx: IndicesZyx
) -> NDArray[np.float32]:
    """The gradient magnitude only where the given slices, rows and columns cross.

    Bit for bit what `gradient_magnitude` holds there, without computing the rest: ITK's filter knows no way to leave
    voxels out, so its arithmetic (double precision, x before y before z) is done here on the six neighbours of each.

    Args:
        ct_hu_zyx: CT in Hounsfield units, shape (Z, Y, X).
        grid: voxel grid of the same shape.
        indices_zyx: ascending indices along each axis.
    Returns: HU per mm, shape (len(z), len(y), len(x)).
    """
    around = (
        with_neighbours(indices_zyx[0], grid.shape_zyx[0]),
        with_neighbours(indices_zyx[1], grid.shape_zyx[1]),
        with_neighbours(indices_zyx[2], grid.shape_zyx[2]),
    )
    hu_zyx = voxels_where_crossing(ct_hu_zyx, around)
    z, y, x = (np.searchsorted(gathered, wanted) for gathered, wanted in zip(around, indices_zyx, strict=True))
    squared = _slope(hu_zyx, (z, y, x), grid.spacing_mm_zyx, axis=2)
    squared *= squared
    for axis in (1, 0):
        slope = _slope(hu_zyx, (z, y, x), grid.spacing_mm_zyx, axis=axis)
        slope *= slope
        squared += slope
    with np.errstate(over="ignore"):  # beyond float32 is infinite, as in ITK; whoever goes on checks for it
        return np.sqrt(squared, out=squared).astype(np.float32)


def _slope(
    hu_zyx: NDArray[np.float32], at_zyx: IndicesZyx, spacing_mm_zyx: Triple, *, axis: int
) -> NDArray[np.float64]:
    """Central difference along one axis, HU/mm; beyond a face the face's own voxel is read again."""
    per_mm = 0.5 * (1.0 / spacing_mm_zyx[axis])
    before = voxels_where_crossing(hu_zyx, _moved(at_zyx, axis, np.maximum(at_zyx[axis] - 1, 0)))
    after = voxels_where_crossing(hu_zyx, _moved(at_zyx, axis, np.minimum(at_zyx[axis] + 1, hu_zyx.shape[axis] - 1)))
    # each product is rounded on its own, as in ITK
    slope: NDArray[np.float64] = np.multiply(after, per_mm, dtype=np.float64)
    slope -= np.multiply(before, per_mm, dtype=np.float64)
    return slope


def _moved(at_zyx: IndicesZyx, axis: int, indices: Indices) -> IndicesZyx:
    z, y, x = (indices if a == axis else at for a, at in enumerate(at_zyx))
    return z, y, x
