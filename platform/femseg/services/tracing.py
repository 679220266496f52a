"""From any output, package or registered version to what it was made of, and back to what came of it."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from femseg.durable import sha256_of_file
from femseg.errors import ExitCode, Fault, Refusal, printable
from femseg.networks.package import ModelPackage, load_package
from femseg.promotion.code_links import code_links
from femseg.promotion.ct_outputs import ct_named
from femseg.promotion.data_links import data_links
from femseg.promotion.links import Link, broken_links, shortened
from femseg.promotion.materials import Materials
from femseg.promotion.output_links import (
    Output,
    about_case,
    ct_links,
    evaluation_links,
    file_links,
    outputs_of,
    same_sources,
    trained_series,
    with_evaluated_cts,
)
from femseg.promotion.records import FOLDER_RECORD, OutputRecord, read_record, record_of
from femseg.services.dvc_data import materials_of
from femseg.services.registered_model import load_registered
from femseg.services.registry import MODEL_NAME
from femseg.services.registry_links import Registry, registry_at_hand, run_links, version_link

_MANIFEST = "MANIFEST.json"


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


def version_uri(text: str) -> str | None:
    """The URI of "3", "champion", "@champion" or a URI itself; None if it can be no version."""
    if re.fullmatch(r"models:/[\w.-]+(/\d+|@[\w-]+)", text):
        return text
    if re.fullmatch(r"\d+", text):
        return f"models:/{MODEL_NAME}/{text}"
    return f"models:/{MODEL_NAME}@{text.removeprefix('@')}" if re.fullmatch(r"@?[A-Za-z][\w-]*", text) else None


def required_version(text: str) -> str:
    """The same. Raises: Refusal CFG-01 (exit 2) if it can be no version."""
    uri = version_uri(text)
    if uri is None:
        problem, fix = "is no registered version", f"give a number, an alias or models:/{MODEL_NAME}/NUMBER"
        raise Refusal(Fault(id="CFG-01", file=printable(text), problem=problem, fix=fix, exit_code=ExitCode.USAGE))
    return uri


def trace(subject: str, *, repository: Path = Path(), below: Path = Path()) -> Trace:
    """Follow the lineage of a file, a folder that a stage made, a model package, a registered version, or a CT.

    Of a CT, by its case id or the hash of its series, what came of it is looked for.

    Args:
        repository: whose commits, dvc.lock and DVC cache are looked at.
        below: where outputs of a package, version or CT are looked for.
    Raises: Refusal CFG-01 (exit 2) if there is no such thing; LN-02 (exit 4) if nothing says where a file comes from;
        RG-07 if the version cannot be had.
    """
    path, name = Path(subject), printable(subject)
    materials = materials_of(repository)
    if path.exists():
        if (folder := _package_folder(path)) is not None:
            return _trace_package(name, load_package(folder), registry_at_hand(), materials, below)
        return Trace(subject=name, links=_output_links(path, registry_at_hand(), materials))
    if (ct := ct_named(subject, repository, below)) is not None:
        return Trace(subject=name, links=(ct[0],), outputs=ct[1])
    uri = version_uri(subject)
    if uri is None:
        fix = f"give a file or folder that femseg wrote, or a version such as 3 or models:/{MODEL_NAME}@challenger"
        raise Refusal(
            Fault(id="CFG-01", file=name, problem="no such file or version", fix=fix, exit_code=ExitCode.USAGE)
        )
    registry = required_registry(uri)
    return _trace_package(name, load_registered(registry.client, uri), registry, materials, below)


def required_registry(subject: str) -> Registry:
    """The tracking store. Raises: Refusal RG-07 (exit 2) where there is none."""
    registry = registry_at_hand()
    if registry is None:
        fix = "set MLFLOW_TRACKING_URI, or run from the repository's root"
        problem = "there is no tracking store here"
        raise Refusal(Fault(id="RG-07", file=subject, problem=problem, fix=fix, exit_code=ExitCode.USAGE))
    return registry


def _package_folder(path: Path) -> Path | None:
    """The package that a path is, or is a file of."""
    return next((folder for folder in (path, path.parent) if (folder / _MANIFEST).is_file()), None)


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
        *data_links(package.lineage, package.model["input_mode"], materials),
    ]


def _output_links(path: Path, registry: Registry | None, materials: Materials) -> tuple[Link, ...]:
    """From a file, or from all files of a stage's folder."""
    in_folder = (path / FOLDER_RECORD, "") if (path / FOLDER_RECORD).is_file() else None
    found = in_folder if path.is_dir() else record_of(path)
    if found is None:
        fix = "ask whoever made it; masks and reports that femseg writes have their lineage beside them"
        problem = "nothing beside it says where it comes from"
        raise Refusal(Fault(id="LN-02", file=printable(path), problem=problem, fix=fix, exit_code=ExitCode.INTEGRITY))
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
        note = f"neither the registry nor models/ holds {shortened(sha256)}"
        broken = Link(what="model package", value=sha256, state="broken", note=note)
        return [broken, link, *run_links(registry, sha256, version)]
    return [
        Link(what="model package", value=sha256, state="holds", note="every hash in it"),
        *_links_of(package, sha256, registry, materials),
        *same_sources(record, package.lineage),
        *ct_links(record, package.lineage, materials),
    ]


def _package_at_hand(root: Path, sha256: str) -> ModelPackage | None:
    """The package in `models/` that has this hash."""
    for manifest in sorted((root / "models").glob(f"*/{_MANIFEST}")):
        if sha256_of_file(manifest) == sha256:
            return load_package(manifest.parent)
    return None
