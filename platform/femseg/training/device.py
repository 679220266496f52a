"""How a network computes on its device, and how it steps: precision, memory layout, micro-batches, optimiser, rate."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from femseg.errors import Refusal
from femseg.networks.network import Network
from femseg.training.agreement import number_of_ranks
from femseg.training.batches import Batch
from femseg.training.losses import segmentation_loss
from femseg.training.settings import OptimisationSettings, TrainSettings


def autocast(settings: OptimisationSettings, device: torch.device) -> AbstractContextManager[object]:
    """Where convolutions compute in the precision of the settings."""
    enabled = settings.precision == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def on_device(array: Tensor, settings: OptimisationSettings, device: torch.device) -> Tensor:
    """A (B, C, Z, Y, X) tensor on the device, in the memory layout of the settings."""
    return array.to(device, non_blocking=True).contiguous(memory_format=_layout(settings))


def move_to_device(network: Network, settings: OptimisationSettings, device: torch.device) -> None:
    """Move a network to the device, in the memory layout of the settings; compile it if they ask for that."""
    network.to(device=device, memory_format=_layout(settings))  # type: ignore[call-overload]  # no stub for 5-D
    network.activation_checkpointing = settings.activation_checkpointing
    if settings.compile:
        network.compile()  # in place: names of weights stay


def _layout(settings: OptimisationSettings) -> torch.memory_format:
    return torch.channels_last_3d if settings.channels_last else torch.contiguous_format


def add_gradients(
    model: nn.Module, batch: Batch, settings: OptimisationSettings, *, device: torch.device, micro_batch: int
) -> float:
    """Add the gradients of this rank's share; DDP averages them over ranks with the last micro-batch.

    Every sample weighs the same, however the batch is shared: the average over ranks is undone in the weights.

    Args:
        model: (B, C, Z, Y, X) to logits, or several of them; perhaps wrapped for data-parallel training.
        micro_batch: samples at a time.
    Returns: the loss; the mean over ranks is the batch's.
    """
    inputs = on_device(batch.input_bczyx, settings, device).split(micro_batch)
    targets = batch.target_bzyx.to(device, non_blocking=True).split(micro_batch)
    weight_of_sample = number_of_ranks() / len(batch.case_ids)
    total = torch.zeros((), device=device)
    for number, (input_bczyx, target_bzyx) in enumerate(zip(inputs, targets, strict=True), start=1):
        alone = getattr(model, "no_sync", None) if number < len(inputs) else None
        with alone() if alone else nullcontext():
            with autocast(settings, device):
                logits = model(input_bczyx)
            loss = segmentation_loss(logits, target_bzyx, loss=settings.loss, denominator=settings.loss_denominator)
            loss = loss * (len(input_bczyx) * weight_of_sample)
            loss.backward()
        total += loss.detach()
    return float(total)


@contextmanager
def out_of_memory_refused(settings: OptimisationSettings, device: torch.device) -> Iterator[None]:
    """TR-13: out of GPU memory becomes a sentence with the setting to try."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        peak_gib = torch.cuda.max_memory_allocated(device) / 2**30
        share = settings.batch_size // number_of_ranks() // settings.gradient_accumulation
        problem = f"out of GPU memory with {share} samples at a time on this GPU, peak {peak_gib:.1f} GiB"
        fix = "raise gradient_accumulation, set precision to bfloat16, or set activation_checkpointing"
        raise Refusal.of("TR-13", device, problem, fix) from error


def build_optimizer(network: nn.Module, settings: OptimisationSettings) -> Optimizer:
    """Adam with PyTorch's defaults (betas 0.9, 0.999); the learning rate is set at every step."""
    kinds: dict[str, type[Adam]] = {"adam": Adam, "adamw": AdamW}
    return kinds[settings.optimizer](network.parameters(), lr=0.0, fused=True)  # one pass over the weights


def learning_rate_at(iteration: int, train: TrainSettings, optimisation: OptimisationSettings) -> float:
    """Learning rate of one iteration (from 1), whatever happened before it."""
    initial = float(train.learning_rate)
    if optimisation.schedule == "constant":
        return initial
    return initial * 0.5 * (1.0 + math.cos(math.pi * (iteration - 1) / train.max_iterations))
