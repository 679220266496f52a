"""The gradient pre-processor: how steeply the CT number changes, in HU per mm."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from femseg.volumes.grid import VoxelGrid
from femseg.volumes.lattice import IndicesZyx, voxels_where_crossing, with_neighbours


def gradient_magnitude(ct_hu_zyx: NDArray[np.float32], grid: VoxelGrid) -> NDArray[np.float32]:
    """Magnitude of the CT gradient: what the network sees in "gradient" mode.

    Args:
        ct_hu_zyx: CT in Hounsfield units, shape (Z, Y, X).
        grid: voxel grid of the same shape; its spacing scales the derivative. Its direction does not matter.
    Returns: HU per mm, shape (Z, Y, X), never negative.
    Raises: ValueError if array and grid disagree on shape.
    Source: seed paper, "Gradient pre-processor"; ITK's central differences repeat edge voxels outward, so a face
        voxel sees half of a ramp's slope.
    """
    if ct_hu_zyx.shape != grid.shape_zyx:
        raise ValueError(f"CT shape {ct_hu_zyx.shape} does not match grid {grid.shape_zyx} (z, y, x)")
    return _magnitude(ct_hu_zyx, grid)


def gradient_magnitude_where(
    ct_hu_zyx: NDArray[np.float32], grid: VoxelGrid, indices_zyx: IndicesZyx
) -> NDArray[np.float32]:
    """The gradient magnitude only where the given slices, rows and columns cross.

    Bit for bit what `gradient_magnitude` holds there: the central difference of a voxel reads its six neighbours, so
    these are gathered with it, and where they end the volume ends too. What the filter makes of the neighbours
    themselves is wrong (they lack neighbours of their own) and is left out.

    Args:
        ct_hu_zyx: CT in Hounsfield units, shape (Z, Y, X).
        grid: voxel grid of the same shape.
        indices_zyx: ascending indices along each axis.
    Returns: HU per mm, shape (len(z), len(y), len(x)).
    """
    gathered = (
        with_neighbours(indices_zyx[0], grid.shape_zyx[0]),
        with_neighbours(indices_zyx[1], grid.shape_zyx[1]),
        with_neighbours(indices_zyx[2], grid.shape_zyx[2]),
    )
    magnitude = _magnitude(voxels_where_crossing(ct_hu_zyx, gathered), grid)
    z, y, x = (np.searchsorted(around, wanted) for around, wanted in zip(gathered, indices_zyx, strict=True))
    return np.asarray(voxels_where_crossing(magnitude, (z, y, x)))


def _magnitude(ct_hu_zyx: NDArray[np.float32], grid: VoxelGrid) -> NDArray[np.float32]:
    image = sitk.GetImageFromArray(ct_hu_zyx.astype(np.float32, copy=False))
    image.SetSpacing(grid.spacing_mm_zyx[::-1])  # SimpleITK speaks (x, y, z)
    return np.asarray(sitk.GetArrayFromImage(sitk.GradientMagnitude(image)))
