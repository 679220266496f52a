"""A case's voxels, once every file is proven to be the one that was checked."""

from pathlib import Path

from femseg.cohorts.case import Case
from femseg.cohorts.femur_side import of_side, pieces_of
from femseg.durable import sha256_of_file
from femseg.errors import ExitCode, Fault, Refusal
from femseg.volumes.files.reading import read_ct, read_mask
from femseg.volumes.files.source import Source
from femseg.volumes.volume import CtVolume, MaskVolume


def verify(source: Source, root: Path) -> None:
    """Compare every file with its recorded SHA-256. Raises: Refusal (exit 4) naming each that is gone or changed."""
    faults = []
    for file in source.files:
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
    verify(case.ct, root)
    return read_ct(case.ct, root)


def read_case_mask(case: Case, root: Path) -> MaskVolume:
    """A case's femur mask, the chosen side alone where the case stands for one.

    Raises: Refusal (exit 4) if a file is not the one that was checked; ValueError if the case has no mask.
    """
    if case.mask is None:
        raise ValueError(f"{case.case_id} has no mask")
    verify(case.mask, root)
    mask = read_mask(case.mask, root, case.grid)
    if not case.side_by_place:
        return mask
    femur_zyx = of_side(mask.femur_zyx, pieces_of(mask.femur_zyx, mask.grid), case.femur)
    return MaskVolume(femur_zyx=femur_zyx, grid=mask.grid)
