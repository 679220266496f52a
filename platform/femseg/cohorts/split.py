"""Train, validation and test parts of a cohort, by patient: no patient is ever in two of them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from femseg.cohorts.case import Case
from femseg.errors import Refusal
from femseg.files.durable import read_json, sha256_of_json, write_json_durably
from femseg.settings import as_plain, checked

FORMAT = 1
PATIENTS_AT_LEAST = 6  # from there on a fifth for validation and a fifth for test leave enough to train on


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """How much of the cohort is held out; the rest is trained on.

    Attributes:
        validation, test: patients in each part; a whole number counts them, a fraction below 1 is of all patients.
        seed: another seed, another split.
        folds: for cross-validation: the patients are dealt into this many parts, each once the test part, and `test` is
            not read; 1 is a single split.
        fold: which of them, from 0.
    """

    validation: int | float = 0.2
    test: int | float = 0.2
    seed: int = 0
    folds: int = 1
    fold: int = 0

    def __post_init__(self) -> None:
        for key, amount in (("validation", self.validation), ("test", self.test)):
            if isinstance(amount, bool) or not (amount >= 1 if isinstance(amount, int) else 0 < amount < 1):
                raise ValueError(f"{key}: expected a count of at least 1 or a fraction within 0 … 1, got {amount!r}")
        if self.folds < 1:
            raise ValueError(f"folds: expected 1 or more, got {self.folds}")
        if not 0 <= self.fold < self.folds:
            raise ValueError(f"fold: expected from 0 to {self.folds - 1} (folds is {self.folds}), got {self.fold}")


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
    """Split a cohort by patient; with several folds, the one that the settings name; as given, where that is so.

    Patients are put in the order of a hash of seed and patient id, which has nothing to do with the order or the number
    of the cases: a patient who joins the cohort moves at most one other per part border.

    Raises: Refusal (exit 2) if there are too few patients for three parts.
    """
    if any(case.part for case in cases):
        return _given(cases, settings)
    if settings.folds > 1:
        return folds(cases, settings)[settings.fold]
    patients = _in_order(cases, settings.seed)
    _, validation, test = part_sizes(len(patients), settings)
    return _split(cases, patients, test=patients[:test], validation=patients[test : test + validation])


def part_sizes(patients: int, settings: SplitSettings) -> tuple[int, int, int]:
    """Patients to train, validation and test. Raises: Refusal CFG-03 if one of them would be empty."""
    validation = _patients(settings.validation, patients)
    test = _patients(settings.test, patients) if settings.folds == 1 else -(-patients // settings.folds)
    _refuse_empty_parts(patients, test, validation)
    return patients - validation - test, validation, test


def _given(cases: Sequence[Case], settings: SplitSettings) -> Split:
    """The split that the cases bring along; without a validation part there, one is taken out of the training part.

    Raises: Refusal CFG-02 if several folds are wanted besides, or no case is in the training or the test part.
    """
    of_part = {part: [case for case in cases if case.part == part] for part in ("train", "validation", "test")}
    problem = fix = ""
    if settings.folds > 1:
        problem, fix = f"split.folds is {settings.folds}, and cohort.split gives one split", "set split.folds to 1"
    elif not of_part["train"] or not of_part["test"]:
        sizes = ", ".join(f"{len(found)} to {part}" for part, found in of_part.items())
        problem, fix = f"cohort.split puts {sizes}", "put cases into train and test"
    if problem:
        raise Refusal.of("CFG-02", "split", problem, fix)
    validation = {case.patient_id for case in of_part["validation"]}
    if not validation:
        others = _in_order(of_part["train"], settings.seed)
        amount = _patients(settings.validation, len({case.patient_id for case in cases}))
        _refuse_empty_parts(len(others) + 1, 1, amount)
        validation = set(others[:amount])
    test = {case.patient_id for case in of_part["test"]}
    return _split(cases, _in_order(cases, settings.seed), test=sorted(test), validation=sorted(validation))


def folds(cases: Sequence[Case], settings: SplitSettings) -> tuple[Split, ...]:
    """Every fold of a cross-validation by patient: each patient is in the test part of exactly one.

    Patients are dealt like cards in the order of `split_by_patient`, so that parts differ by one patient at most. The
    validation part of a fold is the next patients in that order after its test part has been taken out.

    Raises: Refusal (exit 2) if there are too few patients for three parts in every fold.
    """
    patients = _in_order(cases, settings.seed)
    validation = _patients(settings.validation, len(patients))
    _refuse_empty_parts(len(patients), len(patients[:: settings.folds]), validation)
    _refuse_empty_parts(len(patients), len(patients) // settings.folds, validation)
    made = []
    for fold in range(settings.folds):
        test = patients[fold :: settings.folds]
        others = [patient for patient in patients[fold:] + patients[:fold] if patient not in set(test)]
        made.append(_split(cases, patients, test=test, validation=others[:validation]))
    return tuple(made)


def _in_order(cases: Sequence[Case], seed: int) -> list[str]:
    patients = {case.patient_id for case in cases}
    return sorted(patients, key=lambda patient: hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest())


def _patients(amount: int | float, of: int) -> int:
    return amount if isinstance(amount, int) else round(amount * of)


def _refuse_empty_parts(patients: int, test: int, validation: int) -> None:
    train = patients - test - validation
    if min(train, validation, test) < 1:
        problem = (
            f"{patients} patients give {train} to train, {validation} to validation, {test} to test; "
            "expected at least one in each"
        )
        if patients >= PATIENTS_AT_LEAST:
            fix = "write shares instead of counts: `split.validation: 0.2` and `split.test: 0.2`"
        else:
            fix = f"add patients: from {PATIENTS_AT_LEAST} on, `split.validation: 0.2` and `split.test: 0.2` fit"
        raise Refusal.of("CFG-03", "split", problem, fix)


def _split(cases: Sequence[Case], patients: Sequence[str], *, test: Sequence[str], validation: Sequence[str]) -> Split:
    train = set(patients) - set(test) - set(validation)
    in_train, in_validation, in_test = (
        tuple(sorted(case.case_id for case in cases if case.patient_id in part))
        for part in (train, set(validation), set(test))
    )
    return Split(train=in_train, validation=in_validation, test=in_test)


def write_split(split: Split, path: Path) -> str:
    """Write `split.json` with its fingerprint; returns the file's SHA-256."""
    return write_json_durably(path, {"format": FORMAT, "sha256": split.sha256, "parts": as_plain(split)})


def read_split(path: Path) -> Split:
    """Read `split.json`. Raises: Refusal (exit 4) if it is missing, torn, of another format, or altered."""
    return _checked_split(read_json(path), path)


def split_from_bytes(content: bytes, path: Path) -> Split:
    """The same of a split.json that lies elsewhere; `path` is what it is called in messages."""
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError):
        plain = None
    return _checked_split(plain, path)


def _checked_split(plain: Any, path: Path) -> Split:
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
    raise Refusal.of("ST-02", path, problem, "run `dvc repro split`")
