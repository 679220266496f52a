"""Small changes to a training sample: first drawn as numbers, then applied."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from femseg.training.settings import AugmentationSettings

Triple = tuple[float, float, float]
Shape = tuple[int, int, int]
_ELASTIC_VOXELS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One drawn change.

    Attributes:
        rotation_rad_zyx: about the z, y and x axis.
        scale: above 1 enlarges.
        translation_zyx: as a fraction of the volume's edges.
        mirrored: flipped left to right.
        noise_sd: of Gaussian noise drawn from `noise_seed`.
        contrast: factor on the distance from each channel's mean.
        brightness: added after that.
        elastic_mm: largest elastic shift, drawn from `noise_seed`.
        thick_slice_mm: thickness to which slices are smeared out.
        cut_side_zyx, cut_share: where a part is cut off (-1 low, 1 high, 0 not, along one axis), and how much of it.
    """

    rotation_rad_zyx: Triple = (0.0, 0.0, 0.0)
    scale: float = 1.0
    translation_zyx: Triple = (0.0, 0.0, 0.0)
    mirrored: bool = False
    noise_sd: float = 0.0
    noise_seed: int = 0
    contrast: float = 1.0
    brightness: float = 0.0
    elastic_mm: float = 0.0
    thick_slice_mm: float = 0.0
    cut_side_zyx: tuple[int, int, int] = (0, 0, 0)
    cut_share: float = 0.0


def drawn_change(settings: AugmentationSettings, generator: np.random.Generator) -> Change:
    """Draw a change; every number is drawn whatever the settings, so that one setting does not shift the others."""
    angle = np.deg2rad(settings.rotation_degrees)
    rotation = generator.uniform(-angle, angle, 3).tolist()
    log_scale, log_contrast = generator.uniform(-1, 1, 2) * np.log1p([settings.scale, settings.contrast])
    translation = generator.uniform(-settings.translation, settings.translation, 3).tolist()
    coin = bool(generator.random() < 0.5)
    return Change(
        rotation_rad_zyx=tuple(rotation),
        scale=float(np.exp(log_scale)),
        translation_zyx=tuple(translation),
        mirrored=coin and settings.mirror_left_right,
        noise_sd=generator.uniform(0.0, settings.noise_sd),
        noise_seed=int(generator.integers(2**31)),
        contrast=float(np.exp(log_contrast)),
        brightness=generator.uniform(-settings.brightness, settings.brightness),
        **_drawn_for_patches(settings, generator),
    )


def _drawn_for_patches(settings: AugmentationSettings, generator: np.random.Generator) -> dict[str, Any]:
    elastic, thick, cut = generator.uniform(0.0, 1.0, 3)
    axis, side, share = generator.integers(3), generator.choice([-1, 1]), generator.uniform(0.05, 0.6)
    is_cut = cut < settings.field_of_view_cut
    return {
        "elastic_mm": float(elastic * settings.elastic_mm),
        "thick_slice_mm": float(thick * settings.thick_slice_mm),
        "cut_side_zyx": tuple(int(side) if is_cut and a == axis else 0 for a in range(3)),
        "cut_share": float(share) if is_cut else 0.0,
    }


def augmented(
    input_czyx: Tensor, target_zyx: Tensor, change: Change, *, spacing_mm_zyx: Triple, shape_zyx: Shape | None = None
) -> tuple[Tensor, Tensor]:
    """Apply a change to input and mask: geometry to both, intensities to the input alone.

    Args:
        input_czyx: shape (C, Z, Y, X); beyond its edges the edge voxels go on.
        target_zyx: 0 or 1, shape (Z, Y, X); interpolated as 0/1 and cut at 0.5, background beyond its edges.
        spacing_mm_zyx: of both; the volume is turned and stretched in millimetres, so that bones keep their shape.
        shape_zyx: of the result, about the same centre; as large as the input if not given. See `region_shape`.
    """
    z, y, x = target_zyx.shape
    result_zyx = shape_zyx or (z, y, x)
    grid = sampling_grid(change, result_zyx, (z, y, x), spacing_mm_zyx)
    moved = F.grid_sample(input_czyx[None], grid, padding_mode="border", align_corners=False)[0]
    mask = F.grid_sample(target_zyx[None, None], grid, padding_mode="zeros", align_corners=False)[0, 0]
    if change.thick_slice_mm > spacing_mm_zyx[0]:
        moved = _smeared_along_z(moved, change.thick_slice_mm / spacing_mm_zyx[0])
    means = moved.mean(dim=(1, 2, 3), keepdim=True)
    noise = torch.randn(moved.shape, generator=torch.Generator().manual_seed(change.noise_seed))
    moved = means + change.contrast * (moved - means) + change.brightness + change.noise_sd * noise
    mask = (mask > 0.5).float()
    if change.cut_share:
        beyond = cut_part(change, result_zyx)
        moved[(slice(None), *beyond)] = 0.0  # as beyond the edges of a scan
        mask[beyond] = 0.0
    return moved, mask


