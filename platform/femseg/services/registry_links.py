"""From a model package to its registered version, the MLflow run that trained it and the job that run was part of."""

from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import Refusal
from femseg.networks.package import ModelPackage
from femseg.promotion.links import Link
from femseg.services.registered_model import load_registered
from femseg.services.registry import MODEL_NAME, find_version
from femseg.services.tracking import connect, find_run, redacted, tracking_uri

_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A tracking store with its registry."""

    client: MlflowClient
    experiment_id: str


def registry_at_hand() -> Registry | None:
    """The tracking store; None where the local one was never made, for looking must not make one.

    Raises: Refusal TK-01 (exit 6) if a server does not answer.
    """
    uri = tracking_uri()
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists():
        return None
    client, experiment_id = connect(uri)
    return Registry(client=client, experiment_id=experiment_id)


def aliases_of(registry: Registry, version: int) -> list[str]:
    """The aliases that point at a version now."""
    aliases = registry.client.get_registered_model(MODEL_NAME).aliases
    return sorted(alias for alias, number in aliases.items() if int(number) == version)


def version_link(registry: Registry | None, sha256: str) -> tuple[Link, ModelPackage | None, ModelVersion | None]:
    """The version that holds a package, and the package as the registry gives it, after its hashes hold."""
    if registry is None:
        note = f"there is no tracking store at {redacted(tracking_uri())}"
        return Link(what="registered version", value="", state="not here", note=note), None, None
    version = find_version(registry.client, sha256)
    if version is None:
        note = f"no version of {MODEL_NAME} in this registry holds it"
        return Link(what="registered version", value="", state="not here", note=note), None, None
    uri = f"models:/{MODEL_NAME}/{version.version}"
    try:
        package = load_registered(registry.client, uri)
    except Refusal as refusal:
        problem = refusal.faults[0].problem
        return Link(what="registered version", value=uri, state="broken", note=problem), None, version
    aliases = ", ".join(aliases_of(registry, int(version.version)))
    return Link(what="registered version", value=uri, state="holds", note=aliases or "no alias"), package, version


def run_links(registry: Registry | None, sha256: str, version: ModelVersion | None) -> list[Link]:
    """The links "MLflow run" and "job"."""
    if registry is None:
        return [Link(what="MLflow run", value="", state="not here", note="with the tracking store")]
    run_id = version.run_id if version is not None else None
    run_id = run_id or find_run(registry.client, registry.experiment_id, tag="package_sha256", value=sha256)
    if not run_id:
        return [Link(what="MLflow run", value="", state="not here", note="no finished run of this store made it")]
    try:
        run = registry.client.get_run(run_id)
    except MlflowException:
        return [Link(what="MLflow run", value=run_id, state="broken", note="the tracking store has no such run")]
    return [_run_link(run, sha256), _job_link(run)]


def _run_link(run: Run, sha256: str) -> Link:
    value, said = run.info.run_id, run.data.tags.get("package_sha256")
    if run.info.lifecycle_stage != "active":
        return Link(what="MLflow run", value=value, state="broken", note="was deleted")
    if run.info.status != "FINISHED":
        return Link(what="MLflow run", value=value, state="broken", note=f"its status is {run.info.status}")
    if said != sha256:
        note = f"its tag package_sha256 is {said}, the package's {sha256[:12]}…"
        return Link(what="MLflow run", value=value, state="broken", note=note)
    rebuilt = run.data.tags.get("rebuilt") == "true"
    note = "made again from artefacts; the training's own run is in another store" if rebuilt else "FINISHED"
    return Link(what="MLflow run", value=value, state="holds", note=note)


def _job_link(run: Run) -> Link:
    job = run.data.tags.get("ray_job", "")
    started = run.data.tags.get("mlflow.source.name", "a stage")
    return Link(what="job", value=job, state="holds", note=started if job else f"no Ray job: {started} by itself")
