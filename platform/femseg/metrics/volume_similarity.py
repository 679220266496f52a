"""Similarity of two volumes, wherever they lie."""

from femseg.metrics.masks import Mask
from femseg.metrics.overlap import Overlap


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
