"""Train, validation and test parts of a cohort, by patient: no patient is ever in two of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from femseg.cohorts.case import Case
from femseg.durable import read_json, sha256_of_json, write_json_durably
from femseg.errors import ExitCode, Fault, Refusal
from femseg.settings import as_plain, checked

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """How much of the cohort is held out; the rest is trained on.

    Attributes:
        validation, test: patients in each part; a whole number counts them, a fraction below 1 is of all patients.
        seed: another seed, another split.
    """

    validation: int | float = 0.2
    test: int | float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for key, amount in (("validation", self.validation), ("test", self.test)):
            if isinstance(amount, bool) or not (amount >= 1 if isinstance(amount, int) else 0 < amount < 1):
                raise ValueError(f"{key}: expected a count of at least 1 or a fraction within 0 … 1, got {amount!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Case ids of each part, ascending; no part is empty and no case is in two."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            part = getattr(self, name)
            if not part or list(part) != sorted(set(part)):
                raise ValueError(f"{name}: expected case ids in ascending order, each once, at least one; got {part}")
        both = (set(self.train) | set(self.validation)) & set(self.test) | set(self.train) & set(self.validation)
        if both:
            raise ValueError(f"expected no case in two parts, got {sorted(both)}")

    @property
    def sha256(self) -> str:
        """Fingerprint: which cases are where."""
        return sha256_of_json(as_plain(self))


def split_by_patient(cases: Sequence[Case], settings: SplitSettings) -> Split:
    """Split a cohort by patient.

    Patients are put in the order of a hash of seed and patient id, which has nothing to do with the order or the number
    of the cases: a patient who joins the cohort moves at most one other per part border.

    Raises: Refusal (exit 2) if there are too few patients for three parts.
    """
    patients = sorted({case.patient_id for case in cases}, key=lambda patient: _rank(patient, settings.seed))
    test, validation = (
        amount if isinstance(amount, int) else round(amount * len(patients))
        for amount in (settings.test, settings.validation)
    )
    train = len(patients) - test - validation
    if min(train, validation, test) < 1:
        raise Refusal(
            Fault(
                id="IN-23",
                file="split",
                problem=f"{len(patients)} patients give {train} to train, {validation} to validation, {test} to test; "
                "expected at least one in each",
                fix="add cases, or lower split.validation and split.test",
                exit_code=ExitCode.USAGE,
            )
        )
    borders = pairwise((0, test, test + validation, len(patients)))
    in_test, in_validation, in_train = (
        tuple(sorted(case.case_id for case in cases if case.patient_id in set(patients[first:end])))
        for first, end in borders
    )
    return Split(train=in_train, validation=in_validation, test=in_test)


def write_split(split: Split, path: Path) -> str:
    """Write `split.json` with its fingerprint; returns the file's SHA-256."""
    return write_json_durably(path, {"format": FORMAT, "sha256": split.sha256, "parts": as_plain(split)})


def read_split(path: Path) -> Split:
    """Read `split.json`. Raises: Refusal (exit 4) if it is missing, torn, of another format, or altered."""
    plain = read_json(path)
    problem = f"is no split of format {FORMAT}"
    if isinstance(plain, dict) and plain.get("format") == FORMAT:
        try:
            split = checked(Split, plain.get("parts"), where="parts", file=path)
        except Refusal as refusal:
            problem = refusal.faults[0].problem
        else:
            if split.sha256 == plain.get("sha256"):
                return split
            problem = f"its fingerprint says {plain.get('sha256')}, its parts give {split.sha256}"
    fix = "run `dvc repro split`"
    raise Refusal(Fault(id="ST-02", file=str(path), problem=problem, fix=fix, exit_code=ExitCode.INTEGRITY))


def _rank(patient_id: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{patient_id}".encode()).hexdigest()
