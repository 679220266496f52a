"""The registered model `femseg`: a version is one model package, found again by the package's SHA-256."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from femseg.errors import ExitCode, Fault, Refusal
from femseg.networks.package_files import read_package_files
from femseg.services.mlmodel import foreign_code
from femseg.services.tracking import redacted, tracking_uri

MODEL_NAME = "femseg"
DESCRIPTION = "Femur in CT: V-Net packages made by femseg"
CHALLENGER = "challenger"
LOADER = "femseg.services.registered_model"
SCHEME = "models:/"


def versions(client: MlflowClient) -> Mapping[int, ModelVersion]:
    """Every version of the registered model, by number."""
    return {int(version.version): version for version in client.search_model_versions(f"name = '{MODEL_NAME}'")}


def find_version(client: MlflowClient, package_sha256: str) -> ModelVersion | None:
    """The registered version that holds this package, if there is one."""
    return next((v for v in versions(client).values() if v.tags.get("package_sha256") == package_sha256), None)


def _service_fault(uri: str, problem: str, fix: str, code: ExitCode) -> Refusal:
    return Refusal(Fault(id="RG-07", file=uri, problem=problem, fix=fix, exit_code=code))


@contextmanager
def answering(client: MlflowClient) -> Iterator[None]:
    """Inside, a registry that stops answering is a refusal (TK-01, exit 6)."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        fault = Fault(
            id="TK-01",
            file=redacted(client.tracking_uri),
            problem=f"the registry does not answer ({type(error).__name__})",
            fix="start the MLflow server again and repeat the command",
            exit_code=ExitCode.SERVICE_DOWN,
        )
        raise Refusal(fault) from error


def registered_version(client: MlflowClient, uri: str) -> ModelVersion:
    """The version that `models:/femseg@champion` or `models:/femseg/3` names. Raises: Refusal RG-07 (exit 2)."""
    name, _, alias = uri.removeprefix(SCHEME).partition("@")
    try:
        if alias:
            return client.get_model_version_by_alias(name, alias)
        name, _, number = name.partition("/")
        return client.get_model_version(name, number)
    except MlflowException as error:
        raise _not_there(uri, error) from error


def version_number(client: MlflowClient, name: str) -> int:
    """The number of a version that is named by it or by an alias. Raises: Refusal RG-07 (exit 2)."""
    numbered = name.isascii() and name.isdigit() and len(name) < 10  # ² and ١ are digits to Python
    mark = "/" if numbered else "@"
    return int(registered_version(client, f"{SCHEME}{MODEL_NAME}{mark}{name}").version)


def brought_here(artifact_uri: str, *, into: Path | None = None) -> Path:
    """An artefact of the registry as a local file or folder; where it is local already, itself, if `into` is not given.

    Raises: MlflowException or OSError if it is not there.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow.set_tracking_uri(tracking_uri())  # a logged model is looked up there, whatever the client's own address
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=artifact_uri, dst_path=str(into) if into else None))


def stored_package(version: ModelVersion, uri: str, *, into: Path | None = None) -> Path:
    """The folder of a version's package, brought here if the registry is elsewhere.

    Args:
        into: a folder to bring it to in any case.
    Raises: Refusal RG-07 if its artefact is gone (exit 2) or holds no package (exit 4), SC-04 (exit 9) if its MLmodel
        would have MLflow run code that is not ours.
    """
    try:
        stored = brought_here(str(version.source), into=into)
    except (MlflowException, OSError) as error:
        raise _not_there(uri, error) from error
    if problem := foreign_code(stored / "MLmodel", LOADER):
        fix = "remove this version (`femseg remove`), and find out who registered it"
        fault = Fault(id="SC-04", file=f"{uri}, MLmodel", problem=problem, fix=fix, exit_code=ExitCode.SECURITY)
        raise Refusal(fault)
    packages = [path.parent for path in (stored / "data").glob("*/MANIFEST.json")]
    if len(packages) != 1:
        raise _service_fault(
            uri, "its artefact holds no model package", "register the package again", ExitCode.INTEGRITY
        )
    return packages[0]


def verify_registered(client: MlflowClient, uri: str) -> str:
    """Prove the stored package of `models:/femseg@previous` or `models:/femseg/3` without loading it.

    Returns: its SHA-256.
    Raises: Refusal as `require_registered`, and as `read_package_files`.
    """
    version = registered_version(client, uri)
    files = read_package_files(stored_package(version, uri))
    require_registered(version, uri, files.sha256)
    return files.sha256


def require_registered(version: ModelVersion, uri: str, sha256: str) -> None:
    """Raises: Refusal RG-07 (exit 4) if a package is not the one that was registered."""
    expected = version.tags.get("package_sha256")
    if sha256 != expected:
        problem = f"package hash is {sha256[:12]}…, registered was {str(expected)[:12]}…"
        raise _service_fault(uri, problem, "register the right package again", ExitCode.INTEGRITY)


def _not_there(uri: str, error: Exception) -> Refusal:
    problem = f"the registry at hand has no such model ({type(error).__name__})"
    fix = "register one with `make register` after `dvc repro` or `dvc pull`, or give a package folder"
    return _service_fault(uri, problem, fix, ExitCode.USAGE)
