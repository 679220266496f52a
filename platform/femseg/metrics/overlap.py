"""Overlap of two masks."""

import numpy as np

from femseg.metrics.masks import Mask, checked_pair


def dice_coefficient(reference: Mask, predicted: Mask) -> float:
    """Dice similarity coefficient 2 |A ∩ B| / (|A| + |B|), between 0 (disjoint) and 1 (equal).

    Args:
        reference: annotated femur, bool, shape (Z, Y, X).
        predicted: predicted femur, same shape.
    Returns: 1.0 if both masks are empty (they agree), 0.0 if one is.
    Raises: ValueError if a mask is not bool or the shapes differ.
    Source: seed paper, "Segmentation evaluation metrics"; Dice 1945.
    """
    checked_pair(reference, predicted)
    voxels = np.count_nonzero(reference) + np.count_nonzero(predicted)
    return 2 * np.count_nonzero(reference & predicted) / voxels if voxels else 1.0
