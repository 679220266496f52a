"""The weights that a training starts from: those of a packaged network that is the one to be trained."""

import hashlib
from pathlib import Path

from femseg.cohorts.settings import Scale
from femseg.errors import Refusal
from femseg.files.durable import write_bytes_durably
from femseg.networks.choice import network_settings
from femseg.networks.network import NetworkSettings
from femseg.networks.package_files import MODEL, REFINE_WEIGHTS, WEIGHTS, PackageFiles, read_package_files
from femseg.paths import PARAMS, START_WEIGHTS, project_root
from femseg.services.registry.model_name import is_registered, named_model
from femseg.services.registry.versions import registered_files
from femseg.services.tracking.connect import connect
from femseg.settings import as_plain
from femseg.volumes.network_input import InputRecipe


def starting_weights(start_from: str, *, scale: Scale, network: NetworkSettings, recipe: InputRecipe) -> Path:
    """Keep the weights that `train.start_from` names in the project's runs, under their hash; returns the file.

    Args:
        start_from: "shipped", a registered model, or the folder of a package.
        scale: which of the package's networks.
        network, recipe: of the training; the packaged network must be the same and see the same kind of input. Its
            spacing may be another.
    Raises: Refusal CFG-02 (exit 2) if they do not fit, or as loading the package does.
    """
    files = _files(start_from)
    described = files.model.refine if scale == "refine" else files.model
    if described is None:
        raise _misfit(start_from, "it has no finer network", "set refine.train.start_from to ''")
    theirs = network_settings(described.architecture.settings, where="architecture.settings", file=MODEL)
    if theirs != network:
        mine, other = as_plain(network), as_plain(theirs)
        unlike = [key for key in mine if mine[key] != other.get(key)]
        differ = ", ".join(f"{key} {other.get(key)}, here {mine[key]}" for key in unlike)
        raise _misfit(start_from, f"its network is another ({differ})", f"set `network` as its {MODEL} has it")
    if _input(described.input_recipe) != _input(recipe):
        raise _misfit(start_from, "its network sees another kind of input", f"set `arrays` as its {MODEL} has it")
    content = files.content[REFINE_WEIGHTS if scale == "refine" else WEIGHTS]
    kept = project_root() / START_WEIGHTS / f"{hashlib.sha256(content).hexdigest()}.safetensors"
    write_bytes_durably(kept, content)
    return kept


def _files(start_from: str) -> PackageFiles:
    name = named_model(start_from)
    return registered_files(connect(to_read=True)[0], name) if is_registered(name) else read_package_files(Path(name))


def _input(recipe: InputRecipe) -> tuple[object, ...]:
    """What a recipe says of the input but for its grid."""
    of = recipe.gradient_of if "gradient" in recipe.channels else ""
    return recipe.input_mode, of, *(getattr(recipe, f"{channel}_scaling") for channel in recipe.channels)


def _misfit(start_from: str, problem: str, fix: str) -> Refusal:
    return Refusal.of("CFG-02", PARAMS, f"train.start_from {start_from}: {problem}", fix)
