"""A volume seen only where some slices, rows and columns cross."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
IndicesZyx = tuple[Indices, Indices, Indices]


def voxels_where_crossing(array_zyx: NDArray[Any], indices_zyx: IndicesZyx) -> NDArray[Any]:
    """The voxels at the crossings of the given slices, rows and columns.

    Args:
        array_zyx: any array or strided view, shape (Z, Y, X).
        indices_zyx: along each axis.
    Returns: shape (len(z), len(y), len(x)); a view where all indices follow one another, else a copy.
    """
    for axis, indices in enumerate(indices_zyx):
        if np.all(np.diff(indices) == 1):
            array_zyx = array_zyx[(slice(None),) * axis + (slice(int(indices[0]), int(indices[-1]) + 1),)]
        else:
            array_zyx = array_zyx.take(indices, axis=axis)
    return array_zyx


def with_neighbours(indices: Indices, size: int) -> Indices:
    """Indices together with the index before and after each, within 0 … size − 1; ascending, each once."""
    around = np.concatenate([indices - 1, indices, indices + 1])
    return np.unique(around[(around >= 0) & (around < size)])
