"""What training minimises: soft Dice, or Dice and cross-entropy; at the full resolution and at coarser ones."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from femseg.networks.network import foreground_probability

DiceDenominator = Literal["squared", "linear"]
Loss = Literal["dice", "dice_ce"]

_SMOOTH = 1e-5  # decides only when both masks are (nearly) empty: the loss of an empty prediction is then 0


def soft_dice_loss(foreground_bzyx: Tensor, target_bzyx: Tensor, *, denominator: DiceDenominator = "squared") -> Tensor:
    """1 - Dice of the foreground probability with the reference mask, per sample, then averaged.

    Args:
        foreground_bzyx: probability of femur, shape (B, Z, Y, X), any floating type.
        target_bzyx: reference mask of the same shape, 0 or 1, any type.
        denominator: "squared" sums p² and g² (Milletari et al. 2016), "linear" sums p and g (the paper's |X| + |Y|).
    Returns: float32 scalar in 0..1, finite for empty masks too. Sums are float32 whatever autocast says: in float16
        they overflow at 512 × 64 × 64 voxels.
    Raises: ValueError if the shapes differ; nothing is broadcast.
    """
    if foreground_bzyx.shape != target_bzyx.shape or foreground_bzyx.ndim != 4:
        raise ValueError(
            f"expected probability and target of one shape (B, Z, Y, X), got {tuple(foreground_bzyx.shape)} "
            f"and {tuple(target_bzyx.shape)}"
        )
    if denominator not in ("squared", "linear"):
        raise ValueError(f"denominator: expected 'squared' or 'linear', got {denominator!r}")
    voxels = (1, 2, 3)
    with torch.autocast(foreground_bzyx.device.type, enabled=False):
        p, g = foreground_bzyx.float(), target_bzyx.float()
        overlap = (p * g).sum(voxels)
        sizes = (p * p + g * g if denominator == "squared" else p + g).sum(voxels)
        return 1.0 - ((2.0 * overlap + _SMOOTH) / (sizes + _SMOOTH)).mean()


def segmentation_loss(
    logits: Tensor | Sequence[Tensor], target_bzyx: Tensor, *, loss: Loss = "dice", denominator: DiceDenominator
) -> Tensor:
    """The loss of a network's logits, per sample, then averaged.

    Args:
        logits: shape (B, 2, Z, Y, X); of a network with deep supervision several, the full resolution first. A coarser
            one is held against the share of femur in its voxels, and weighs half of the one before it.
        target_bzyx: reference mask, float, shape (B, Z, Y, X).
        loss: "dice" alone (the paper), or "dice_ce", to which the mean cross-entropy of the voxels is added.
    """
    if isinstance(logits, Tensor):
        return _one_loss(logits, target_bzyx, loss=loss, denominator=denominator)
    weights = [0.5**level for level in range(len(logits))]
    terms = [
        weight * _one_loss(one, _at_size(target_bzyx, one.shape[2:]), loss=loss, denominator=denominator)
        for weight, one in zip(weights, logits, strict=True)
    ]
    return torch.stack(terms).sum() / sum(weights)


def _one_loss(logits_b2zyx: Tensor, target_bzyx: Tensor, *, loss: Loss, denominator: DiceDenominator) -> Tensor:
    dice = soft_dice_loss(foreground_probability(logits_b2zyx), target_bzyx, denominator=denominator)
    if loss == "dice":
        return dice
    with torch.autocast(logits_b2zyx.device.type, enabled=False):
        difference = logits_b2zyx[:, 1].float() - logits_b2zyx[:, 0].float()
        return dice + F.binary_cross_entropy_with_logits(difference, target_bzyx.float())


def _at_size(target_bzyx: Tensor, size_zyx: torch.Size) -> Tensor:
    z, y, x = size_zyx
    return target_bzyx if target_bzyx.shape[1:] == size_zyx else F.adaptive_avg_pool3d(target_bzyx, (z, y, x))
