"""The optimiser, and its learning rate over the iterations."""

import math

from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from femseg.training.settings import OptimisationSettings, TrainSettings


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
