"""The surface of a mask: how sure the network is of it, and whether it lies on an edge of the CT."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.networks.network import FEMUR_FROM
from femseg.volumes.grid import CtVolume, MaskVolume, to_lps

_SHELL_VOXELS = 2
_STEP_MM = 2.0  # of the grid on which edges are looked for: a bone's edge is as wide
_NEAR_VOXELS = 2  # how far from the mask's surface an edge may lie
_EDGE_HU_PER_MM = 60.0


def surface_entropy_bits(*probabilities_zyx: NDArray[np.floating[Any]]) -> float:
    """Mean entropy of the probability up to two voxels off the surface, inside and outside, in 0…1.

    Args:
        probabilities_zyx: of femur, shape (Z, Y, X), of one box or several.
    Returns: 0 where the network is sure of every voxel, 1 where it is of none, or where there is no surface.
    """
    p = np.concatenate([_near_surface(probability) for probability in probabilities_zyx])
    return float(np.mean(-p * np.log2(p) - (1 - p) * np.log2(1 - p))) if p.size else 1.0


def _near_surface(probability_zyx: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    femur_zyx = probability_zyx >= FEMUR_FROM
    box = _box_about(femur_zyx, _SHELL_VOXELS)
    if box is None:
        return np.zeros(0)
    near, p = femur_zyx[box], probability_zyx[box].astype(np.float64)
    inside = ndimage.binary_erosion(near, iterations=_SHELL_VOXELS, border_value=1)
    shell = ndimage.binary_dilation(near, iterations=_SHELL_VOXELS) & ~inside
    return np.asarray(np.clip(p[shell], 1e-6, 1 - 1e-6))


def off_edge_share(ct: CtVolume, mask: MaskVolume) -> float:
    """The share of a mask's surface near which the CT has no edge: no gradient of 60 HU/mm within 4 mm.

    Worked on about every second millimetre, lightly smoothed: noise is no edge. The faces of the scan are no surface.

    Args:
        ct, mask: on one grid, any orientation.
    Returns: in 0…1; 1 if there is no surface.
    """
    hu_zyx, grid = to_lps(ct.hu_zyx, ct.grid)
    femur_zyx, _ = to_lps(mask.femur_zyx, mask.grid)
    steps = [max(1, round(_STEP_MM / spacing)) for spacing in grid.spacing_mm_zyx]
    thin = tuple(slice(None, None, step) for step in steps)
    box = _box_about(femur_zyx[thin], _NEAR_VOXELS + 2)
    if box is None:
        return 1.0
    femur, hu = femur_zyx[thin][box], ndimage.gaussian_filter(hu_zyx[thin][box].astype(np.float32), 0.7)
    spacing = [s * step for s, step in zip(grid.spacing_mm_zyx, steps, strict=True)]
    squares = sum(ndimage.sobel(hu, axis) ** 2 / (32 * mm) ** 2 for axis, mm in enumerate(spacing))
    edge = ndimage.binary_dilation(squares >= _EDGE_HU_PER_MM**2, iterations=_NEAR_VOXELS)
    surface = femur & ~ndimage.binary_erosion(femur, border_value=1)
    return float(np.mean(~edge[surface])) if surface.any() else 1.0


def _box_about(mask_zyx: NDArray[np.bool_], margin: int) -> tuple[slice, ...] | None:
    """The smallest box that holds the whole mask and a margin, within the array; None if it is empty."""
    found = ndimage.find_objects(mask_zyx.astype(np.uint8))
    if not found:
        return None
    return tuple(slice(max(0, part.start - margin), part.stop + margin) for part in found[0])
