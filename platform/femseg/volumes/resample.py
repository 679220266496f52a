"""Another number of voxels in the same box: separable linear interpolation, slab by slab."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from femseg.volumes.grid import IndicesZyx

VoxelsWhere = Callable[[IndicesZyx], NDArray[np.float32]]
Box = tuple[slice, slice, slice]
_SLAB_VOXELS = 1 << 18  # a few MiB of work at a time, so that it stays in the cache
_OUTPUT_VOXELS = 1 << 24  # of float64 at a time: 128 MiB


def axis_weights(n_in: int, n_out: int, *, anti_aliasing: bool, shift: float = 0.0) -> csr_array:
    """How much each input voxel of an axis gives to each output voxel, both filling the same edge-to-edge length.

    Args:
        n_in, n_out: voxels along the axis before and after.
        anti_aliasing: widen the interpolating triangle by n_in / n_out when that is above 1, as Pillow and
            `torch.nn.functional.interpolate(antialias=True)` do.
        shift: moves the output centres, in input voxels.
    Returns: shape (n_out, n_in), float64; each row sums to 1. Beyond the outermost centres the edge voxel is repeated.
    """
    if min(n_in, n_out) < 1:
        raise ValueError(f"expected at least one voxel on each side, got {n_in} and {n_out}")
    # one division of integers: a centre that falls on an input voxel is exactly that voxel
    centres = ((2 * np.arange(n_out) + 1) * n_in - n_out) / (2 * n_out) + shift
    half_width = max(1.0, n_in / n_out) if anti_aliasing else 1.0
    inside = np.clip(centres, 0, n_in - 1)[:, None] if half_width == 1.0 else centres[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(n_in) - inside) / half_width)
    return csr_array(weights / weights.sum(axis=1, keepdims=True))


def resampled(
    voxels_where: VoxelsWhere,
    shape_in_zyx: tuple[int, int, int],
    shape_out_zyx: tuple[int, int, int],
    *,
    anti_aliasing: bool,
    shift: float = 0.0,
    box_zyx: Box | None = None,
) -> NDArray[np.float32]:
    """Resample a volume that is asked for slab by slab, and only where it carries weight.

    Without anti-aliasing, 512 × 512 × 1000 voxels on a 512 × 64 × 64 grid are touched in a sixteenth of their number.
    Sums run in a fixed order in float64 (sparse products use no BLAS), so bytes do not depend on thread counts.

    Args:
        voxels_where: gives the volume where slices, rows and columns cross.
        shape_in_zyx, shape_out_zyx: both fill the same box of the patient.
        anti_aliasing, shift: see `axis_weights`.
        box_zyx: the part of the output that is wanted; what it holds does not depend on it.
    Returns: shape `shape_out_zyx`, or that of the box.
    """
    sizes = zip(shape_in_zyx, shape_out_zyx, box_zyx or (slice(None),) * 3, strict=True)
    from_z, from_y, from_x = (
        axis_weights(n_in, n_out, anti_aliasing=anti_aliasing, shift=shift)[part] for n_in, n_out, part in sizes
    )
    rows, columns = (np.unique(w.indices).astype(np.intp) for w in (from_y, from_x))
    from_y, from_x = from_y[:, rows], from_x[:, columns]
    shape_zyx = (from_z.shape[0], from_y.shape[0], from_x.shape[0])
    volume = np.empty(shape_zyx, np.float32)
    at_once = max(1, _OUTPUT_VOXELS // (shape_zyx[1] * shape_zyx[2]))
    for first in range(0, shape_zyx[0], at_once):
        part = from_z[first : first + at_once]
        slices = np.unique(part.indices).astype(np.intp)
        reduced = _reduced_in_plane(voxels_where, (slices, rows, columns), from_y, from_x)
        volume[first : first + at_once] = (part[:, slices] @ reduced).reshape(-1, *shape_zyx[1:])
    return volume


def _reduced_in_plane(
    voxels_where: VoxelsWhere, indices_zyx: IndicesZyx, from_y: csr_array, from_x: csr_array
) -> NDArray[np.float64]:
    """These slices with rows and columns resampled, each slice flat: shape (slices, Y × X)."""
    slices, rows, columns = indices_zyx
    reduced = np.empty((len(slices), from_y.shape[0], from_x.shape[0]))
    at_once = max(1, _SLAB_VOXELS // (len(rows) * len(columns)))
    for first in range(0, len(slices), at_once):
        slab = voxels_where((slices[first : first + at_once], rows, columns))
        for z, slice_yx in enumerate(slab, start=first):
            reduced[z] = (from_x @ (from_y @ slice_yx).T).T
    return reduced.reshape(len(slices), -1)
