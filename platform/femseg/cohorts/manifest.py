"""The checked manifest of a cohort: `manifest.json`, written by the stage `cohort` and read by every later one."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from femseg.cohorts.case import Case, HashedFile
from femseg.cohorts.femur_side import of_side, pieces_of
from femseg.errors import Fault, Refusal
from femseg.files.durable import read_json, sha256_of_file, write_json_durably
from femseg.formats.reading import read_ct, read_mask
from femseg.formats.source import Source
from femseg.formats.zip_archive import unpacked
from femseg.settings import as_plain, checked
from femseg.volumes.grid import CtVolume, MaskVolume

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
        raise Refusal.of("ST-02", path, f"is no cohort manifest of format {FORMAT}", "run `dvc repro cohort`")
    try:
        return checked(Manifest, plain, where="manifest", file=path)
    except Refusal as refusal:
        raise Refusal.of("ST-02", path, refusal.faults[0].problem, "run `dvc repro cohort`") from None


def recorded_root(folder: Path, manifest_path: Path) -> str:
    """How a manifest names the cohort's folder: an absolute path as it is, any other from the manifest's own folder.

    So the manifest is the same, byte for byte, wherever the repository lies.
    """
    return str(folder) if folder.is_absolute() else os.path.relpath(folder, manifest_path.parent)


def cohort_root(manifest: Manifest, manifest_path: Path) -> Path:
    """The folder that the manifest's file paths are relative to."""
    return (manifest_path.parent / manifest.root).resolve()


@contextmanager
def verified(source: Source, root: Path) -> Iterator[Path]:
    """The folder that a source's paths count from, each file proven to be the one that was checked.

    That is `root`, or for a study in an archive a temporary folder with these files alone.

    Raises: Refusal (exit 4) naming each file, or the archive, that is gone or changed.
    """
    if source.archive is None:
        _verify(source.files, root)
        yield root
        return
    _verify([source.archive], root)
    with unpacked(root / source.archive.path, only={file.path for file in source.files}) as folder:
        _verify(source.files, folder)
        yield folder


def _verify(files: Sequence[HashedFile], root: Path) -> None:
    faults = []
    for file in files:
        path = root / file.path
        try:
            problem = (
                "" if sha256_of_file(path) == file.sha256 else "is not the file that was checked (SHA-256 differs)"
            )
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
        if problem:
            fix = "restore the file, or check the cohort again (`dvc repro cohort`)"
            faults.append(Fault("ST-05", path, problem, fix))
    if faults:
        raise Refusal(faults)


def read_case_ct(case: Case, root: Path) -> CtVolume:
    """A case's CT in Hounsfield units; read-only.

    Args:
        root: folder that the case's file paths are relative to.
    Raises: Refusal (exit 4) if a file is not the one that was checked.
    """
    with verified(case.ct, root) as folder:
        return read_ct(case.ct, folder)


def read_case_mask(case: Case, root: Path) -> MaskVolume:
    """A case's femur mask on the CT's grid, the chosen side alone where the case stands for one.

    Raises: Refusal (exit 4) if a file is not the one that was checked; ValueError if the case has no mask.
    """
    if case.mask is None:
        raise ValueError(f"{case.case_id} has no mask")
    with verified(case.mask, root) as folder:
        femur_zyx = read_mask(case.mask, folder, case.grid).femur_zyx  # its own header may round the CT's grid
    if case.side_by_place:
        femur_zyx = of_side(femur_zyx, pieces_of(femur_zyx, case.grid), case.femur)
    return MaskVolume(femur_zyx=femur_zyx, grid=case.grid)
