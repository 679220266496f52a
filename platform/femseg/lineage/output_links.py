"""From an output to its record, its CTs and its models; and back: what a folder holds that came of a model."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from femseg.errors import Refusal
from femseg.files.durable import read_json, sha256_of_file, sha256_of_json
from femseg.lineage.data_links import trained_on
from femseg.lineage.materials import Link, Materials, shortened
from femseg.lineage.provenance import Lineage
from femseg.lineage.records import FOLDER_RECORD, OutputRecord, RecordKind, is_record, read_record
from femseg.paths import MANIFEST, TRACKING_DATABASE, TRAIN_RUNS, evaluation_of, repeat_of

_EVALUATION = re.compile(r"evaluation of (?P<mode>[\w-]+)")
_REPEAT = re.compile(r"repeat of (?P<mode>[\w-]+), fold (?P<fold>\d+), seed (?P<seed>\d+)")
_NOT_SEARCHED = {TRACKING_DATABASE.parts[0], TRAIN_RUNS.parts[0], "node_modules"}  # hidden folders neither


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file that came of a model.

    Attributes:
        path: where it lies.
        kind: what made it.
        state: whether it is still what was written; "gone" if only its record lies there.
    """

    path: str
    kind: RecordKind
    state: Literal["holds", "broken", "gone"]

    def as_plain(self) -> dict[str, str]:
        """For `--json`."""
        return asdict(self)


def files_of(path: Path, record: OutputRecord) -> dict[Path, str]:
    """Where the files of a record lie, with their SHA-256; `path` is the record's own."""
    if path.name.startswith("lineage."):
        return {path.parent / name: sha256 for name, sha256 in record.files.items()}
    return {path.with_name(path.name.removesuffix(".lineage.json")): sha256 for sha256 in record.files.values()}


def file_links(path: Path, record: OutputRecord, wanted: Path | None) -> list[Link]:
    """A link for the wanted file of a record, or for all of them."""
    links = []
    for file, expected in files_of(path, record).items():
        if wanted is None or file.absolute() == wanted.absolute():
            state, note = _compared(file, expected)
            links.append(Link(what=f"file {file.name}", value=expected, state=state, note=note))
    return links


def _compared(file: Path, expected: str) -> tuple[Literal["holds", "broken"], str]:
    try:
        found = sha256_of_file(file)
    except OSError as error:
        return "broken", f"cannot be read: {error.strerror}"
    if found != expected:
        return "broken", f"SHA-256 is {shortened(found)}, its record says {shortened(expected)}"
    return "holds", "as its record says"


def ct_links(record: OutputRecord, lineage: Lineage, materials: Materials) -> list[Link]:
    """A link for each CT of a record, compared with the cohort that the model was trained with."""
    known, parts = _cohort(lineage, materials)
    return [_ct_link(name, sha256, known, parts) for name, sha256 in record.cts.items()]


def trained_series(lineage: Lineage, materials: Materials) -> list[Link]:
    """A link for each CT of the cohort that a model was trained, validated or tested with."""
    known, parts = _cohort(lineage, materials)
    if not known:
        return [Link(what="CT series", value="", state="not here", note="the cohort's manifest names them")]
    return [_ct_link(case, known[case], known, parts) for case in parts if case in known]


def _cohort(lineage: Lineage, materials: Materials) -> tuple[dict[str, str], dict[str, str]]:
    """By case id: the hash of its CT, and its part of the split; empty if they are not here."""
    manifest, split = (trained_on(lineage, key, materials) for key in ("manifest", "split"))
    parts = {case: part for part, cases in (split or {"parts": {}})["parts"].items() for case in cases}
    return series_of_cohort(manifest or {"cases": []}), parts


def series_of_cohort(manifest: Mapping[str, Any]) -> dict[str, str]:
    """By case id: the hash of its CT, as `series_sha256` gives it."""
    files = {case["case_id"]: case["ct"]["files"] for case in manifest["cases"]}
    return {case_id: sha256_of_json(sorted(file["sha256"] for file in of_case)) for case_id, of_case in files.items()}


def _ct_link(name: str, sha256: str, known: Mapping[str, str], parts: Mapping[str, str]) -> Link:
    what = "CT series" if name == "ct" else f"CT series of {name}"
    if not known:
        return Link(what=what, value=sha256, state="not here", note="nor is the cohort to compare it with")
    if name in known:
        if known[name] != sha256:
            note = f"the cohort's manifest says {shortened(known[name])}"
            return Link(what=what, value=sha256, state="broken", note=note)
        return Link(what=what, value=sha256, state="holds", note=f"in the cohort, part {parts.get(name, 'unknown')}")
    case = next((case for case, series in known.items() if series == sha256), None)
    if case is not None:
        note = f"is {case} of the cohort, part {parts.get(case, 'unknown')}"
        return Link(what=what, value=sha256, state="holds", note=note)
    return Link(what=what, value=sha256, state="not here", note="no CT of the cohort that the model was trained with")


def about_case(record: OutputRecord, file: Path) -> OutputRecord:
    """The record of a mask that is named by its case: of all CTs that were evaluated, only this one made it."""
    case = file.name.partition(".")[0]
    return replace(record, cts={case: record.cts[case]}) if case in record.cts else record


