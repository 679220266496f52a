"""The registered model `femseg`: a version is one model package, found again by the package's SHA-256."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec
from sqlalchemy.exc import SQLAlchemyError

from femseg import __version__
from femseg.errors import Refusal, printable, words_of
from femseg.files.plain import open_plain
from femseg.networks.package_files import PackageFiles, read_package_files
from femseg.services.registry.model_name import ACCEPTED, MODEL_NAME, SCHEME, is_registered, named_model
from femseg.services.tracking.store import no_answer
from femseg.settings import BadYaml, load_bounded

if TYPE_CHECKING:
    from femseg.networks.package import ModelPackage

# MLflow's MLmodel beside a package: whether it names any code but our loader.
#
# We never load through it. Others do (`mlflow.pyfunc.load_model`, `mlflow models serve`), and MLflow runs whatever
# module, code folder or pickle it names. A version whose MLmodel is not as we wrote it is not ours.


_AT_MOST_BYTES = 1 << 20
_PYFUNC = "python_function"
_OURS = {"loader_module", "python_version", "data", "env", "streamable"}


def foreign_code(file: Path) -> str:
    """What an MLmodel names that could run code which is not ours; "" if nothing, or if there is no such file."""
    try:
        with open_plain(file) as stream:
            content = stream.read(_AT_MOST_BYTES + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    try:
        plain = load_bounded(content[:_AT_MOST_BYTES].decode("utf-8"))
    except (BadYaml, UnicodeDecodeError) as error:
        return f"is no plain YAML ({words_of(error)})"
    return _foreign(plain)


def _foreign(plain: Any) -> str:
    flavors = plain.get("flavors") if isinstance(plain, dict) else None
    if not isinstance(flavors, dict) or not isinstance(flavors.get(_PYFUNC), dict):
        return f"has no flavor {_PYFUNC}"
    if others := sorted(str(name) for name in flavors if name != _PYFUNC):
        return f"has the flavor {printable(others[0])[:80]}, which MLflow would load in its own way"
    pyfunc = flavors[_PYFUNC]
    if pyfunc.get("loader_module") != LOADER:
        return f"names the loader {printable(pyfunc.get('loader_module'))[:80]}, ours is {LOADER}"
    if others := sorted(str(key) for key, value in pyfunc.items() if key not in _OURS and value is not None):
        return f"names {printable(others[0])[:80]}, from which MLflow would load code"
    return ""


_REGISTER = "register one with `make register` after `dvc repro` or `dvc pull`, or give a package folder"
DESCRIPTION = "Femur in CT: V-Net packages made by femseg"
CHALLENGER = "challenger"
LOADER = "femseg.services.registered_model"  # in the MLmodel of every version, so that module never moves


def versions(client: MlflowClient) -> Mapping[int, ModelVersion]:
    """Every version of the registered model, by number."""
    return {int(version.version): version for version in client.search_model_versions(f"name = '{MODEL_NAME}'")}


def find_version(client: MlflowClient, package_sha256: str) -> ModelVersion | None:
    """The registered version that holds this package, if there is one."""
    return next((v for v in versions(client).values() if v.tags.get("package_sha256") == package_sha256), None)


@contextmanager
def answering(client: MlflowClient) -> Iterator[None]:
    """Inside, a registry that stops answering, or refuses, is a refusal (TK-01, TK-13, exit 6)."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise no_answer(client.tracking_uri, error) from error


def registered_version(client: MlflowClient, model: str) -> ModelVersion:
    """The version that a number, an alias or an address names, or that holds the package of a folder.

    Raises: Refusal RG-12 (exit 2) if there is none, CFG-01 (2) if it names no model, RG-07 (4) if the package is torn.
    """
    uri = named_model(model)
    if not is_registered(uri):
        return _holding(client, Path(uri))
    name, _, alias = uri.removeprefix(SCHEME).partition("@")
    name, _, number = name.partition("/")
    try:
        if alias:
            return client.get_model_version_by_alias(name, alias)
        return client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise _nobody(client, uri, alias) from None
        raise _not_there(uri, error) from error


def _nobody(client: MlflowClient, uri: str, alias: str) -> Refusal:
    """RG-12: no version has this number or alias; says which there are, and where a promoted challenger went."""
    there = sorted(versions(client))
    if not there:
        return Refusal.of("RG-12", uri, "the registry at hand has no version of this model", _REGISTER)
    holders = client.get_registered_model(MODEL_NAME).aliases
    named = ", ".join(f"{name} (version {holders[name]})" for name in sorted(holders)) or "none"
    numbers = f"version {there[0]} alone" if len(there) == 1 else f"{len(there)} versions, {there[0]} to {there[-1]}"
    problem = f"no version has this {'alias' if alias else 'number'}; the registry has {numbers}; aliases: {named}"
    fix = "use one of them, or register another (`make register`)"
    if alias == CHALLENGER and "champion" in holders:
        fix = "use champion: a challenger that is promoted has that name, until the next one is proposed"
    return Refusal.of("RG-12", uri, problem, fix)


def _holding(client: MlflowClient, folder: Path) -> ModelVersion:
    if not folder.is_dir():
        raise Refusal.of("CFG-01", printable(folder), "there is no such folder", f"give {ACCEPTED}")
    version = find_version(client, read_package_files(folder).sha256)
    if version is None:
        fix = "register it with `make register`, or name a version"
        raise Refusal.of("RG-12", printable(folder), f"no version of {MODEL_NAME} holds this package", fix)
    return version


def version_number(client: MlflowClient, model: str) -> int:
    """The number of the same. Raises: Refusal as `registered_version`."""
    return int(registered_version(client, model).version)


