"""From any output, package or registered version to what it was made of, and back to what came of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import Fault, Refusal, printable
from femseg.files.durable import sha256_of_file
from femseg.lineage.corrections import correction_links, correction_of
from femseg.lineage.data_links import code_links, data_links
from femseg.lineage.materials import Link, Materials, broken_links, shortened
from femseg.lineage.output_links import (
    Output,
    about_case,
    cohort_at_hand,
    ct_links,
    ct_named,
    evaluation_links,
    file_links,
    outputs_of,
    same_sources,
    trained_series,
    with_evaluated_cts,
)
from femseg.lineage.records import FOLDER_RECORD, OutputRecord, read_record, record_of
from femseg.networks.package import ModelPackage, load_package
from femseg.networks.package_files import MANIFEST
from femseg.paths import CASCADES, MODELS, REPEATS
from femseg.services.lineage.worktree import materials_of
from femseg.services.registry.model_name import ACCEPTED, MODEL_NAME, is_there, model_address
from femseg.services.registry.versions import find_version, load_registered
from femseg.services.tracking.address import local_database
from femseg.services.tracking.connect import connect, find_run, redacted, tracking_uri


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
    if (database := local_database(uri)) and not database.exists():
        return None
    client, experiment_id = connect(uri, to_read=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """All that is known of where something comes from.

    Attributes:
        subject: what was asked about.
        links: from the subject to its sources.
        outputs: what came of the model; empty where the subject is an output itself.
    """

    subject: str
    links: tuple[Link, ...]
    outputs: tuple[Output, ...] = ()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """LN-01 for every broken link, and for every output that was altered since."""
        altered = tuple(
            Link(what="output", value="", state="broken", note=f"{output.path} was altered since it was made")
            for output in self.outputs
            if output.state == "broken"
        )
        return broken_links(self.subject, (*self.links, *altered))

    def as_plain(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "subject": self.subject,
            "links": [link.as_plain() for link in self.links],
            "outputs": [output.as_plain() for output in self.outputs],
            "faults": [fault.as_dict() for fault in self.faults],
        }


def trace(subject: str, *, repository: Path = Path(), below: Path = Path()) -> Trace:
    """Follow the lineage of a file, a folder that a stage made, a model package, a registered version, or a CT.

    Of a CT, by its case id or the hash of its series, what came of it is looked for.

    Args:
        repository: whose commits, dvc.lock and DVC cache are looked at.
        below: where outputs of a package, version or CT are looked for.
    Raises: Refusal CFG-01 (exit 2) if there is no such thing; LN-02 (exit 4) if nothing says where a file comes from;
        RG-07 if the version cannot be had.
    """
    path, name = Path(subject), printable(subject)[:300] or "SUBJECT"
    materials = materials_of(repository)
    if is_there(subject):
        folder = next((folder for folder in (path, path.parent) if (folder / MANIFEST).is_file()), None)
        if folder is not None:  # a package, or a file of one
            return _trace_package(name, load_package(folder), registry_at_hand(), materials, below)
        return Trace(subject=name, links=_output_links(path, registry_at_hand(), materials))
    if (ct := ct_named(subject, repository, below)) is not None:
        return Trace(subject=name, links=(ct[0],), outputs=ct[1])
    uri = model_address(subject)
    if uri is None:
        fix = f"give a file or folder that femseg wrote, or a version: {ACCEPTED}"
        raise Refusal.of("CFG-01", name, "no such file or version", fix)
    registry = required_registry(uri)
    return _trace_package(name, load_registered(registry.client, uri), registry, materials, below)


def required_registry(subject: str) -> Registry:
    """The tracking store. Raises: Refusal RG-12 (exit 2) where there is none."""
    registry = registry_at_hand()
    if registry is None:
        fix = "set MLFLOW_TRACKING_URI, or run from the repository's root"
        problem = "there is no tracking store here"
        raise Refusal.of("RG-12", subject, problem, fix)
    return registry


def _trace_package(
    subject: str, package: ModelPackage, registry: Registry | None, materials: Materials, below: Path
) -> Trace:
    links = [
        Link(what="model package", value=package.sha256, state="holds", note="every hash in it"),
        *_links_of(package, package.sha256, registry, materials),
        *trained_series(package.lineage, materials),
    ]
    return Trace(subject=subject, links=tuple(links), outputs=tuple(outputs_of(package.sha256, below)))


def _links_of(package: ModelPackage, sha256: str, registry: Registry | None, materials: Materials) -> list[Link]:
    """Version, run, job, code and data of a package at hand."""
    link, _, version = version_link(registry, sha256)
    return [
        link,
        *run_links(registry, sha256, version),
        *code_links(package.lineage, materials.root),
        *data_links(package.lineage, package.model.input_mode, materials, package.model.refine_mode),
    ]


def _output_links(path: Path, registry: Registry | None, materials: Materials) -> tuple[Link, ...]:
    """From a file, or from all files of a stage's folder."""
    in_folder = (path / FOLDER_RECORD, "") if (path / FOLDER_RECORD).is_file() else None
    found = in_folder if path.is_dir() else record_of(path)
    if found is None and path.is_file() and (corrected := correction_of(path)):
        return tuple(correction_links(path, *corrected, cohort_at_hand(materials.root)))
    if found is None:
        fix = "ask whoever made it; masks and reports that femseg writes have their lineage beside them"
        problem = "nothing beside it says where it comes from"
        raise Refusal.of("LN-02", printable(path), problem, fix)
    place, wanted = found[0], None if path.is_dir() else path
    record = read_record(place)
    links = [*file_links(place, record, wanted), *evaluation_links(record, materials.root)]
    record = with_evaluated_cts(about_case(record, path), materials.root)
    for mode, sha256 in record.models.items():
        links += [replace(link, of=mode) for link in _model_links(mode, sha256, record, registry, materials)]
    return tuple(links)


def _model_links(
    mode: str, sha256: str, record: OutputRecord, registry: Registry | None, materials: Materials
) -> list[Link]:
    """From the record of an output to one of its models, and on."""
    link, package, version = version_link(registry, sha256)
    if package is None:
        package = _package_at_hand(materials.root, sha256)
    if package is None:
        note = f"neither the registry nor a folder of a stage holds {shortened(sha256)}"
        broken = Link(what="model package", value=sha256, state="broken", note=note)
        return [broken, link, *run_links(registry, sha256, version)]
    return [
        Link(what="model package", value=sha256, state="holds", note="every hash in it"),
        *_links_of(package, sha256, registry, materials),
        *same_sources(record, package.lineage),
        *ct_links(record, package.lineage, materials),
    ]


def _package_at_hand(root: Path, sha256: str) -> ModelPackage | None:
    """The package of a stage that has this hash."""
    folders = (f"{MODELS}/*", f"{CASCADES}/*", f"{REPEATS}/*/*/model", f"{REPEATS}/cascades/*/*/model")
    manifests = [path for folder in folders for path in sorted(root.glob(f"{folder}/{MANIFEST}"))]
    found = next((path for path in manifests if sha256_of_file(path) == sha256), None)
    return load_package(found.parent) if found else None