def evaluation_links(record: OutputRecord, root: Path) -> list[Link]:
    """From a report to the evaluations that it tells of, those of repeats with other folds and seeds among them."""
    links = []
    for name, sha256, path in _evaluations(record, root):
        same = path.is_file() and sha256_of_file(path) == sha256
        note = f"as {path.parent} says" if same else "another one lies in results/, or none; `dvc checkout`"
        links.append(Link(what=name, value=sha256, state="holds" if same else "not here", note=note))
    return links


def _evaluations(record: OutputRecord, root: Path) -> Iterator[tuple[str, str, Path]]:
    """What a report calls an evaluation, the SHA-256 of its record, and where that lies."""
    for name, sha256 in record.sources.items():
        if found := _EVALUATION.fullmatch(name):
            yield name, sha256, root / evaluation_of(found["mode"]) / FOLDER_RECORD
        elif found := _REPEAT.fullmatch(name):
            repeat = repeat_of(found["mode"], int(found["fold"]), int(found["seed"]))
            yield name, sha256, root / repeat / FOLDER_RECORD


def with_evaluated_cts(record: OutputRecord, root: Path) -> OutputRecord:
    """A report's or card's record with the CTs of its evaluations, as far as these lie here and are the ones."""
    cts = dict(record.cts)
    for _, sha256, path in _evaluations(record, root):
        if path.is_file() and sha256_of_file(path) == sha256:
            cts |= read_record(path).cts
    return replace(record, cts=cts)


def same_sources(record: OutputRecord, lineage: Lineage) -> list[Link]:
    """Whether an output was made with the split and the cohort that the model was trained with.

    On another split, cases of the training may have been among the test cases.
    """
    links = []
    for key in ("manifest", "split"):
        used, trained = record.sources.get(key), lineage.sha256.get(key)
        if used is not None and used != trained:
            note = f"this was made with {shortened(used)}, the model was trained with {shortened(str(trained))}"
            links.append(Link(what=f"same {key}", value=used, state="broken", note=note))
    return links


def records_below(folder: Path) -> Iterator[tuple[Path, OutputRecord]]:
    """Every readable record below a folder; hidden folders, MLflow's and those of runs are passed over."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NOT_SEARCHED and not name.startswith("."))
        for path in sorted(Path(place) / name for name in names if is_record(Path(name))):
            try:
                yield path, read_record(path)
            except Refusal:  # a package's lineage.json, or a torn record: says nothing about any output
                continue


def outputs_of(package_sha256: str, folder: Path) -> list[Output]:
    """What lies below a folder and came of a package, by the records that lie beside it."""
    found = []
    for path, record in records_below(folder):
        if package_sha256 in record.models.values():
            for file, expected in files_of(path, record).items():
                found.append(compared_output(file, expected, record))
    return found


def compared_output(file: Path, expected: str, record: OutputRecord) -> Output:
    """A file of a record, and whether it is still what was written."""
    state = _compared(file, expected)[0] if file.exists() else "gone"
    return Output(path=str(file), kind=record.kind, state=state)


# From a CT to what came of it: masks by their records, and the reports and cards that tell of these masks.


_SERIES = re.compile(r"[0-9a-f]{64}")
_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def ct_named(subject: str, root: Path, below: Path) -> tuple[Link, tuple[Output, ...]] | None:
    """What came of the CT that a hash of its series, or a case id of the cohort at hand, names; None if it names none.

    Args:
        root: of the repository, for the cohort's manifest.
        below: where outputs are looked for.
    """
    known = cohort_at_hand(root)
    if not _SERIES.fullmatch(subject) and not (_CASE.fullmatch(subject) and subject in known):
        return None
    series = known.get(subject, subject)
    case = next((case for case, sha256 in known.items() if sha256 == series), "")
    found = outputs_of_ct(series, below)
    if not case and not found:
        return None
    note = f"{case} of the cohort at hand" if case else "not in the cohort at hand"
    return Link(what="CT series", value=series, state="holds" if case else "not here", note=note), found


def cohort_at_hand(root: Path) -> Mapping[str, str]:
    """By case id: the hash of its CT, as the manifest that lies here says; empty without one."""
    try:
        return series_of_cohort(read_json(root / MANIFEST))
    except (Refusal, KeyError, TypeError):
        return {}


def outputs_of_ct(series_sha256: str, folder: Path) -> tuple[Output, ...]:
    """What lies below a folder and was made of a CT: its masks, the evaluations with it, and what tells of those."""
    records = list(records_below(folder))
    evaluations = {sha256_of_file(path) for path, record in records if series_sha256 in record.cts.values()}
    found = []
    for path, record in records:
        cases = [case for case, sha256 in record.cts.items() if sha256 == series_sha256]
        if cases or evaluations & set(record.sources.values()):
            found += [
                compared_output(file, expected, record)
                for file, expected in files_of(path, record).items()
                if _is_about(file, cases, record)
            ]
    return tuple(found)


def _is_about(file: Path, cases: list[str], record: OutputRecord) -> bool:
    """A mask that is named by another case was made of another CT; tables and pages are of all of them."""
    case = file.name.partition(".")[0]
    return case in cases or case not in record.cts
