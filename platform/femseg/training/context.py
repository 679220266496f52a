"""The context of a Trainer: its rank and device, and who listens to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn

from femseg.training.validation import ValidationScore


class Recorder(Protocol):
    """Keeps the curves of a run; MLflow is one such listener."""

    def metric(self, name: str, value: float, *, step: int) -> None:
        """Take one finite number."""
        ...


class NoRecorder:
    """Keeps nothing."""

    def metric(self, name: str, value: float, *, step: int) -> None:
        """Let the number go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerContext:
    """Where a worker trains and who listens; nothing here changes the result.

    Attributes:
        rank, world_size: of this worker.
        device: of the network.
        recorder: keeps the curves; called on rank 0 only.
        progress: called on rank 0 with iterations done and a note.
        say: takes a line for the log, such as a checkpoint that was set aside.
        wrap: prepares the network for data-parallel training; the wrapped network shares its weights.
        on_checkpoint: called on rank 0 after each commit with its iteration and the best one's so far.
        on_validation: called on every rank after each validation; "stop" ends the run early, on all ranks.
        stop_requested: asked on every rank at each iteration; True commits a checkpoint and leaves with exit code 75.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    recorder: Recorder = field(default_factory=NoRecorder)
    progress: Callable[[int, str], None] = lambda done, note: None
    say: Callable[[str], None] = print
    wrap: Callable[[nn.Module], nn.Module] = lambda network: network
    on_checkpoint: Callable[[int, int], None] = lambda iteration, best_iteration: None
    on_validation: Callable[[ValidationScore], str | None] = lambda score: None
    stop_requested: Callable[[], bool] = lambda: False
