"""Dice on the validation cases, the same for any number of workers."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from femseg.networks.network import FEMUR_FROM, foreground_probability
from femseg.training.agreement import number_of_ranks, summed_over_ranks, this_rank
from femseg.training.batches import TrainingCases
from femseg.training.device import autocast, on_device
from femseg.training.losses import soft_dice_loss
from femseg.training.settings import OptimisationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationScore:
    """Mean over the validation cases, on the network grid; of a case that is seen in patches, over all of these.

    Attributes:
        iteration: after which the network was scored.
        dice: of the mask cut at `FEMUR_FROM`; NaN if a probability was not finite.
        soft_dice: 1 - the soft Dice loss.
        dice_by_case: case id to Dice.
    """

    iteration: int
    dice: float
    soft_dice: float
    dice_by_case: dict[str, float]


def hard_dice(foreground_zyx: Tensor, target_zyx: Tensor) -> float:
    """Dice of the mask cut at `FEMUR_FROM` with the target; 1 if both are empty, NaN if a probability is not finite."""
    if not bool(torch.isfinite(foreground_zyx).all()):
        return math.nan
    predicted, reference = foreground_zyx >= FEMUR_FROM, target_zyx > 0.5
    sizes = int(predicted.sum()) + int(reference.sum())
    return 2.0 * int((predicted & reference).sum()) / sizes if sizes else 1.0


@torch.inference_mode()
def validation_score(
    network: nn.Module, cases: TrainingCases, settings: OptimisationSettings, *, iteration: int, device: torch.device
) -> ValidationScore:
    """Score the network, not wrapped for data-parallel training; the ranks share the cases.

    Every rank must call it and gets the same score. Raises: ValueError if there are no cases.
    """
    case_ids = sorted(cases.case_ids)
    if not case_ids:
        raise ValueError("no validation cases: the validation part of the split is empty")
    was_training = network.training
    network.eval()
    scores = np.zeros((len(case_ids), 2))
    for place in range(this_rank(), len(case_ids), number_of_ranks()):
        found, wanted = [], []
        for input_czyx, target_zyx in cases.validation_samples(case_ids[place]):
            with autocast(settings, device):
                logits = network(on_device(input_czyx[None], settings, device))
            found.append(foreground_probability(logits))
            wanted.append(target_zyx[None].to(device))
        foreground, target = torch.cat(found, dim=1), torch.cat(wanted, dim=1)
        loss = soft_dice_loss(foreground, target, denominator=settings.loss_denominator)
        scores[place] = hard_dice(foreground[0], target[0]), 1.0 - float(loss)
    network.train(was_training)
    agreed = np.array(summed_over_ranks(scores.ravel().tolist(), device)).reshape(scores.shape)
    dice, soft_dice = agreed.mean(axis=0).tolist()
    return ValidationScore(
        iteration=iteration,
        dice=dice,
        soft_dice=soft_dice,
        dice_by_case=dict(zip(case_ids, agreed[:, 0].tolist(), strict=True)),
    )
