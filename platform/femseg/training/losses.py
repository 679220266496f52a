"""The soft Dice loss."""

from typing import Literal

import torch
from torch import Tensor

DiceDenominator = Literal["squared", "linear"]

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
