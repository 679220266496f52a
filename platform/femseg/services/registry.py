"""The registered model `femseg`: a version is one model package, found again by the package's SHA-256."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec

from femseg import __version__
from femseg.errors import ExitCode, Fault, Refusal
from femseg.networks.package import ModelPackage, load_package
from femseg.services.tracking import tracking_uri

MODEL_NAME = "femseg"
CHALLENGER = "challenger"
_LOADER = "femseg.services.registered_model"
_SCHEME = "models:/"


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


def find_version(client: MlflowClient, package_sha256: str) -> ModelVersion | None:
    """The registered version that holds this package, if there is one."""
    versions = client.search_model_versions(f"name = '{MODEL_NAME}'")
    return next((v for v in versions if v.tags.get("package_sha256") == package_sha256), None)


def register_package(
    client: MlflowClient, folder: Path, *, run_id: str, tags: Mapping[str, str], input_channels: int
) -> Registration:
    """Make a package folder a version of the registered model and point the alias `challenger` at it. Idempotent.

    Args:
        folder: a model package; its hashes are checked before anything is sent.
        run_id: the run that trained it; the MLflow model is logged there.
    Raises: Refusal (exit 4) if the package is torn or altered.
    """
    package = load_package(folder)
    known = find_version(client, package.sha256)
    if known is not None:
        client.set_registered_model_alias(MODEL_NAME, CHALLENGER, known.version)
        return Registration(version=int(known.version), run_id=str(known.run_id), already_there=True)
    source = _log_model(folder, run_id=run_id, input_channels=input_channels)
    if not client.search_registered_models(f"name = '{MODEL_NAME}'"):
        client.create_registered_model(MODEL_NAME, description="Femur in CT: V-Net packages made by femseg")
    version = client.create_model_version(
        MODEL_NAME,
        source=source,
        run_id=run_id,
        tags={**tags, "package_sha256": package.sha256},
        model_id=source.removeprefix(_SCHEME),  # a server insists on it
    )
    client.set_registered_model_alias(MODEL_NAME, CHALLENGER, version.version)
    return Registration(version=int(version.version), run_id=run_id, already_there=False)


def _log_model(folder: Path, *, run_id: str, input_channels: int) -> str:
    """Log the package on its run as an MLflow model without pickles; returns the model's URI."""
    mlflow.set_tracking_uri(tracking_uri())
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
        warnings.simplefilter("ignore")  # no input example on purpose: it would be a volume
        logged = mlflow.pyfunc.log_model(
            name=MODEL_NAME,
            loader_module=_LOADER,
            data_path=str(folder),
            signature=signature(input_channels),
            pip_requirements=[f"femseg=={__version__}"],
        )
    return str(logged.model_uri)


def _service_fault(uri: str, problem: str, fix: str, code: ExitCode) -> Refusal:
    return Refusal(Fault(id="RG-07", file=uri, problem=problem, fix=fix, exit_code=code))


def load_registered(client: MlflowClient, uri: str) -> ModelPackage:
    """Load `models:/femseg@challenger` or `models:/femseg/3` with our own loader, after its hashes hold.

    Raises: Refusal if there is no such version (exit 2), or if the stored package is not the one that was
        registered (exit 4).
    """
    name, _, alias = uri.removeprefix(_SCHEME).partition("@")
    mlflow.set_tracking_uri(tracking_uri())  # a logged model is looked up there, whatever the client's own address
    try:
        if alias:
            version = client.get_model_version_by_alias(name, alias)
        else:
            name, _, number = name.partition("/")
            version = client.get_model_version(name, number)
        stored = Path(mlflow.artifacts.download_artifacts(artifact_uri=version.source))
    except (MlflowException, OSError) as error:
        problem = f"the registry at hand has no such model ({type(error).__name__})"
        fix = "register one with `make register` after `dvc repro` or `dvc pull`, or give a package folder"
        raise _service_fault(uri, problem, fix, ExitCode.USAGE) from error
    packages = [path.parent for path in (stored / "data").glob("*/MANIFEST.json")]
    if len(packages) != 1:
        raise _service_fault(
            uri, "its artefact holds no model package", "register the package again", ExitCode.INTEGRITY
        )
    package = load_package(packages[0])
    expected = version.tags.get("package_sha256")
    if package.sha256 != expected:
        problem = f"package hash is {package.sha256[:12]}…, registered was {str(expected)[:12]}…"
        raise _service_fault(uri, problem, "register the right package again", ExitCode.INTEGRITY)
    return package
