"""The training loop in plain PyTorch: batches in, one report per optimiser step out."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Adam, AdamW, Optimizer

from femseg.errors import ExitCode, Fault, Refusal
from femseg.networks.vnet import foreground_probability
from femseg.training.agreement import number_of_ranks, summed_over_ranks
from femseg.training.batches import Batch
from femseg.training.losses import soft_dice_loss
from femseg.training.settings import OptimisationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One optimiser step.

    Attributes:
        iteration: counted from 1.
        dice_loss: mean over the whole batch, all workers together.
        gradient_norm: of the averaged gradient.
        applied: False if loss or gradient were not finite; weights, optimiser and statistics are then as before.
        refused_in_a_row: steps up to this one that were not applied.
        seconds: wall-clock time of the step, waiting for its data included.
    """

    iteration: int
    dice_loss: float
    gradient_norm: float
    applied: bool
    refused_in_a_row: int
    learning_rate: float
    seconds: float
    samples_per_second: float


def build_optimizer(network: nn.Module, settings: OptimisationSettings) -> Optimizer:
    """Adam with PyTorch's defaults (betas 0.9, 0.999); the learning rate is set at every step."""
    kinds: dict[str, type[Adam]] = {"adam": Adam, "adamw": AdamW}
    return kinds[settings.optimizer](network.parameters(), lr=0.0, fused=True)  # one pass over the weights


def learning_rate_at(iteration: int, *, initial: float, last_iteration: int, settings: OptimisationSettings) -> float:
    """Learning rate of one iteration (from 1), whatever happened before it."""
    if settings.schedule == "constant":
        return initial
    return initial * 0.5 * (1.0 + math.cos(math.pi * (iteration - 1) / last_iteration))


def autocast(settings: OptimisationSettings, device: torch.device) -> AbstractContextManager[object]:
    """Where convolutions compute in the precision of the settings."""
    enabled = settings.precision == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def on_device(array: Tensor, settings: OptimisationSettings, device: torch.device) -> Tensor:
    """A (B, C, Z, Y, X) tensor on the device, in the memory layout of the settings."""
    layout = torch.channels_last_3d if settings.channels_last else torch.contiguous_format
    return array.to(device, non_blocking=True).contiguous(memory_format=layout)


def train_steps(
    network: nn.Module,
    batches: Iterable[Batch],
    optimizer: Optimizer,
    settings: OptimisationSettings,
    *,
    learning_rate: Callable[[int], float],
    device: torch.device,
    at_a_time: int | None = None,
    seed: tuple[int, ...] = (0,),
    refused_in_a_row: int = 0,
) -> Iterator[StepReport]:
    """One optimiser step per batch; a step whose loss or gradient is not finite never touches the weights.

    Args:
        network: (B, C, Z, Y, X) to two channels of logits; perhaps wrapped for data-parallel training, where every rank
            takes the same decision at every step.
        learning_rate: of an iteration.
        at_a_time: samples of a micro-batch; by default this worker's share, cut as `gradient_accumulation` says.
        seed: of dropout, which is drawn anew for each iteration; differs from rank to rank.
        refused_in_a_row: steps not applied just before the first of these batches.
    Raises: Refusal (TR-09, exit 7) after `settings.non_finite_limit` such steps in a row.
    """
    network.train()
    started = time.perf_counter()
    for batch in batches:
        rate = learning_rate(batch.iteration)
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(int(np.random.default_rng((*seed, batch.iteration)).integers(2**63)))  # dropout
        buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
        optimizer.zero_grad(set_to_none=True)
        micro_batch = at_a_time or math.ceil(len(batch.input_bczyx) / settings.gradient_accumulation)
        own_loss = _backward(network, batch, settings, device, micro_batch)
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        norm = float(get_total_norm(gradients))
        ranks, loss_sum, wrong = summed_over_ranks([1.0, own_loss, float(not math.isfinite(norm))], device)
        applied = math.isfinite(loss_sum) and not wrong
        if applied:
            optimizer.step()
            refused_in_a_row = 0
        else:
            refused_in_a_row += 1
            for buffer, before in buffers:
                buffer.copy_(before)
        now = time.perf_counter()
        yield StepReport(
            iteration=batch.iteration,
            dice_loss=loss_sum / ranks,
            gradient_norm=norm,
            applied=applied,
            refused_in_a_row=refused_in_a_row,
            learning_rate=rate,
            seconds=now - started,
            samples_per_second=len(batch.case_ids) / (now - started),
        )
        if refused_in_a_row >= settings.non_finite_limit:
            raise _not_finite(batch, loss_sum / ranks, norm, refused_in_a_row)
        network.train()
        started = time.perf_counter()


def _backward(
    network: nn.Module, batch: Batch, settings: OptimisationSettings, device: torch.device, at_a_time: int
) -> float:
    """Gradients of this rank's share, in micro-batches; DDP averages them over ranks with the last one.

    Every sample weighs the same, however the batch is shared: the average over ranks is undone in the weights.
    """
    inputs = on_device(batch.input_bczyx, settings, device).split(at_a_time)
    targets = batch.target_bzyx.to(device, non_blocking=True).split(at_a_time)
    weight_of_sample = number_of_ranks() / len(batch.case_ids)
    total = torch.zeros((), device=device)
    for number, (input_bczyx, target_bzyx) in enumerate(zip(inputs, targets, strict=True), start=1):
        alone = getattr(network, "no_sync", None) if number < len(inputs) else None
        with alone() if alone else nullcontext():
            with autocast(settings, device):
                logits = network(input_bczyx)
            probability = foreground_probability(logits)
            loss = soft_dice_loss(probability, target_bzyx, denominator=settings.loss_denominator)
            loss = loss * (len(input_bczyx) * weight_of_sample)
            loss.backward()
        total += loss.detach()
    return float(total)


def _not_finite(batch: Batch, loss: float, norm: float, in_a_row: int) -> Refusal:
    return Refusal(
        Fault(
            id="TR-09",
            file=f"iteration {batch.iteration}",
            problem=f"Dice loss {loss} and gradient norm {norm} for cases {', '.join(batch.case_ids)}; "
            f"{in_a_row} steps in a row were not finite and none of them touched the weights",
            fix="check these cases with `femseg check`, or lower train.learning_rate",
            exit_code=ExitCode.TRAINING_FAILED,
        )
    )
