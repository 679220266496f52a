"""Average Hausdorff distance between two sets of voxels."""

from collections.abc import Sequence

import numpy as np

from femseg.metrics.masks import Mask, MaskPair
from femseg.metrics.nearest import distances_to_nearest_mm


def average_hausdorff_mm(reference: Mask, predicted: Mask, spacing_mm_zyx: Sequence[float]) -> float | None:
    """The larger of the two mean distances from every voxel of one mask to the nearest voxel of the other, in mm.

    Every foreground voxel counts, not only the surface; voxels shared by both masks count with distance 0. SimpleITK's
    `GetAverageHausdorffDistance` is the *mean* of the two directions; MONAI and surface-distance average over surfaces.

    Args:
        reference: annotated femur, bool, shape (Z, Y, X).
        predicted: predicted femur, same shape.
        spacing_mm_zyx: distance of neighbouring voxels along (z, y, x).
    Returns: at least 0; None if either mask is empty, for then there is nothing to measure from or to.
    Raises: ValueError if a mask is not bool, the shapes differ, or the spacing is not three positive lengths.
    Source: Taha & Hanbury 2015, BMC Medical Imaging 15:29, section "Average distance".
    """
    return average_hausdorff_of(MaskPair.of(reference, predicted, spacing_mm_zyx))


def average_hausdorff_of(pair: MaskPair) -> float | None:
    """The same for masks that are checked and cut already."""
    if pair.either_is_empty:
        return None
    a, b = pair.reference, pair.predicted
    return max(_mean_distance_mm(a, b, pair.spacing_mm_zyx), _mean_distance_mm(b, a, pair.spacing_mm_zyx))


def _mean_distance_mm(from_mask: Mask, to_mask: Mask, spacing_mm_zyx: Sequence[float]) -> float:
    outside = from_mask & ~to_mask
    # The voxel nearest to a point outside the mask always has a face open to the outside.
    distances_mm = distances_to_nearest_mm(outside, _open_faced(to_mask), spacing_mm_zyx)
    return float(distances_mm.sum() / np.count_nonzero(from_mask))


def _open_faced(mask: Mask) -> Mask:
    """Voxels of a mask (with a background rim) that share a face with the background."""
    enclosed = mask.copy()
    for axis in range(3):
        along = np.moveaxis(mask, axis, 0)
        kept = np.moveaxis(enclosed, axis, 0)
        kept[1:] &= along[:-1]
        kept[:-1] &= along[1:]
    return mask & ~enclosed
