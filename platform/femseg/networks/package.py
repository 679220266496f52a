"""The model package: weights, model.json and lineage.json in a folder, each under a hash; nothing in it is pickled."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from femseg.errors import Fault, Refusal, printable
from femseg.files.durable import folder_written_durably, sha256_of_json, write_bytes_durably, write_json_durably
from femseg.files.plain import open_plain
from femseg.networks.choice import network_settings, require_at_hand
from femseg.networks.code_carriers import refuse_code
from femseg.networks.network import Network, build_network
from femseg.settings import as_plain

# The four files of a model package, each under a hash; proven without loading the network.


WEIGHTS, MODEL, LINEAGE, MANIFEST = "weights.safetensors", "model.json", "lineage.json", "MANIFEST.json"
_HASHED = (WEIGHTS, MODEL, LINEAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFiles:
    """A package's bytes whose hashes held.

    Attributes:
        content: by file name.
        sha256: of MANIFEST.json, and so of the whole package.
    """

    content: Mapping[str, bytes]
    sha256: str


def read_package_files(folder: Path) -> PackageFiles:
    """Read a package's files and hold every hash; the bytes that are returned are the bytes that were hashed.

    Raises: Refusal RG-07 (exit 4) naming the file that is missing, altered or does not belong there; SC-01 … SC-05
        (exit 9) if it is a file that can carry code.
    """
    refuse_code(folder)
    content = _verified(folder)
    return PackageFiles(content=content, sha256=hashlib.sha256(content[MANIFEST]).hexdigest())


def _verified(folder: Path) -> dict[str, bytes]:
    """The bytes of the package's four files, all hashes checked."""
    try:
        found = {path.name for path in folder.iterdir()}
        content = {name: _bytes_of(folder / name) for name in (MANIFEST, *_HASHED)}
    except OSError as error:
        raise package_refusal(Path(error.filename or folder), f"cannot be read: {error.strerror}") from None
    extra = sorted(found - content.keys())
    if extra:
        raise package_refusal(folder / extra[0], "does not belong to the package")
    try:
        manifest = json.loads(content[MANIFEST])
        files = manifest["files"]
        intact = sha256_of_json(files) == manifest["sha256_of_files"] and sorted(files) == sorted(_HASHED)
        intact = intact and content[MANIFEST] == (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise package_refusal(folder / MANIFEST, "its own hash does not hold")
    for name in _HASHED:
        sha256 = hashlib.sha256(content[name]).hexdigest()
        if sha256 != files[name]:
            raise package_refusal(folder / name, f"SHA-256 is {sha256[:12]}…, expected {files[name][:12]}…")
    return content


def _bytes_of(file: Path) -> bytes:
    with open_plain(file) as stream:
        return stream.read()


def package_refusal(path: Path, problem: str) -> Refusal:
    """RG-07: a package that is not whole, or not one (exit 4)."""
    return Refusal(
        Fault(
            id="RG-07",
            file=printable(path),
            problem=problem,
            fix="take the package again from where it was written or registered",
        )
    )


_MOST_VOXELS = 2**28  # 512 × 512 × 1024: a whole CT at full resolution
_INPUT_MODES = ("raw", "gradient", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """A package whose hashes held.

    Attributes:
        network: with its weights, in evaluation mode, on the CPU.
        model: what model.json says: architecture, input recipe, metrics, training settings, versions.
        lineage: what lineage.json says: where it comes from.
        sha256: of MANIFEST.json, and so of the whole package.
    """

    network: Network
    model: dict[str, Any]
    lineage: dict[str, Any]
    sha256: str


def write_package(folder: Path, network: Network, *, model: dict[str, Any], lineage: dict[str, Any]) -> str:
    """Write a package; equal content gives equal bytes. It appears whole, in place of what `folder` held before.

    Args:
        folder: the package's final name.
        model: JSON values; the network's architecture is added.
        lineage: JSON values.
    Returns: the package's SHA-256.
    Raises: ValueError if a weight is not finite; Refusal (exit 5) if the disk will not take it.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    broken = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ValueError(f"weights that are not finite make no package: {', '.join(broken)}")
    architecture = {"settings": as_plain(network.settings), "input_channels": network.input_channels}
    with folder_written_durably(folder) as made:
        files = {
            WEIGHTS: write_bytes_durably(made / WEIGHTS, tensors_to_bytes(weights)),
            MODEL: write_json_durably(made / MODEL, {**model, "architecture": architecture}),
            LINEAGE: write_json_durably(made / LINEAGE, lineage),
        }
        manifest = {"files": files, "sha256_of_files": sha256_of_json(files)}
        return write_json_durably(made / MANIFEST, manifest)


def load_package(folder: Path) -> ModelPackage:
    """Read a package after every hash holds; the bytes that are parsed are the bytes that were hashed.

    Raises: Refusal RG-07 (exit 4) naming the file that is missing, altered or does not belong there; SC-01 … SC-05
        (exit 9) if it is a file that can carry code.
    """
    files = read_package_files(folder)
    content = files.content
    try:
        model, lineage = json.loads(content[MODEL]), json.loads(content[LINEAGE])
        _require_maps(model, lineage)
        weights = tensors_from_bytes(content[WEIGHTS])
        architecture = model["architecture"]
        require_at_hand(str(architecture["settings"].get("name", "vnet")))
        settings = network_settings(architecture["settings"], where="architecture.settings", file=MODEL)
        with torch.device("meta"):
            network = build_network(settings, architecture["input_channels"])
        if "input_recipe" in model:
            _compare_recipe(model, network)
        wanted = {name: (value.shape, value.dtype) for name, value in network.state_dict().items()}
        if wanted != {name: (value.shape, value.dtype) for name, value in weights.items()}:
            raise ValueError("names, shapes or types of the weights differ from the architecture's")
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, SafetensorError, Refusal) as error:
        words = error.faults[0].problem if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"
        raise package_refusal(folder / MODEL, f"does not describe the weights beside it ({words})") from None
    network.load_state_dict(weights, assign=True)
    return ModelPackage(
        network=network.eval(),
        model=model,
        lineage=lineage,
        sha256=files.sha256,
    )


def _require_maps(model: Any, lineage: Any) -> None:
    """Raises: ValueError if what others look up in them cannot be looked up, or would name a place elsewhere."""
    if not isinstance(model, dict) or not isinstance(lineage, dict):
        raise ValueError("expected an object in model.json and in lineage.json")
    if wrong := [key for key in ("git", "dvc_md5", "sha256") if not isinstance(lineage.get(key, {}), dict)]:
        raise ValueError(f"lineage.json: expected an object in {', '.join(wrong)}")
    if (mode := model.get("input_mode", "raw")) not in _INPUT_MODES:  # it names folders
        raise ValueError(f"input_mode: expected one of {', '.join(_INPUT_MODES)}, got {printable(mode)[:100]!r}")


def _compare_recipe(model: dict[str, Any], network: Network) -> None:
    """Raises: ValueError if the input recipe is not one for this network."""
    recipe = model["input_recipe"]
    if model["input_mode"] != recipe["input_mode"]:
        raise ValueError(f"input_mode {model['input_mode']!r}, but its recipe's is {recipe['input_mode']!r}")
    channels = 2 if recipe["input_mode"] == "both" else 1
    if channels != network.input_channels:
        raise ValueError(f"the recipe makes {channels} channels, the network takes {network.input_channels}")
    if math.prod(recipe["shape_zyx"]) > _MOST_VOXELS:
        raise ValueError(f"a network grid of {recipe['shape_zyx']} is beyond {_MOST_VOXELS} voxels")
    network.settings.check_shape(tuple(recipe["shape_zyx"]))
