"""The checked manifest of a cohort: `manifest.json`, written by the stage `cohort` and read by every later one."""

import os
from dataclasses import dataclass
from pathlib import Path

from femseg.cohorts.case import Case
from femseg.durable import read_json, write_json_durably
from femseg.errors import ExitCode, Fault, Refusal
from femseg.settings import as_plain, checked

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All cases of a cohort, ordered by case id.

    Attributes:
        root: folder that the cases' file paths are relative to; relative roots count from the manifest's folder.
        cases: every checked case.
    """

    root: str
    cases: tuple[Case, ...]
    format: int = FORMAT

    def __post_init__(self) -> None:
        ids = [case.case_id for case in self.cases]
        if ids != sorted(set(ids)):
            raise ValueError("cases: expected unique case ids in ascending order")


def write_manifest(manifest: Manifest, path: Path) -> str:
    """Write the manifest; returns its SHA-256."""
    return write_json_durably(path, as_plain(manifest))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Raises: Refusal (exit 4) if it is missing, torn or of another format."""
    plain = read_json(path)
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        fault = Fault(
            id="ST-02",
            file=str(path),
            problem=f"is no cohort manifest of format {FORMAT}",
            fix="run `dvc repro cohort`",
            exit_code=ExitCode.INTEGRITY,
        )
        raise Refusal(fault)
    try:
        return checked(Manifest, plain, where="manifest", file=path)
    except Refusal as refusal:
        problem, fix = refusal.faults[0].problem, "run `dvc repro cohort`"
        fault = Fault(id="ST-02", file=str(path), problem=problem, fix=fix, exit_code=ExitCode.INTEGRITY)
        raise Refusal(fault) from None


def recorded_root(folder: Path, manifest_path: Path) -> str:
    """How a manifest names the cohort's folder: an absolute path as it is, any other from the manifest's own folder.

    So the manifest is the same, byte for byte, wherever the repository lies.
    """
    return str(folder) if folder.is_absolute() else os.path.relpath(folder, manifest_path.parent)


def cohort_root(manifest: Manifest, manifest_path: Path) -> Path:
    """The folder that the manifest's file paths are relative to."""
    return (manifest_path.parent / manifest.root).resolve()
