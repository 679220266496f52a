"""A patch and a V-Net that fit each other: how large, how deep, halved along which axes.

Source: Isensee et al. 2021, the planner of nnU-Net: an axis is halved while its feature map allows it and its spacing
is within a factor of two of the finest; a patch has the proportions of the patient, not of the voxels.
"""

import math
from collections.abc import Sequence

from femseg.networks.vnet import StrideTriple, VNetSettings
from femseg.planning.facts import Shape
from femseg.volumes.grid import Triple

_COMPRESSIONS = 4  # as in the paper
_LEAST_MAP = 4  # edge of the smallest feature map, if the patch is not smaller itself
_CONVOLUTIONS = (1, 2, 3, 3, 3)  # of the paper's stages, top to bottom
_FEWER_CONVOLUTIONS = (1, 1, 2, 2, 2)


def strides_for(shape_zyx: Sequence[int], spacing_mm_zyx: Triple, *, kernel_size: int = 3) -> tuple[StrideTriple, ...]:
    """The compressions of a network that sees so many voxels of this spacing; at least one, if only of stride 1."""
    least = 2 * max(_LEAST_MAP, kernel_size)
    sizes, spacings = list(shape_zyx), list(spacing_mm_zyx)
    strides: list[StrideTriple] = []
    while len(strides) < _COMPRESSIONS:
        large = [axis for axis in range(3) if sizes[axis] >= least]
        finest = min((spacings[axis] for axis in large), default=0.0)
        halved = [axis for axis in large if spacings[axis] < 2 * finest]
        if not halved:
            break
        for axis in halved:
            sizes[axis] //= 2
            spacings[axis] *= 2
        z, y, x = (2 if axis in halved else 1 for axis in range(3))
        strides.append((z, y, x))
    return tuple(strides) or ((1, 1, 1),)


def whole_strides(strides: Sequence[StrideTriple]) -> Shape:
    """What a patch must divide by along each axis."""
    z, y, x = (math.prod(axis) for axis in zip(*strides, strict=True))
    return (z, y, x)


def vnet_for(
    shape_zyx: Sequence[int], spacing_mm_zyx: Triple, *, channels: int, kernel_size: int, light: bool
) -> VNetSettings:
    """The V-Net for a patch of about this size.

    Args:
        channels: of the topmost stage.
        light: with fewer convolutions in the lower stages than the paper's.
    """
    strides = strides_for(shape_zyx, spacing_mm_zyx, kernel_size=kernel_size)
    convolutions = (_FEWER_CONVOLUTIONS if light else _CONVOLUTIONS)[: len(strides) + 1]
    return VNetSettings(
        base_channels=channels,
        strides=strides,
        convolutions_down=convolutions,
        convolutions_up=convolutions[-2::-1],
        kernel_size=kernel_size,
    )


def patch_for(scan_shape_zyx: Sequence[int], spacing_mm_zyx: Triple, *, voxels: int, kernel_size: int = 3) -> Shape:
    """The largest patch of at most so many voxels: a cube in the patient, no larger than a scan, divisible by strides.

    Args:
        scan_shape_zyx: the median scan in voxels of this spacing.
        voxels: at most.
    """
    low, high = 0.0, max(n * mm for n, mm in zip(scan_shape_zyx, spacing_mm_zyx, strict=True))
    for _ in range(40):  # bisection for the cube's edge
        edge_mm = (low + high) / 2
        fits = math.prod(_cut(scan_shape_zyx, spacing_mm_zyx, edge_mm)) <= voxels
        low, high = (edge_mm, high) if fits else (low, edge_mm)
    sizes = _cut(scan_shape_zyx, spacing_mm_zyx, high if math.prod(scan_shape_zyx) <= voxels else low)
    factors = whole_strides(strides_for(sizes, spacing_mm_zyx, kernel_size=kernel_size))
    z, y, x = (size // factor * factor for size, factor in zip(sizes, factors, strict=True))
    return (z, y, x)


def _cut(scan_shape_zyx: Sequence[int], spacing_mm_zyx: Triple, edge_mm: float) -> tuple[int, ...]:
    sizes = (min(n, int(edge_mm / mm)) for n, mm in zip(scan_shape_zyx, spacing_mm_zyx, strict=True))
    return tuple(max(1, size) for size in sizes)
