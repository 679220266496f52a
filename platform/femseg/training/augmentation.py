"""Small changes to a training sample: first drawn as numbers, then applied."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from femseg.training.settings import AugmentationSettings

Triple = tuple[float, float, float]


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
    """

    rotation_rad_zyx: Triple = (0.0, 0.0, 0.0)
    scale: float = 1.0
    translation_zyx: Triple = (0.0, 0.0, 0.0)
    mirrored: bool = False
    noise_sd: float = 0.0
    noise_seed: int = 0
    contrast: float = 1.0
    brightness: float = 0.0


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
    )


def augmented(
    input_czyx: Tensor, target_zyx: Tensor, change: Change, *, spacing_mm_zyx: Triple
) -> tuple[Tensor, Tensor]:
    """Apply a change to input and mask: geometry to both, intensities to the input alone.

    Args:
        input_czyx: shape (C, Z, Y, X); beyond its edges the edge voxels go on.
        target_zyx: 0 or 1, shape (Z, Y, X); interpolated as 0/1 and cut at 0.5, background beyond its edges.
        spacing_mm_zyx: of both; the volume is turned and stretched in millimetres, so that bones keep their shape.
    """
    theta = _sampling_matrix(change, tuple(target_zyx.shape), spacing_mm_zyx)
    grid = F.affine_grid(theta[None], [1, 1, *target_zyx.shape], align_corners=False)
    moved = F.grid_sample(input_czyx[None], grid, padding_mode="border", align_corners=False)[0]
    mask = F.grid_sample(target_zyx[None, None], grid, padding_mode="zeros", align_corners=False)[0, 0]
    means = moved.mean(dim=(1, 2, 3), keepdim=True)
    noise = torch.randn(moved.shape, generator=torch.Generator().manual_seed(change.noise_seed))
    moved = means + change.contrast * (moved - means) + change.brightness + change.noise_sd * noise
    return moved, (mask > 0.5).float()


def _sampling_matrix(change: Change, shape_zyx: tuple[int, ...], spacing_mm_zyx: Triple) -> Tensor:
    """For each output voxel where to read, as grid_sample wants it: (x, y, z), edges of the volume at -1 and 1."""
    half_extent_mm_xyz = 0.5 * np.array(shape_zyx[::-1]) * np.array(spacing_mm_zyx[::-1])
    about_z, about_y, about_x = change.rotation_rad_zyx
    turn = _rotation(about_x, 1, 2) @ _rotation(about_y, 0, 2) @ _rotation(about_z, 0, 1)
    flip = np.diag([-1.0 if change.mirrored else 1.0, 1.0, 1.0])
    linear_mm = turn @ flip / change.scale
    linear = linear_mm * half_extent_mm_xyz[None, :] / half_extent_mm_xyz[:, None]
    offset = -2.0 * np.array(change.translation_zyx[::-1])  # the edge is 2 long in these coordinates
    return torch.from_numpy(np.column_stack([linear, linear @ offset]).astype(np.float32))


def _rotation(angle_rad: float, first: int, second: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Rotation in the plane of two of the axes x, y, z."""
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle_rad)
    matrix[first, second], matrix[second, first] = -np.sin(angle_rad), np.sin(angle_rad)
    return matrix
