"""In which precision and memory layout the network computes."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from femseg.training.settings import OptimisationSettings


def autocast(settings: OptimisationSettings, device: torch.device) -> AbstractContextManager[object]:
    """Where convolutions compute in the precision of the settings."""
    enabled = settings.precision == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def on_device(array: Tensor, settings: OptimisationSettings, device: torch.device) -> Tensor:
    """A (B, C, Z, Y, X) tensor on the device, in the memory layout of the settings."""
    layout = torch.channels_last_3d if settings.channels_last else torch.contiguous_format
    return array.to(device, non_blocking=True).contiguous(memory_format=layout)
