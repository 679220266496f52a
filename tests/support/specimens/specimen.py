"""What one specimen is: how it is made, and what femseg is to say of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Make = Callable[[Path], object]  # writes one or more studies into an empty folder
Expected = Literal["refused", "accepted", "remarked", "mended"]
Faulty = Literal["nothing", "ct", "mask", "cohort"]
Truth = Literal["base", "stored", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """A small study, or a few of them, whose faults are known.

    Attributes:
        kind: its name, "missing-slice".
        matrix_id: the case of the acceptance matrix that it stands for, "IN-01".
        about: what is odd or wrong, in a few words.
        expected: refused; accepted without a word; accepted with a remark that begins with `matrix_id`; or refused
            until `settings` choose what to do about it, then accepted with such a remark.
        make: writes it into an empty folder, which is then the cohort's folder.
        exit_code: how `femseg check` ends.
        faults: ids of all faults that it is refused with, each once; more than one where a fault shows in several ways.
        says: words of the first fault's line (file names among them), or of the remark.
        settings: cohort settings under which `expected` holds, by name; source and folder are found out.
        faulty: where the fault lies.
        truth: the voxels that a reader should hand out: the base study's, those that the file states by its own
            header, or none, since the file does not hold a CT of one patient that anybody could use.
    """

    kind: str
    matrix_id: str
    about: str
    expected: Expected
    make: Make
    exit_code: int = 0
    faults: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    faulty: Faulty = "nothing"
    truth: Truth = "stored"

    def __post_init__(self) -> None:
        if (self.expected == "refused") != bool(self.exit_code) or bool(self.faults) != bool(self.exit_code):
            raise ValueError(f"{self.kind}: expected an exit code and faults if and only if it is refused")


def refused(
    kind: str,
    matrix_id: str,
    about: str,
    make: Make,
    *says: str,
    exit_code: int = 3,
    faults: tuple[str, ...] = (),
    faulty: Faulty = "ct",
    truth: Truth = "base",
    settings: Mapping[str, Any] | None = None,
) -> Specimen:
    """A specimen that must not get in. `faults` is the matrix id alone unless stated."""
    return Specimen(
        kind=kind,
        matrix_id=matrix_id,
        about=about,
        expected="refused",
        make=make,
        exit_code=exit_code,
        faults=faults or (matrix_id,),
        says=says,
        settings=settings or {},
        faulty=faulty,
        truth=truth,
    )


def accepted(
    kind: str,
    matrix_id: str,
    about: str,
    make: Make,
    *,
    truth: Truth = "stored",
    settings: Mapping[str, Any] | None = None,
) -> Specimen:
    """An odd but valid specimen that gets in without a word."""
    return Specimen(
        kind=kind,
        matrix_id=matrix_id,
        about=about,
        expected="accepted",
        make=make,
        settings=settings or {},
        truth=truth,
    )


def remarked(
    kind: str,
    matrix_id: str,
    about: str,
    make: Make,
    *says: str,
    truth: Truth = "stored",
    settings: Mapping[str, Any] | None = None,
) -> Specimen:
    """A specimen that gets in with a remark."""
    return Specimen(
        kind=kind,
        matrix_id=matrix_id,
        about=about,
        expected="remarked",
        make=make,
        says=says,
        settings=settings or {},
        truth=truth,
    )


def mended(
    kind: str,
    matrix_id: str,
    about: str,
    make: Make,
    *says: str,
    settings: Mapping[str, Any],
    faulty: Faulty = "ct",
    truth: Truth = "base",
) -> Specimen:
    """A specimen that gets in once the user chose so, with a remark that says what was done."""
    return Specimen(
        kind=kind,
        matrix_id=matrix_id,
        about=about,
        expected="mended",
        make=make,
        says=says,
        settings=settings,
        faulty=faulty,
        truth=truth,
    )