def region_shape(change: Change, shape_zyx: Shape, spacing_mm_zyx: Triple) -> Shape:
    """How large a region a changed sample of `shape_zyx` is read from: of the same centre, not smaller than it."""
    half_mm_xyz = 0.5 * np.array(shape_zyx[::-1]) * np.array(spacing_mm_zyx[::-1])
    reach_mm_xyz = np.abs(_linear_mm(change)) @ half_mm_xyz + change.elastic_mm
    wanted = np.ceil((reach_mm_xyz - half_mm_xyz) / np.array(spacing_mm_zyx[::-1]))[::-1]
    z, y, x = (size + 2 * max(0, int(more)) for size, more in zip(shape_zyx, wanted, strict=True))
    return (z, y, x)


def _linear_mm(change: Change) -> NDArray[np.float64]:
    """From a place in the result to the place that is read there, in mm (x, y, z) from the centre."""
    about_z, about_y, about_x = change.rotation_rad_zyx
    turn = _rotation(about_x, 1, 2) @ _rotation(about_y, 0, 2) @ _rotation(about_z, 0, 1)
    flip = np.diag([-1.0 if change.mirrored else 1.0, 1.0, 1.0])
    return np.asarray(turn @ flip / change.scale)


def sampling_grid(change: Change, result_zyx: Shape, region_zyx: Shape, spacing_mm_zyx: Triple) -> Tensor:
    """Where `grid_sample` reads each voxel of the result in a region of the same centre, shape (1, Z, Y, X, 3)."""
    theta = _sampling_matrix(change, result_zyx, region_zyx, spacing_mm_zyx)
    grid = F.affine_grid(theta[None], [1, 1, *result_zyx], align_corners=False)
    return grid + _elastic(change, result_zyx, region_zyx, spacing_mm_zyx) if change.elastic_mm else grid


def _sampling_matrix(change: Change, result_zyx: Shape, region_zyx: Shape, spacing_mm_zyx: Triple) -> Tensor:
    """For each voxel of the result where to read, as grid_sample wants it: (x, y, z), the region's edges at ±1."""
    result_mm_xyz, region_mm_xyz = (
        0.5 * np.array(shape[::-1]) * np.array(spacing_mm_zyx[::-1]) for shape in (result_zyx, region_zyx)
    )
    linear = _linear_mm(change) * result_mm_xyz[None, :] / region_mm_xyz[:, None]
    offset = -2.0 * np.array(change.translation_zyx[::-1])  # the edge is 2 long in these coordinates
    return torch.from_numpy(np.column_stack([linear, linear @ offset]).astype(np.float32))


def _elastic(change: Change, result_zyx: Shape, region_zyx: Shape, spacing_mm_zyx: Triple) -> Tensor:
    """Shifts for `grid_sample`, shape (1, Z, Y, X, 3): drawn about 32 voxels apart, linear between them."""
    knots = [size // _ELASTIC_VOXELS + 2 for size in result_zyx]
    drawn = np.random.default_rng(change.noise_seed).uniform(-1.0, 1.0, (1, 3, *knots)) * change.elastic_mm
    half_mm_xyz = 0.5 * np.array(region_zyx[::-1]) * np.array(spacing_mm_zyx[::-1])
    shifts = torch.from_numpy((drawn / half_mm_xyz[None, :, None, None, None]).astype(np.float32))
    return F.interpolate(shifts, result_zyx, mode="trilinear", align_corners=True).permute(0, 2, 3, 4, 1)


def _smeared_along_z(input_czyx: Tensor, thickness_voxels: float) -> Tensor:
    """The mean over a slice's thickness, its outermost slices by their share."""
    half = thickness_voxels / 2
    reach = int(np.ceil(half - 0.5))
    weights = np.clip(half - np.abs(np.arange(-reach, reach + 1)) + 0.5, 0.0, 1.0)
    kernel = torch.from_numpy((weights / weights.sum()).astype(np.float32))[None, None, :, None, None]
    padded = F.pad(input_czyx[:, None], (0, 0, 0, 0, reach, reach), mode="replicate")
    return F.conv3d(padded, kernel)[:, 0]


def cut_part(change: Change, shape_zyx: Shape) -> tuple[slice, ...]:
    """The voxels that are cut off, of a change that cuts off some."""
    part = []
    for side, size in zip(change.cut_side_zyx, shape_zyx, strict=True):
        voxels = round(size * change.cut_share)
        part.append(slice(None) if not side else slice(0, voxels) if side < 0 else slice(size - voxels, size))
    return tuple(part)


def _rotation(angle_rad: float, first: int, second: int) -> NDArray[np.float64]:
    """Rotation in the plane of two of the axes x, y, z."""
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle_rad)
    matrix[first, second], matrix[second, first] = -np.sin(angle_rad), np.sin(angle_rad)
    return matrix
