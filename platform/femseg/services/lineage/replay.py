"""A version evaluated again, from the code and the data that its lineage names."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import Fault, Refusal
from femseg.files.durable import read_json
from femseg.lineage.data_links import code_links, data_links
from femseg.lineage.materials import broken_links, shortened
from femseg.lineage.provenance import software_versions
from femseg.lineage.records import FOLDER_RECORD, read_record
from femseg.lineage.replayed import ReplayedCase, replayed_cases
from femseg.metrics.scorecard import read_scores
from femseg.networks.package import ModelPackage
from femseg.paths import evaluation_of, trained_from
from femseg.services.lineage.worktree import (
    bring_data,
    bring_package,
    bring_studies,
    evaluate_again,
    evaluated_paths,
    make_scratch,
    materials_of,
)
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import brought_here, find_version, load_registered, stored_package

EVIDENCE = "evaluation"  # folder of a run's artefacts
EVALUATED_MD5 = "dvc_md5.json"  # DVC's MD5 of the masks that were evaluated, there


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of evaluating a version again.

    Attributes:
        uri: the version.
        commit: whose code was run.
        cases: every mask of the first evaluation beside the one made now.
        other_software: package → versions then and now, of those that differ.
    """

    uri: str
    commit: str
    cases: tuple[ReplayedCase, ...]
    other_software: Mapping[str, tuple[str, str]]

    @property
    def faults(self) -> tuple[Fault, ...]:
        """LN-04 (exit 4) if any mask is not the same."""
        differ = [case for case in self.cases if not case.same]
        if not differ:
            return ()
        problem = f"{len(differ)} of {len(self.cases)} masks are not those that were evaluated then"
        versions = "; ".join(f"{name} {then}, now {now}" for name, (then, now) in self.other_software.items())
        fix = f"replay with the software of that time ({versions})" if versions else "find out before relying on it"
        return (Fault("LN-04", self.uri, problem, fix),)

    def as_plain(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "version": self.uri,
            "commit": self.commit,
            "cases": [case.as_plain() for case in self.cases],
            "other_software": {name: list(pair) for name, pair in self.other_software.items()},
            "faults": [fault.as_dict() for fault in self.faults],
        }


def replay(client: MlflowClient, uri: str, *, repository: Path, into: Path | None) -> Replay:
    """Check the version's code and data out, evaluate it there, and compare mask by mask.

    Args:
        uri: `models:/femseg/3` or `models:/femseg@champion`.
        into: a new folder to work in, kept afterwards; None works in a temporary one.
    Raises: Refusal LN-01 if its lineage is broken, LN-03 if something cannot be brought here any more (both exit 4),
        CFG-01 (exit 2) if `into` is not empty.
    """
    package = load_registered(client, uri)
    version = find_version(client, package.sha256)
    if version is None:
        raise _missing(uri, "no version holds its package any more")
    _require_whole(uri, package, repository)
    with _workplace(into) as place:
        evidence = _evidence(client, version, place / "then", package.sha256)
        again, originals = _evaluated_now(client, version, package, evidence, place, repository)
        cases = replayed_cases(
            read_record(evidence / FOLDER_RECORD).files,
            again,
            [originals, repository / evaluation_of(package.model.folder_name)],
            read_scores(evidence / "scores.csv"),
            read_scores(again / "scores.csv"),
        )
    commit = str(package.lineage.git.commit)
    then, now = package.model.versions, software_versions()
    other = {name: (then[name], now[name]) for name in now if name in then and then[name] != now[name]}
    return Replay(uri=uri, commit=commit, cases=tuple(cases), other_software=other)


def _require_whole(uri: str, package: ModelPackage, repository: Path) -> None:
    """Raises: Refusal LN-01 for every broken link to code or data: what came of these would prove nothing."""
    materials = materials_of(repository)
    of_data = data_links(package.lineage, package.model.input_mode, materials, package.model.refine_mode)
    links = [*code_links(package.lineage, repository), *of_data]
    if faults := broken_links(uri, links):
        raise Refusal(faults)


@contextmanager
def _workplace(into: Path | None) -> Iterator[Path]:
    if into is None:
        with tempfile.TemporaryDirectory(prefix="femseg-replay-") as folder:
            yield Path(folder)
        return
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise Refusal.of("CFG-01", into, "is not empty", "name a new or empty folder")
    into.mkdir(parents=True, exist_ok=True)
    yield into


def _evidence(client: MlflowClient, version: ModelVersion, place: Path, package_sha256: str) -> Path:
    """The record and the scores of the first evaluation, as they were kept with the version's run.

    Raises: Refusal LN-03 (exit 4) if they are not there, or are of another package.
    """
    uri = f"models:/{MODEL_NAME}/{version.version}"
    place.mkdir(parents=True)
    try:
        brought_here(client, f"runs:/{version.run_id}/{EVIDENCE}", into=place)
    except (MlflowException, OSError) as error:
        raise _missing(uri, "its run keeps no evaluation to compare with") from error
    if not (place / EVIDENCE / FOLDER_RECORD).is_file():
        raise _missing(uri, "its run keeps no record of the masks that were evaluated")
    record = read_record(place / EVIDENCE / FOLDER_RECORD)
    if package_sha256 not in record.models.values():
        raise _missing(uri, f"the evaluation kept with its run is not of package {shortened(package_sha256)}")
    return place / EVIDENCE


def _evaluated_now(
    client: MlflowClient, version: ModelVersion, package: ModelPackage, evidence: Path, place: Path, repository: Path
) -> tuple[Path, Path]:
    """Evaluate in a scratch tree; returns the folder of the new masks, and where the first ones were brought."""
    name, scratch, originals = package.model.folder_name, place / "project", place / "masks then"
    make_scratch(scratch, repository, str(package.lineage.git.commit))
    read = trained_from(package.model.input_mode, package.model.refine_mode)
    bring_data(scratch, repository, {path: package.lineage.dvc_md5[path] for path in read})
    evaluated = read_json(evidence / EVALUATED_MD5) if (evidence / EVALUATED_MD5).is_file() else {}
    if evaluated:
        with suppress(Refusal):  # without them the hashes still tell whether the masks are the same
            bring_data(scratch, repository, {path: evaluated[path] for path in evaluated_paths(name)})
            (scratch / evaluation_of(name)).rename(originals)
    bring_studies(scratch, repository)
    uri = f"models:/{MODEL_NAME}/{version.version}"
    bring_package(scratch, stored_package(client, version, uri, into=place / "package"), name)
    return evaluate_again(scratch, name), originals


def _missing(uri: str, problem: str) -> Refusal:
    return Refusal.of("LN-03", uri, problem, "run `dvc repro evaluate` and `make register` again, then replay")
