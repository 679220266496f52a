"""Whose study it is where the files do not say, or say it wrongly: a list or pattern of the user's, or alike names."""

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from femseg.errors import Refusal
from femseg.files.plain import opened
from femseg.layouts.adapter import StudyFiles

_LIST_AT_MOST_BYTES = 16 << 20
_NAMED = 5
_VISIT = re.compile(  # what a scan is called by, and not its patient: "P01_pre", "anna-followup2", "7 left"
    r"(?P<patient>.+?)[ _.-]+(?:(pre|post)(-?op)?|before|after|baseline|follow-?up\d*|fu\d*|tp?\d+|v\d+"
    r"|(visit|ses|session|scan|exam|timepoint)-?\d+|left|right|l|r)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?P<patient>.*\d.*?)[ _.-]+(?:\d{1,2}|(19|20)\d{2}-?\d{2}-?\d{2})")


def with_patients(studies: Sequence[StudyFiles], patients: str) -> list[StudyFiles]:
    """The same studies with their patient, where `cohort.patients` says so, or names differ by the visit alone.

    Args:
        patients: a .csv file of two columns (study, patient), a regular expression whose first group, or whole match,
            is the patient, or "".
    Raises: Refusal CFG-01 (exit 2) if it leaves a study without a patient.
    """
    if not patients:
        return _by_visit(studies)
    of_name = _listed(Path(patients)) if patients.lower().endswith(".csv") else None
    found = []
    for study in studies:
        if of_name is not None:
            patient = of_name.get(study.name, "")
        else:
            match = re.match(patients, study.name)
            patient = (match[1] if match.re.groups else match[0]) or "" if match else ""
        found.append(replace(study, patient=patient, patient_by="settings"))
    if missing := [study.name for study in found if not study.patient]:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        problem = f"cohort.patients: names no patient for {', '.join(missing[:_NAMED])}{more}"
        raise Refusal.of("CFG-01", patients, problem, "let every study have a patient, by its folder's or file's name")
    return found


def _listed(path: Path) -> dict[str, str]:
    """Study to patient of a CSV file, with comma, semicolon or tab, with or without a heading."""
    problem = "expected a line `study,patient` for each study"
    with opened(path) as stream:
        content = stream.read(_LIST_AT_MOST_BYTES)
    try:
        text = content.decode("utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        rows, problem = [], str(error)
    if not rows or any(len(row) != 2 or not all(row) for row in rows):
        raise Refusal.of("CFG-01", path, f"is no list of patients: {problem}", "write two columns, study and patient")
    counts = Counter(name for name, _ in rows)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise Refusal.of("CFG-01", path, f"names {', '.join(twice[:_NAMED])} twice", "name each study once")
    return dict(rows)


def _by_visit(studies: Sequence[StudyFiles]) -> list[StudyFiles]:
    """Several studies named alike but for the visit are of one patient; so is one that is named as they begin."""
    alike = _alike([study.name for study in studies], _VISIT)
    patients = {name: stem for stem, names in alike.items() for name in (*names, stem)}
    return [
        replace(study, patient=patients[study.name], patient_by="name") if study.name in patients else study
        for study in studies
    ]


def _alike(names: Sequence[str], pattern: re.Pattern[str]) -> dict[str, list[str]]:
    """Names by what they have in common before their visit, where that are several, the bare stem among them."""
    found = defaultdict(list)
    for name in names:
        if match := pattern.fullmatch(name):
            found[match["patient"]].append(name)
    return {stem: of for stem, of in found.items() if len(of) > 1 or stem in names}


def alike_but_for_a_number(names: Sequence[str]) -> dict[str, list[str]]:
    """Names that share a stem with a digit in it and differ by a short number or a date: perhaps scans of a patient."""
    return _alike(names, _NUMBER)