def brought_here(client: MlflowClient, artifact_uri: str, *, into: Path | None = None) -> Path:
    """An artefact of a store as a local file or folder; where it is local already, itself, if `into` is not given.

    Raises: MlflowException or OSError if it is not there.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow.set_tracking_uri(client.tracking_uri)  # where a run or a logged model is looked up
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=artifact_uri, dst_path=str(into) if into else None))


def stored_package(client: MlflowClient, version: ModelVersion, uri: str, *, into: Path | None = None) -> Path:
    """The folder of a version's package, brought here if the registry is elsewhere.

    Args:
        into: a folder to bring it to in any case.
    Raises: Refusal RG-12 (exit 2) if its artefact is gone, RG-07 (exit 4) if it holds no package, SC-04 (exit 9) if its
        MLmodel would have MLflow run code that is not ours.
    """
    try:
        stored = brought_here(client, str(version.source), into=into)
    except (MlflowException, OSError) as error:
        raise _not_there(uri, error) from error
    if problem := foreign_code(stored / "MLmodel"):
        fix = "remove this version (`femseg remove`), and find out who registered it"
        raise Refusal.of("SC-04", f"{uri}, MLmodel", problem, fix)
    packages = [path.parent for path in (stored / "data").glob("*/MANIFEST.json")]
    if len(packages) != 1:
        raise Refusal.of("RG-07", uri, "its artefact holds no model package", "register the package again")
    return packages[0]


def registered_files(client: MlflowClient, uri: str) -> PackageFiles:
    """The stored package of `models:/femseg@previous` or `models:/femseg/3`, proven; its network is not loaded.

    Raises: Refusal as `require_registered`, and as `read_package_files`.
    """
    version = registered_version(client, uri)
    files = read_package_files(stored_package(client, version, uri))
    require_registered(version, uri, files.sha256)
    return files


def require_registered(version: ModelVersion, uri: str, sha256: str) -> None:
    """Raises: Refusal RG-07 (exit 4) if a package is not the one that was registered."""
    expected = version.tags.get("package_sha256")
    if sha256 != expected:
        problem = f"package hash is {sha256[:12]}…, registered was {str(expected)[:12]}…"
        raise Refusal.of("RG-07", uri, problem, "register the right package again")


def _not_there(uri: str, error: Exception) -> Refusal:
    return Refusal.of("RG-12", uri, f"cannot be had from the registry at hand ({words_of(error)})", _REGISTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A registered version, and whether it was there before."""

    version: int
    run_id: str
    already_there: bool


def signature(input_channels: int) -> ModelSignature:
    """Network input (B, C, Z, Y, X) to femur probability (B, Z, Y, X); batch and spatial sizes stay free."""
    return ModelSignature(
        Schema([TensorSpec(np.dtype("float32"), (-1, input_channels, -1, -1, -1))]),
        Schema([TensorSpec(np.dtype("float32"), (-1, -1, -1, -1))]),
    )


def register_package(
    client: MlflowClient, folder: Path, *, run_id: str, tags: Mapping[str, str], input_channels: int
) -> Registration:
    """Make a package folder a version of the registered model. Idempotent; it moves no alias.

    Args:
        folder: a model package; its hashes are checked before anything is sent.
        run_id: the run that trained it; the MLflow model is logged there.
    Raises: Refusal (exit 4) if the package is torn or altered, RG-01 (exit 8) if the run has not finished.
    """
    package = read_package_files(folder)
    _require_finished(client, run_id)
    known = find_version(client, package.sha256)
    if known is not None:
        return Registration(version=int(known.version), run_id=str(known.run_id), already_there=True)
    source = _log_model(client, folder, run_id=run_id, input_channels=input_channels)
    if not client.search_registered_models(f"name = '{MODEL_NAME}'"):
        client.create_registered_model(MODEL_NAME, description=DESCRIPTION)
    version = client.create_model_version(
        MODEL_NAME,
        source=source,
        run_id=run_id,
        tags={**tags, "package_sha256": package.sha256},
        model_id=source.removeprefix(SCHEME),  # a server insists on it
    )
    return Registration(version=int(version.version), run_id=run_id, already_there=False)


def _require_finished(client: MlflowClient, run_id: str) -> None:
    status = str(client.get_run(run_id).info.status)
    if status != "FINISHED":
        problem = f"its status is {status}, expected FINISHED; nothing was registered"
        fix = "let the training end (`dvc repro train`), then `make register`"
        raise Refusal.of("RG-01", f"run {run_id}", problem, fix)


def _log_model(client: MlflowClient, folder: Path, *, run_id: str, input_channels: int) -> str:
    """Log the package on its run, which stays finished, as an MLflow model without pickles; returns the model's URI."""
    mlflow.set_tracking_uri(client.tracking_uri)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no input example on purpose: it would be a volume
        logged = Model.log(
            artifact_path=None,
            name=MODEL_NAME,
            flavor=mlflow.pyfunc,
            run_id=run_id,
            loader_module=LOADER,
            data_path=str(folder),
            signature=signature(input_channels),
            pip_requirements=[f"femseg=={__version__}"],
        )
    return str(logged.model_uri)


def load_registered(client: MlflowClient, uri: str) -> "ModelPackage":
    """Load `models:/femseg@challenger` or `models:/femseg/3` with our own loader, after its hashes hold.

    Raises: Refusal if there is no such version (exit 2), or if the stored package is not the one that was
        registered (exit 4).
    """
    from femseg.networks.package import load_package  # PyTorch: seconds that whoever loads no network saves

    version = registered_version(client, uri)
    package = load_package(stored_package(client, version, uri))
    require_registered(version, uri, package.sha256)
    return package
