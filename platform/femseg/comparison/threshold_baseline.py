"""What a plain HU threshold finds: the answer that a model has to beat."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

DEFAULT_THRESHOLD_HU = 200.0


def threshold_baseline(
    ct_hu_zyx: NDArray[np.floating], *, threshold_hu: float = DEFAULT_THRESHOLD_HU
) -> NDArray[np.bool_]:
    """Largest connected component of all voxels at or above a threshold: no learning, no hole filling.

    Args:
        ct_hu_zyx: CT in Hounsfield units, shape (Z, Y, X).
        threshold_hu: cortical and dense trabecular bone lie above 200 HU; so do contrast-filled vessels and metal.
    Returns: bool, same shape; voxels hang together through their faces; the first of equally large components; empty if
        nothing reaches the threshold.
    """
    components, count = ndimage.label(ct_hu_zyx >= threshold_hu)
    if not count:
        return np.zeros(ct_hu_zyx.shape, np.bool_)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0  # the background is no component
    return np.asarray(components == sizes.argmax())
