"""By how much a predicted volume is too large or too small."""

import math
from collections.abc import Sequence

import numpy as np

from femseg.metrics.masks import Mask, checked_pair, checked_spacing
from femseg.metrics.overlap import Overlap

MM3_PER_ML = 1000.0


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
