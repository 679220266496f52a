"""Which network: the `network:` section of params.yaml, and what a package may name."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainValidator

from femseg.errors import Refusal, printable
from femseg.files.durable import sha256_of_file
from femseg.networks.network import NetworkSettings, network_class, places
from femseg.paths import PARAMS
from femseg.settings import checked, read_section


def network_settings(plain: Any, *, where: str = "network", file: Path | str = PARAMS) -> NetworkSettings:
    """Check plain values against the settings of the network that they name; without a name it is the V-Net.

    Raises: Refusal CFG-01 (exit 2) naming every wrong key, or the name if there is no such network.
    """
    try:
        settings_type = network_class(str(plain.get("name", "vnet")) if isinstance(plain, Mapping) else "vnet").Settings
    except ValueError as error:
        fix = "correct the name, or put the module on Python's path"
        raise Refusal.of("CFG-01", file, f"{where}.name: {error}", fix) from None
    settings: NetworkSettings = checked(settings_type, plain, where=where, file=file)
    return settings


NetworkField = Annotated[NetworkSettings, PlainValidator(network_settings)]  # a field of settings that hold a network's


def read_network(section: str = "network", file: Path = PARAMS) -> NetworkSettings:
    """The `network:` section. Raises: Refusal (exit 2), as `network_settings`."""
    return network_settings(read_section(dict[str, Any], section, file=file), where=section, file=file)


def source_sha256(settings: NetworkSettings) -> str:
    """SHA-256 of the file that a network from outside of femseg is written in; "" for femseg's own."""
    found = network_class(settings.name)
    return "" if found.__module__.startswith("femseg.") else sha256_of_file(Path(inspect.getfile(found)))


def require_at_hand(name: str) -> None:
    """Import the network that a package names, if not the package alone decides that.

    Raises: ValueError if the name is neither femseg's own, nor an installed entry point's, nor that of the params.yaml
        in the working folder, or if it cannot be imported.
    """
    try:
        here = read_section(dict[str, Any], "network").get("name")
    except Refusal:
        here = None
    if name not in places() and name != here:
        raise ValueError(f"{printable(name)[:100]} is not at hand")
    network_class(name)
