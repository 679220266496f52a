"""A split that somebody else made, as a JSON file of study names: is any patient on two sides of it?"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from femseg.cohorts.case import Part
from femseg.errors import Fault, Refusal
from femseg.files.plain import open_plain
from femseg.formats.volume_file import volume_stem
from femseg.intake.result import CheckedStudy, Finding
from femseg.layouts.dataset_json import without_twins

Fold = Mapping[str, frozenset[str]]  # side → names of studies

_PARTS: Mapping[str, Part] = {
    **{"train": "train", "training": "train", "val": "validation", "validation": "validation"},
    **{"test": "test", "testing": "test"},
}
_AT_MOST_BYTES = 16 * 2**20
_NAMED = 5


def read_split_file(path: Path) -> tuple[Fold, ...]:
    """Read nnU-Net's `splits_final.json` (a list of folds), or one object with a list of names for each side.

    Raises: Refusal CFG-01 (exit 2) if it is neither.
    """
    try:
        with open_plain(path) as stream:
            raw = stream.read(_AT_MOST_BYTES + 1)
        plain = json.loads(raw, object_pairs_hook=without_twins) if len(raw) <= _AT_MOST_BYTES else None
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"is no readable JSON ({error})") from None
    folds = plain if isinstance(plain, list) else [plain]
    if not folds or not all(map(_is_fold, folds)):
        raise _refused(path, "holds no split")
    return tuple({side: frozenset(names) for side, names in dict(fold or {}).items()} for fold in folds)


def _is_fold(plain: Any) -> bool:
    lists = list(plain.values()) if isinstance(plain, dict) else []
    return len(lists) > 1 and all(isinstance(one, list) and all(isinstance(n, str) for n in one) for one in lists)


def _refused(path: Path, problem: str) -> Refusal:
    fix = 'give nnU-Net\'s splits_final.json, or {"train": [names], "test": [names]}'
    return Refusal.of("CFG-01", path, problem, fix)


def split_faults(studies: Iterable[CheckedStudy], folds: Sequence[Fold]) -> dict[str, list[Fault]]:
    """IN-23: studies of one patient, or with the same pixels, on different sides; by the study's location."""
    found: dict[tuple[str, str], list[int]] = {}
    for number, fold in enumerate(folds):
        first: dict[tuple[str, str], tuple[str, str]] = {}
        for study in studies:
            for side in [side for side, names in fold.items() if names & _names(study)]:
                keys = [("the same pixels", study.pixels_sha256), ("the same patient", study.patient_id)]
                seen = [(what, *first[what, key]) for what, key in keys if key and (what, key) in first]
                apart = next((one for one in seen if one[2] != side), None)
                if apart:
                    problem = f"stands in {side}; {apart[1]}, which shows {apart[0]}, in {apart[2]}"
                    found.setdefault((study.location, problem), []).append(number)
                for what, key in keys:
                    first.setdefault((what, key), (study.location, side))
    faults: dict[str, list[Fault]] = {}
    for (location, problem), numbers in found.items():
        where = f" (fold {', '.join(map(str, numbers))})" if len(folds) > 1 else ""
        fix = "put all studies of a patient on one side of the split"
        faults.setdefault(location, []).append(Fault("IN-23", location, problem + where, fix))
    return faults


def _names(study: CheckedStudy) -> frozenset[str]:
    """What a split may call a study: its place, the last part of it, or that without a volume file's suffix."""
    last = Path(study.name).name
    return frozenset({study.name, last, volume_stem(Path(last)), volume_stem(Path(last)).removesuffix("_0000")})


def given_parts(
    studies: Iterable[CheckedStudy], folds: Sequence[Fold], path: Path, fold: int | None = None
) -> dict[str, Part]:
    """The part of each study, by its location, in the split that a file gives.

    Of nnU-Net's folds, `val` is the test part: it is what they are scored on, while ours chooses the checkpoint.

    Args:
        fold: which of several.
    Raises: Refusal CFG-01 (exit 2) if no such fold is there or none of several is named, for other parts than train,
        validation and test, or a study in none.
    """
    last = len(folds) - 1
    if (fold is None and last) or (fold is not None and not 0 <= fold <= last):
        problem = f"holds {len(folds)} folds, and cohort.split_fold is {'not set' if fold is None else fold}"
        raise Refusal.of("CFG-01", path, problem, f"set cohort.split_fold to the one of this run, 0 to {last}")
    chosen = folds[fold or 0]
    sides = {side: _PARTS.get(side.lower()) for side in chosen}
    if last and {*sides.values()} == {"train", "validation"}:
        sides = {side: "test" if part == "validation" else part for side, part in sides.items()}
    if None in sides.values() or not {"train", "test"} <= {*sides.values()}:
        problem = f"has the parts {', '.join(sides)}; expected train, test and, if you like, validation"
        raise Refusal.of("CFG-01", path, problem, "name the parts so")
    found: dict[str, Part] = {}
    missing = []
    for study in studies:
        parts = [sides[side] for side, names in chosen.items() if names & _names(study)]
        if parts and parts[0]:
            found[study.location] = parts[0]
        else:
            missing.append(study.name)
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        problem = f"names no part for {', '.join(missing[:_NAMED])}{more}"
        raise Refusal.of("CFG-01", path, problem, "put every study into a part")
    return found


def split_findings(studies: Iterable[CheckedStudy], folds: Sequence[Fold]) -> tuple[Finding, ...]:
    """Names of the split that no study has: what they stand for could not be compared."""
    known = frozenset().union(*map(_names, studies))
    named = frozenset().union(*(names for fold in folds for names in fold.values()))
    unknown = sorted(named - known)
    if not unknown:
        return ()
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    problem = f"the split names what is no study here ({len(unknown)}): {', '.join(unknown[:_NAMED])}{more}"
    return (Finding(id="IN-23", study="", problem=problem, advice="Give the split of this folder."),)
