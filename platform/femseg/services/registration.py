"""A model package becomes a version of the registered model, once."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec

from femseg import __version__
from femseg.errors import ExitCode, Fault, Refusal
from femseg.networks.package import load_package
from femseg.services.registry import CHALLENGER, DESCRIPTION, LOADER, MODEL_NAME, SCHEME, find_version
from femseg.services.tracking import tracking_uri


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
    """Make a package folder a version of the registered model and point the alias `challenger` at it. Idempotent.

    Args:
        folder: a model package; its hashes are checked before anything is sent.
        run_id: the run that trained it; the MLflow model is logged there.
    Raises: Refusal (exit 4) if the package is torn or altered, RG-01 (exit 8) if the run has not finished.
    """
    package = load_package(folder)
    _require_finished(client, run_id)
    known = find_version(client, package.sha256)
    if known is not None:
        client.set_registered_model_alias(MODEL_NAME, CHALLENGER, known.version)
        return Registration(version=int(known.version), run_id=str(known.run_id), already_there=True)
    source = _log_model(folder, run_id=run_id, input_channels=input_channels)
    if not client.search_registered_models(f"name = '{MODEL_NAME}'"):
        client.create_registered_model(MODEL_NAME, description=DESCRIPTION)
    version = client.create_model_version(
        MODEL_NAME,
        source=source,
        run_id=run_id,
        tags={**tags, "package_sha256": package.sha256},
        model_id=source.removeprefix(SCHEME),  # a server insists on it
    )
    client.set_registered_model_alias(MODEL_NAME, CHALLENGER, version.version)
    return Registration(version=int(version.version), run_id=run_id, already_there=False)


def _require_finished(client: MlflowClient, run_id: str) -> None:
    status = str(client.get_run(run_id).info.status)
    if status != "FINISHED":
        fault = Fault(
            id="RG-01",
            file=f"run {run_id}",
            problem=f"its status is {status}, expected FINISHED; nothing was registered",
            fix="let the training end (`dvc repro train`), then `make register`",
            exit_code=ExitCode.GATE_REFUSED,
        )
        raise Refusal(fault)


def _log_model(folder: Path, *, run_id: str, input_channels: int) -> str:
    """Log the package on its run, which stays finished, as an MLflow model without pickles; returns the model's URI."""
    mlflow.set_tracking_uri(tracking_uri())
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
