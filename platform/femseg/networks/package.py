"""The model package: weights, model.json and lineage.json in a folder, each under a hash; nothing in it is pickled."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from femseg.errors import Refusal, printable
from femseg.files.durable import folder_written_durably, sha256_of_json, write_bytes_durably, write_json_durably
from femseg.lineage.provenance import Lineage
from femseg.networks.choice import network_settings, require_at_hand, source_sha256
from femseg.networks.network import Network, build_network
from femseg.networks.package_files import (
    LINEAGE,
    MANIFEST,
    MODEL,
    REFINE_WEIGHTS,
    WEIGHTS,
    Architecture,
    ModelDescription,
    ScaleDescription,
    package_refusal,
    read_package_files,
)
from femseg.settings import as_plain

_NOT_AT_HAND = (
    "set network.name to it in the params.yaml here and put its module on Python's path (PYTHONPATH=.), or install a "
    "package that has it as an entry point"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """A package whose hashes held.

    Attributes:
        network: with its weights, in evaluation mode, on the CPU.
        refine: the finer network of a package with two.
        model: what it is.
        lineage: where it comes from.
        sha256: of MANIFEST.json, and so of the whole package.
        remarks: what whoever uses it must know.
    """

    network: Network
    refine: Network | None = None
    model: ModelDescription
    lineage: Lineage
    sha256: str
    remarks: tuple[str, ...] = ()


def architecture_of(network: Network) -> Architecture:
    """What a package says of a network."""
    return Architecture(settings=as_plain(network.settings), input_channels=network.input_channels)


def write_package(
    folder: Path, network: Network, *, model: ModelDescription, lineage: Lineage, refine: Network | None = None
) -> str:
    """Write a package; equal content gives equal bytes. It appears whole, in place of what `folder` held before.

    Args:
        folder: the package's final name.
        refine: the finer network, of a model that has one.
    Returns: the package's SHA-256.
    Raises: ValueError if a weight is not finite; Refusal (exit 5) if the disk will not take it.
    """
    weights = {WEIGHTS: _weights_of(network)} | ({REFINE_WEIGHTS: _weights_of(refine)} if refine else {})
    with folder_written_durably(folder) as made:
        files = {
            **{name: write_bytes_durably(made / name, content) for name, content in weights.items()},
            MODEL: write_json_durably(made / MODEL, as_plain(model)),
            LINEAGE: write_json_durably(made / LINEAGE, as_plain(lineage)),
        }
        return write_json_durably(made / MANIFEST, {"files": files, "sha256_of_files": sha256_of_json(files)})


def _weights_of(network: Network) -> bytes:
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    broken = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ValueError(f"weights that are not finite make no package: {', '.join(broken)}")
    return tensors_to_bytes(weights)


def load_package(folder: Path) -> ModelPackage:
    """Read a package after every hash holds; the bytes that are parsed are the bytes that were hashed.

    Raises: Refusal, as `read_package_files`; RG-07 (exit 4) if model.json does not describe the weights; RG-13 (exit 2)
        if it names a network that is not at hand.
    """
    files = read_package_files(folder)
    network = _network(files.model, files.content[WEIGHTS], folder)
    remarks = _code_remarks(network, files.lineage)
    refine = None
    if files.model.refine:
        refine = _network(files.model.refine, files.content[REFINE_WEIGHTS], folder)
        remarks += _code_remarks(refine, files.lineage, "refine_network_code")
    return ModelPackage(
        network=network, refine=refine, model=files.model, lineage=files.lineage, sha256=files.sha256, remarks=remarks
    )


def _network(scale: ScaleDescription, content: bytes, folder: Path) -> Network:
    """The network of one scale with its weights."""
    architecture = scale.architecture
    try:
        require_at_hand(str(architecture.settings.get("name", "vnet")))
    except ValueError as error:
        raise Refusal.of("RG-13", printable(folder / MODEL), f"its network {error}", _NOT_AT_HAND) from None
    try:
        settings = network_settings(architecture.settings, where="architecture.settings", file=MODEL)
        settings.check_shape(scale.seen_shape_zyx)
        with torch.device("meta"):
            network = build_network(settings, architecture.input_channels)
        weights = tensors_from_bytes(content)
        wanted = {name: (value.shape, value.dtype) for name, value in network.state_dict().items()}
        if wanted != {name: (value.shape, value.dtype) for name, value in weights.items()}:
            raise ValueError("names, shapes or types of the weights differ from the architecture's")
    except Exception as error:  # the constructor of another's network may raise anything
        words = error.faults[0].problem if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"
        raise package_refusal(folder / MODEL, f"does not describe the weights beside it ({words})") from None
    network.load_state_dict(weights, assign=True)
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        problem = f"its network {settings.name} keeps values outside of its weights (a buffer with persistent=False)"
        raise package_refusal(folder / MODEL, problem, "make it a persistent buffer, and train and package it again")
    return network.eval()


def _code_remarks(network: Network, lineage: Lineage, key: str = "network_code") -> tuple[str, ...]:
    """RG-16: a network from outside of femseg computes by another file than the one that was trained."""
    trained, here = lineage.sha256.get(key, ""), source_sha256(network.settings)
    if not trained or trained == here:
        return ()
    hashes = f"SHA-256 {here[:12] or 'of femseg'}, trained was {trained[:12]}"
    name = network.settings.name
    return (f"RG-16: its network {name} is not in the file that was trained ({hashes}); masks may differ",)
