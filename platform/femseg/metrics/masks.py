"""Two masks on one grid, checked and cropped to what they fill."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
SpacingZyx = tuple[float, float, float]


def checked_pair(reference: Mask, predicted: Mask) -> None:
    """Raises: ValueError unless both are bool volumes of one shape (nothing is ever broadcast or cut)."""
    for name, mask in (("reference", reference), ("predicted", predicted)):
        if mask.dtype != np.bool_:
            raise ValueError(f"{name} mask: expected bool voxels, got {mask.dtype}")
        if mask.ndim != 3:
            raise ValueError(f"{name} mask: expected three axes (z, y, x), got shape {mask.shape}")
    if reference.shape != predicted.shape:
        raise ValueError(
            f"reference mask {reference.shape} and predicted mask {predicted.shape} differ in shape (z, y, x)"
        )


def checked_spacing(spacing_mm_zyx: Sequence[float]) -> SpacingZyx:
    """Three positive lengths. Raises: ValueError otherwise."""
    if len(spacing_mm_zyx) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing_mm_zyx):
        raise ValueError(f"spacing_mm_zyx: expected three positive lengths, got {tuple(spacing_mm_zyx)}")
    z, y, x = (float(s) for s in spacing_mm_zyx)
    return (z, y, x)


def cropped_to_joint_box(reference: Mask, predicted: Mask) -> tuple[Mask, Mask]:
    """Both masks cut to the smallest box that holds the foreground of either, plus one background voxel all round.

    Distances inside the box are those of the whole volume. A mask that touches the edge of its volume ends there:
    the rim closes it.
    """
    box = tuple(_joint_extent(reference, predicted, axis) for axis in range(3))
    return np.pad(reference[box], 1), np.pad(predicted[box], 1)


def _joint_extent(reference: Mask, predicted: Mask, axis: int) -> slice:
    others = tuple(other for other in range(3) if other != axis)
    filled = np.flatnonzero(reference.any(axis=others) | predicted.any(axis=others))
    return slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else slice(0, 0)
