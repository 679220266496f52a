"""Two masks on one grid, checked and cropped to what they fill."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

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


def with_rim(mask: Mask, widths_zyx: Sequence[int]) -> Mask:
    """A copy in C order with this many background voxels on either side of each axis; faster than `np.pad`."""
    around = np.zeros([n + 2 * width for n, width in zip(mask.shape, widths_zyx, strict=True)], np.bool_)
    around[tuple(slice(width, width + n) for n, width in zip(mask.shape, widths_zyx, strict=True))] = mask
    return around


def checked_spacing(spacing_mm_zyx: Sequence[float]) -> SpacingZyx:
    """Three positive lengths. Raises: ValueError otherwise."""
    if len(spacing_mm_zyx) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing_mm_zyx):
        raise ValueError(f"spacing_mm_zyx: expected three positive lengths, got {tuple(spacing_mm_zyx)}")
    z, y, x = (float(s) for s in spacing_mm_zyx)
    return (z, y, x)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPair:
    """Two masks on one grid, cut to what they fill, so that a whole set of metrics is measured on little.

    Distances inside are those of the whole volume. A mask that touches the edge of its volume ends there: the rim
    closes it.

    Attributes:
        reference, predicted: bool, same shape, with a rim of one background voxel all round.
        spacing_mm_zyx: distance of neighbouring voxels along (z, y, x).
    """

    reference: Mask
    predicted: Mask
    spacing_mm_zyx: SpacingZyx

    @classmethod
    def of(cls, reference: Mask, predicted: Mask, spacing_mm_zyx: Sequence[float]) -> Self:
        """Check and cut both.

        Raises: ValueError if a mask is not bool, the shapes differ, or the spacing is not three positive lengths.
        """
        checked_pair(reference, predicted)
        spacing = checked_spacing(spacing_mm_zyx)
        box = _joint_box(reference, predicted)
        return cls(
            reference=with_rim(reference[box], (1, 1, 1)),
            predicted=with_rim(predicted[box], (1, 1, 1)),
            spacing_mm_zyx=spacing,
        )

    @property
    def either_is_empty(self) -> bool:
        """Whether there is nothing to measure a distance from or to."""
        return not self.reference.any() or not self.predicted.any()


def _joint_box(reference: Mask, predicted: Mask) -> tuple[slice, slice, slice]:
    """The smallest box that holds the foreground of either."""
    z = _extent(np.any(reference, axis=(1, 2)) | np.any(predicted, axis=(1, 2)))
    footprint_yx: Mask = np.any(reference[z], axis=0) | np.any(predicted[z], axis=0)
    return (z, _extent(np.any(footprint_yx, axis=1)), _extent(np.any(footprint_yx, axis=0)))


def _extent(filled: NDArray[np.bool_]) -> slice:
    places = np.flatnonzero(filled)
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)
