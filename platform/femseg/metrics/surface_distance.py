"""Distances between the surfaces of two masks, each surface element weighted by its area."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.metrics.masks import Mask, checked_pair, checked_spacing, cropped_to_joint_box
from femseg.metrics.nearest import distances_to_nearest_mm
from femseg.metrics.surface_elements import FULL_CODE, element_areas_mm2, neighbourhood_codes

_ROUNDING = 1e-9  # of the area: sums of equal areas must not decide by their last bit which element is the 95th


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
        nearest_first = np.argsort(self.distances_mm, kind="stable")
        area_so_far = np.cumsum(self.areas_mm2[nearest_first])
        wanted = (percent / 100 - _ROUNDING) * area_so_far[-1]
        return float(self.distances_mm[nearest_first[np.searchsorted(area_so_far, wanted)]])


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
        return float(sum(d.distances_mm @ d.areas_mm2 for d in both) / sum(d.areas_mm2.sum() for d in both))

    @property
    def hausdorff_95_mm(self) -> float:
        """The larger of the two directed 95th percentiles, weighted by area."""
        return max(self.from_reference.percentile_mm(95), self.from_predicted.percentile_mm(95))


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
    checked_pair(reference, predicted)
    spacing = checked_spacing(spacing_mm_zyx)
    if not reference.any() or not predicted.any():
        return None
    codes = [neighbourhood_codes(mask) for mask in cropped_to_joint_box(reference, predicted)]
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


def hausdorff_95_mm(reference: Mask, predicted: Mask, spacing_mm_zyx: Sequence[float]) -> float | None:
    """Robust Hausdorff distance in mm; see `SurfaceDistances.hausdorff_95_mm`. None if either mask is empty."""
    distances = surface_distances(reference, predicted, spacing_mm_zyx)
    return None if distances is None else distances.hausdorff_95_mm
