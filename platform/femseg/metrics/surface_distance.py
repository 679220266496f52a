"""Distances between the surfaces of two masks, each surface element weighted by its area."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.metrics.masks import Mask, MaskPair
from femseg.metrics.nearest import distances_to_nearest_mm
from femseg.metrics.surface_elements import FULL_CODE, element_areas_mm2, neighbourhood_codes

_ROUNDING = 1e-9  # sums of equal areas must not decide by their last bit which is the 95th, nor five steps of 0.2 mm


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectedDistances:
    """From every element of one surface to the nearest element of the other.

    Attributes:
        distances_mm: one value per surface element.
        areas_mm2: area of each element, same order.
    """

    distances_mm: NDArray[np.float64]
    areas_mm2: NDArray[np.float64]

    def percentile_mm(self, percent: float) -> float:
        """The smallest distance that at least this share of the surface's area does not exceed."""
        nearest_first = np.argsort(self.distances_mm)  # whichever of two equals comes first, the distance is the same
        area_so_far = np.cumsum(self.areas_mm2[nearest_first])
        wanted = (percent / 100 - _ROUNDING) * area_so_far[-1]
        return float(self.distances_mm[nearest_first[np.searchsorted(area_so_far, wanted)]])

    def areas_within_and_beyond_mm2(self, tolerance_mm: float) -> tuple[float, float]:
        """Area of the elements that are no farther than this from the other surface, and of those that are."""
        within = self.distances_mm <= tolerance_mm * (1 + _ROUNDING)
        return float(self.areas_mm2[within].sum()), float(self.areas_mm2[~within].sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceDistances:
    """Both directions between a reference and a predicted surface, neither of them empty."""

    from_reference: DirectedDistances
    from_predicted: DirectedDistances

    @property
    def average_mm(self) -> float:
        """Mean distance over the elements of both surfaces together, weighted by area (symmetric).

        surface-distance gives the two directed means; this is their mean weighted by the two surfaces' areas.
        """
        both = (self.from_reference, self.from_predicted)
        return float(sum((d.distances_mm * d.areas_mm2).sum() for d in both) / sum(d.areas_mm2.sum() for d in both))

    @property
    def hausdorff_mm(self) -> float:
        """The largest distance from an element of either surface to the nearest element of the other."""
        return float(max(self.from_reference.distances_mm.max(), self.from_predicted.distances_mm.max()))

    @property
    def hausdorff_95_mm(self) -> float:
        """The larger of the two directed 95th percentiles, weighted by area."""
        return max(self.from_reference.percentile_mm(95), self.from_predicted.percentile_mm(95))

    def surface_dice(self, tolerance_mm: float) -> float:
        """Share of both surfaces' area that lies within a tolerance of the other surface, from 0 to 1."""
        both = [d.areas_within_and_beyond_mm2(tolerance_mm) for d in (self.from_reference, self.from_predicted)]
        within, beyond = (sum(areas) for areas in zip(*both, strict=True))
        return float(within / (within + beyond))


def surface_distances(reference: Mask, predicted: Mask, spacing_mm_zyx: Sequence[float]) -> SurfaceDistances | None:
    """Distances between the surfaces of two masks.

    A surface element sits at each voxel corner whose 2 × 2 × 2 neighbourhood is partly inside; distances run between
    these corners. A mask that touches the edge of its volume is closed there.

    Args:
        reference: annotated femur, bool, shape (Z, Y, X).
        predicted: predicted femur, same shape.
        spacing_mm_zyx: distance of neighbouring voxels along (z, y, x).
    Returns: None if either mask is empty: there is no surface to measure from or to.
    Raises: ValueError if a mask is not bool, the shapes differ, or the spacing is not three positive lengths.
    Source: Nikolov et al. 2018, arXiv:1809.04430, and its `surface-distance` package.
    """
    return surface_distances_of(MaskPair.of(reference, predicted, spacing_mm_zyx))


def surface_distances_of(pair: MaskPair) -> SurfaceDistances | None:
    """The same for masks that are checked and cut already."""
    if pair.either_is_empty:
        return None
    spacing = pair.spacing_mm_zyx
    codes = [neighbourhood_codes(mask) for mask in (pair.reference, pair.predicted)]
    surfaces = [(code != 0) & (code != FULL_CODE) for code in codes]
    areas_mm2 = element_areas_mm2(spacing)
    from_reference, from_predicted = (
        DirectedDistances(
            distances_mm=distances_to_nearest_mm(surfaces[here], surfaces[there], spacing),
            areas_mm2=areas_mm2[codes[here][surfaces[here]]],
        )
        for here, there in ((0, 1), (1, 0))
    )
    return SurfaceDistances(from_reference=from_reference, from_predicted=from_predicted)


def average_surface_distance_mm(reference: Mask, predicted: Mask, spacing_mm_zyx: Sequence[float]) -> float | None:
    """Symmetric average surface distance in mm; see `SurfaceDistances.average_mm`. None if either mask is empty."""
    distances = surface_distances(reference, predicted, spacing_mm_zyx)
    return None if distances is None else distances.average_mm


def hausdorff_mm(reference: Mask, predicted: Mask, spacing_mm_zyx: Sequence[float]) -> float | None:
    """Hausdorff distance in mm; see `SurfaceDistances.hausdorff_mm`. None if either mask is empty."""
    distances = surface_distances(reference, predicted, spacing_mm_zyx)
    return None if distances is None else distances.hausdorff_mm


def hausdorff_95_mm(reference: Mask, predicted: Mask, spacing_mm_zyx: Sequence[float]) -> float | None:
    """Robust Hausdorff distance in mm; see `SurfaceDistances.hausdorff_95_mm`. None if either mask is empty."""
    distances = surface_distances(reference, predicted, spacing_mm_zyx)
    return None if distances is None else distances.hausdorff_95_mm


def surface_dice(reference: Mask, predicted: Mask, spacing_mm_zyx: Sequence[float], *, tolerance_mm: float) -> float:
    """Surface Dice at a tolerance; see `SurfaceDistances.surface_dice`.

    Returns: between 0 and 1; 1.0 if both masks are empty (they agree), 0.0 if one is.
    Raises: ValueError as `surface_distances`, or if the tolerance is negative.
    Source: Nikolov et al. 2018, arXiv:1809.04430.
    """
    if not tolerance_mm >= 0:
        raise ValueError(f"tolerance_mm: expected 0 or more, got {tolerance_mm}")
    pair = MaskPair.of(reference, predicted, spacing_mm_zyx)
    return surface_dice_of(surface_distances_of(pair), pair, tolerance_mm=tolerance_mm)


def surface_dice_of(distances: SurfaceDistances | None, pair: MaskPair, *, tolerance_mm: float) -> float:
    """The same from distances that are measured already."""
    if distances is None:
        return float(not pair.reference.any() and not pair.predicted.any())
    return distances.surface_dice(tolerance_mm)


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
