"""A case's voxels, once every file is proven to be the one that was checked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from femseg.cohorts.archive import unpacked
from femseg.cohorts.case import Case, HashedFile
from femseg.cohorts.femur_side import of_side, pieces_of
from femseg.durable import sha256_of_file
from femseg.errors import ExitCode, Fault, Refusal
from femseg.volumes.files.reading import read_ct, read_mask
from femseg.volumes.files.source import Source
from femseg.volumes.volume import CtVolume, MaskVolume


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
            faults.append(Fault(id="ST-05", file=str(path), problem=problem, fix=fix, exit_code=ExitCode.INTEGRITY))
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
