"""What a network is to trainer, packages and inference, and how one is found by the name in its settings.

To add one to femseg: a class in a file of its own, and a line in `NETWORKS`. From outside: `network.name` in
params.yaml is `package.module:Class`, or the name of an entry point of the group `femseg.networks`.
"""

import functools
import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

import torch
from pydantic import PlainValidator
from torch import Tensor, nn

from femseg.errors import Fault, Refusal, printable
from femseg.files.durable import sha256_of_file
from femseg.paths import PARAMS
from femseg.settings import checked, read_section

NETWORKS = {"vnet": "femseg.networks.vnet:VNet"}  # name: where its class is
ENTRY_POINTS = "femseg.networks"


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


def _places() -> dict[str, str]:
    """Name to "package.module:Class" of femseg's own networks and of those that are installed."""
    return {one.name: one.value for one in entry_points(group=ENTRY_POINTS)} | NETWORKS


@functools.cache
def network_class(name: str) -> type[Network]:
    """The class that a name stands for; its module is imported. Raises: ValueError if there is none."""
    places = _places()
    place = places.get(name, name)
    module, _, attribute = place.partition(":")
    if not attribute:
        raise ValueError(f"expected {', '.join(places)} or package.module:Class, got {printable(name)[:100]!r}")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # whatever the module does when it is imported
        words = " ".join(str(error).split())[:200]
        raise ValueError(f"{place} cannot be imported ({type(error).__name__}: {words})") from error
    settings = getattr(found, "Settings", None)
    fit = isinstance(found, type) and issubclass(found, Network) and is_dataclass(settings)
    if not fit or "name" not in {field.name for field in fields(settings)}:  # type: ignore[arg-type]  # is a dataclass
        raise ValueError(f"{place} is no subclass of Network with a dataclass Settings that has a field `name`")
    return found  # type: ignore[no-any-return]  # a Network, as was just checked


def network_settings(plain: Any, *, where: str = "network", file: Path | str = PARAMS) -> NetworkSettings:
    """Check plain values against the settings of the network that they name; without a name it is the V-Net.

    Raises: Refusal CFG-01 (exit 2) naming every wrong key, or the name if there is no such network.
    """
    try:
        settings_type = network_class(str(plain.get("name", "vnet")) if isinstance(plain, Mapping) else "vnet").Settings
    except ValueError as error:
        fix = "correct the name, or put the module on Python's path"
        raise Refusal(Fault(id="CFG-01", file=str(file), problem=f"{where}.name: {error}", fix=fix)) from None
    settings: NetworkSettings = checked(settings_type, plain, where=where, file=file)
    return settings


NetworkField = Annotated[NetworkSettings, PlainValidator(network_settings)]  # a field of settings that hold a network's


def read_network(file: Path = PARAMS) -> NetworkSettings:
    """The `network:` section. Raises: Refusal (exit 2), as `network_settings`."""
    return network_settings(read_section(dict[str, Any], "network", file=file), file=file)


def build_network(settings: NetworkSettings, input_channels: int) -> Network:
    """The network of these settings, with initial weights of torch's generator."""
    return network_class(settings.name)(settings, input_channels)


def source_sha256(settings: NetworkSettings) -> str:
    """SHA-256 of the file that a network from outside of femseg is written in; "" for femseg's own."""
    found = network_class(settings.name)
    return "" if found.__module__.startswith("femseg.") else sha256_of_file(Path(inspect.getfile(found)))


def require_at_hand(name: str) -> None:
    """Before the network that a package names is looked up: a package alone never decides what is imported.

    Raises: ValueError if the name is neither femseg's own, nor an installed entry point's, nor that of the params.yaml
        in the working folder.
    """
    try:
        here = read_section(dict[str, Any], "network").get("name")
    except Refusal:
        here = None
    if name not in _places() and name != here:
        raise ValueError(
            f"its network {printable(name)[:100]} is not at hand: set network.name to it in the params.yaml here, with "
            "its module on Python's path, or install a package that has it as an entry point"
        )
