"""Overlap of two masks, and their volumes: all that can be told from three counts of voxels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from femseg.metrics.masks import Mask, checked_pair, checked_spacing

MM3_PER_ML = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Voxels of a reference A, of a prediction B, and of both; A ∩ B are the true positives."""

    reference: int
    predicted: int
    shared: int

    @classmethod
    def of(cls, reference: Mask, predicted: Mask) -> "Overlap":
        """Count. Raises: ValueError if a mask is not bool or the shapes differ."""
        checked_pair(reference, predicted)
        return cls(
            reference=int(np.count_nonzero(reference)),
            predicted=int(np.count_nonzero(predicted)),
            shared=int(np.count_nonzero(reference & predicted)),
        )

    @property
    def dice(self) -> float:
        """2 |A ∩ B| / (|A| + |B|); 1 if both are empty, 0 if one is."""
        voxels = self.reference + self.predicted
        return 2 * self.shared / voxels if voxels else 1.0

    @property
    def iou(self) -> float:
        """|A ∩ B| / |A ∪ B|; 1 if both are empty, 0 if one is."""
        union = self.reference + self.predicted - self.shared
        return self.shared / union if union else 1.0

    @property
    def sensitivity(self) -> float | None:
        """|A ∩ B| / |A|; None if the reference is empty: there is nothing to be found."""
        return self.shared / self.reference if self.reference else None

    @property
    def precision(self) -> float | None:
        """|A ∩ B| / |B|; None if the prediction is empty: nothing was claimed."""
        return self.shared / self.predicted if self.predicted else None

    @property
    def volume_similarity(self) -> float:
        """1 − | |A| − |B| | / (|A| + |B|); 1 if both are empty, 0 if one is."""
        voxels = self.reference + self.predicted
        return 2 * min(self.reference, self.predicted) / voxels if voxels else 1.0  # the same, without cancellation


def dice_coefficient(reference: Mask, predicted: Mask) -> float:
    """Dice similarity coefficient 2 |A ∩ B| / (|A| + |B|), between 0 (disjoint) and 1 (equal).

    Args:
        reference: annotated femur, bool, shape (Z, Y, X).
        predicted: predicted femur, same shape.
    Returns: 1.0 if both masks are empty (they agree), 0.0 if one is.
    Raises: ValueError if a mask is not bool or the shapes differ.
    Source: the paper, "Segmentation evaluation metrics"; Dice 1945.
    """
    return Overlap.of(reference, predicted).dice


def intersection_over_union(reference: Mask, predicted: Mask) -> float:
    """Jaccard index |A ∩ B| / |A ∪ B|, between 0 and 1; DSC / (2 − DSC), so it ranks cases as Dice does.

    Returns: 1.0 if both masks are empty, 0.0 if one is.
    Raises: ValueError if a mask is not bool or the shapes differ.
    Source: Jaccard 1912.
    """
    return Overlap.of(reference, predicted).iou


def sensitivity(reference: Mask, predicted: Mask) -> float | None:
    """Share of the annotated femur that was found, |A ∩ B| / |A|; also called recall or true positive rate.

    Returns: None if the reference is empty; 0.0 if the prediction alone is.
    Raises: ValueError if a mask is not bool or the shapes differ.
    Source: Taha & Hanbury 2015, BMC Medical Imaging 15:29.
    """
    return Overlap.of(reference, predicted).sensitivity


def precision(reference: Mask, predicted: Mask) -> float | None:
    """Share of the predicted femur that is femur, |A ∩ B| / |B|; also called positive predictive value.

    Returns: None if the prediction is empty; 0.0 if the reference alone is.
    Raises: ValueError if a mask is not bool or the shapes differ.
    Source: Taha & Hanbury 2015, BMC Medical Imaging 15:29.
    """
    return Overlap.of(reference, predicted).precision


def volume_difference_ml(reference: Mask, predicted: Mask, spacing_mm_zyx: Sequence[float]) -> float:
    """Predicted less annotated volume, in ml: negative where the prediction is too small.

    MedPy's `ravd` and SimpleITK's `GetVolumeSimilarity` are relative, and SimpleITK's has the other sign where the
    annotation is its first image.

    Returns: the other mask's volume, with its sign, if one is empty; 0.0 if both are.
    Raises: ValueError if a mask is not bool, the shapes differ, or the spacing is not three positive lengths.
    """
    checked_pair(reference, predicted)
    voxel_ml = math.prod(checked_spacing(spacing_mm_zyx)) / MM3_PER_ML
    return float(np.count_nonzero(predicted) - np.count_nonzero(reference)) * voxel_ml


def volume_similarity(reference: Mask, predicted: Mask) -> float:
    """1 − | |A| − |B| | / (|A| + |B|): 1 for equal volumes (even disjoint ones), 0 if one mask alone is empty.

    SimpleITK's filter of this name is another number: signed, 2 (|A| − |B|) / (|A| + |B|), and 0 for equal volumes.

    Args:
        reference: annotated femur, bool, shape (Z, Y, X).
        predicted: predicted femur, same shape.
    Returns: between 0 and 1; 1.0 if both masks are empty.
    Raises: ValueError if a mask is not bool or the shapes differ.
    Source: Taha & Hanbury 2015, BMC Medical Imaging 15:29, section "Volumetric similarity".
    """
    return Overlap.of(reference, predicted).volume_similarity
