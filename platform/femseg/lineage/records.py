"""What stands beside an output: which file it is, which model made it and of which CTs; by SHA-256, nothing by name.

A folder that a stage makes holds one record, `lineage.json`; a file by itself has its own beside it,
`<file>.lineage.json`. Neither holds a path outside its folder, a time or a host: the same inputs give the same record.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from femseg.errors import Refusal, printable
from femseg.files.durable import read_json, sha256_of_file, sha256_of_json, write_json_durably
from femseg.formats.source import Source
from femseg.lineage.materials import is_inside
from femseg.settings import as_plain, checked

FORMAT = 1
FOLDER_RECORD, FOLDER_MASK = "lineage.json", "mask.nii.gz"  # in the folder of a study that was segmented
_BESIDE = ".lineage.json"

RecordKind = Literal["segmentation", "evaluation", "report", "card"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRecord:
    """Where the files of one output come from.

    Attributes:
        kind: what made them.
        files: SHA-256 by path below the record's folder; of a single file by what it is ("mask").
        models: SHA-256 of each model package that had a part in it, by input mode.
        cts: `series_sha256` of every CT that was segmented, by case id; a CT by itself is "ct".
        sources: SHA-256 of what else was read, by what it is ("split", "manifest", "evaluation of raw").
        options: what the user chose, such as mends, and the model as the user named it.
    """

    kind: RecordKind
    files: dict[str, str]
    models: dict[str, str]
    cts: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


def series_sha256(ct: Source) -> str:
    """One hash of a CT's files, whatever their names and order, packed in a ZIP file or not."""
    return sha256_of_json(sorted(file.sha256 for file in ct.files))


def record_beside(file: Path) -> Path:
    """Where the record of a file by itself lies."""
    return file.with_name(file.name + _BESIDE)


def is_record(path: Path) -> bool:
    """Whether a path has the name of a record."""
    return path.name == FOLDER_RECORD or path.name.endswith(_BESIDE)


def hashes_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of these files of a folder, by their names."""
    return {name: sha256_of_file(folder / name) for name in names}


def write_record(path: Path, record: OutputRecord) -> str:
    """Write a record durably; it carries a hash of its own content. Returns the file's SHA-256."""
    plain = as_plain(record)
    return write_json_durably(path, {"format": FORMAT, "record": plain, "sha256": sha256_of_json(plain)})


def read_record(path: Path) -> OutputRecord:
    """Read a record. Raises: Refusal ST-02 (exit 4) if it is missing, torn, altered or of another format."""
    return parsed_record(read_json(path), path)


def parsed_record(plain: Any, path: Path) -> OutputRecord:
    """The same from JSON that was read already; `path` is what a refusal names."""
    problem = f"is no lineage record of format {FORMAT}"
    if isinstance(plain, Mapping) and plain.get("format") == FORMAT and "record" in plain:
        if sha256_of_json(plain["record"]) != plain.get("sha256"):
            problem = "was altered: its own hash does not hold"
        else:
            try:
                record = checked(OutputRecord, plain["record"], where="record", file=path)
            except Refusal as refusal:
                problem = refusal.faults[0].problem
            else:
                _require_inside(record, path)
                return record
    raise Refusal.of("ST-02", path, problem, "make the output again; a record is never written by hand")


def _require_inside(record: OutputRecord, path: Path) -> None:
    """Raises: Refusal SC-08 (exit 2) if a record names a file outside of its folder, to be read or written."""
    if outside := [name for name in record.files if not is_inside(name)]:
        problem = f"names a file outside of its folder: {printable(outside[0])[:100]}"
        fix = "do not rely on it; a record is never written by hand"
        raise Refusal.of("SC-08", path, problem, fix)


def record_of(file: Path) -> tuple[Path, str] | None:
    """The record that speaks of a file, and the file's name in it ("" of a file by itself); None if there is none.

    The file's own record comes first, then one in its folder or up to three folders above that lists the file.
    """
    beside = record_beside(file)
    if beside.is_file():
        return beside, ""
    for folder in file.absolute().parents[:4]:
        path = folder / FOLDER_RECORD
        if path.is_file() and _is_output_record(path):
            name = file.absolute().relative_to(folder).as_posix()
            return (path, name) if name in read_record(path).files else None
    return None


def _is_output_record(path: Path) -> bool:
    """A model package has a lineage.json, too, which is none of these."""
    plain = read_json(path)
    return isinstance(plain, Mapping) and "record" in plain
