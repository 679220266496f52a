"""What a network is to trainer, packages and inference, and how one is found by the name in its settings.

To add one to femseg: a class in a file of its own, and a line in `NETWORKS`. From outside: `network.name` in
params.yaml is `package.module:Class`, or the name of an entry point of the group `femseg.networks`.
"""

import functools
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from femseg.errors import printable, words_of

NETWORKS = {"vnet": "femseg.networks.vnet:VNet"}  # name: where its class is
ENTRY_POINTS = "femseg.networks"

FEMUR_FROM = 0.5  # a voxel is femur from this probability on: in validation, in evaluation and in every mask


class NetworkSettings(Protocol):
    """The `network:` section of params.yaml: a frozen dataclass, with a ValueError for values that do not fit."""

    @property
    def name(self) -> str:
        """By which the network is found: a field of the dataclass."""

    @property
    def share_matters(self) -> bool:
        """Whether a network computes over a worker's share of the batch as a whole: batch statistics, or dropout, which
        draws for the share at once. Then another number of workers makes another run (TR-12).
        """

    def check_shape(self, shape_zyx: tuple[int, int, int]) -> None:
        """Raises: ValueError naming the sizes if an input of this shape does not fit."""


class Network(nn.Module):
    """Logits of background and femur, (B, 2, Z, Y, X), from an input of shape (B, C, Z, Y, X).

    In training it may return several, the full resolution first, all of which are held against the mask.

    A network is made of its settings and the number of input channels alone, on any device, "meta" included; what it
    learns is in its `state_dict`. Equal seeds give equal initial weights.

    Attributes:
        Settings: the class of its settings.
        settings: its own.
        input_channels: 1 for the CT or its gradient, 2 for both.
        activation_checkpointing: compute activations again in the backward pass, where the network can; set by the
            trainer.
    """

    Settings: ClassVar[type[Any]]
    settings: NetworkSettings

    def __init__(self, settings: NetworkSettings, input_channels: int) -> None:
        super().__init__()
        self.settings = settings
        self.input_channels = input_channels
        self.activation_checkpointing = False


def foreground_probability(logits_b2zyx: Tensor) -> Tensor:
    """Probability of femur, shape (B, Z, Y, X), float32 whatever the logits' type.

    The softmax over two channels is the logistic function of their difference, at a fraction of the memory traffic.
    """
    if logits_b2zyx.ndim != 5 or logits_b2zyx.shape[1] != 2:
        raise ValueError(f"expected logits of shape (B, 2, Z, Y, X), got {tuple(logits_b2zyx.shape)}")
    background, femur = logits_b2zyx.float().unbind(dim=1)
    return torch.sigmoid(femur - background)


def places() -> dict[str, str]:
    """Name to "package.module:Class" of femseg's own networks and of those that are installed."""
    return {one.name: one.value for one in entry_points(group=ENTRY_POINTS)} | NETWORKS


@functools.cache
def network_class(name: str) -> type[Network]:
    """The class that a name stands for; its module is imported. Raises: ValueError if there is none."""
    known = places()
    place = known.get(name, name)
    module, _, attribute = place.partition(":")
    if not attribute:
        raise ValueError(f"expected {', '.join(known)} or package.module:Class, got {printable(name)[:100]!r}")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # whatever the module does when it is imported
        raise ValueError(f"{place} cannot be imported ({type(error).__name__}: {words_of(error)})") from error
    settings = getattr(found, "Settings", None)
    fit = isinstance(found, type) and issubclass(found, Network) and is_dataclass(settings)
    if not fit or "name" not in {field.name for field in fields(settings)}:  # type: ignore[arg-type]  # is a dataclass
        raise ValueError(f"{place} is no subclass of Network with a dataclass Settings that has a field `name`")
    return found  # type: ignore[no-any-return]  # a Network, as was just checked


def build_network(settings: NetworkSettings, input_channels: int) -> Network:
    """The network of these settings, with initial weights of torch's generator."""
    return network_class(settings.name)(settings, input_channels)
