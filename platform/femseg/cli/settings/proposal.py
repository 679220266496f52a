"""What `femseg check --write` proposes, and how proposed settings get into a params.yaml with its comments kept."""

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from femseg.cohorts.settings import CohortSettings
from femseg.cohorts.split import PATIENTS_AT_LEAST, SplitSettings, part_sizes
from femseg.errors import Refusal
from femseg.files.durable import write_bytes_durably
from femseg.intake.report import all_findings
from femseg.intake.result import CheckedCohort
from femseg.settings import as_plain, load_bounded, read_section

_LINE = re.compile(r"`((?:cohort|split)\.[a-z_.]+): ([^`]+)`")  # as fixes and advice quote them
_FOR_A_PERSON = ("cohort.patients", "split.validation", "split.test")  # the first is a guess, the others are below
SHARES = {"split.validation": 0.2, "split.test": 0.3}


def proposed(cohort: CheckedCohort, settings: CohortSettings, given: Iterable[str], params: Path) -> dict[str, Any]:
    """Settings by their dotted key: how the folder was read, what its faults and findings ask for, a split that fits.

    Args:
        settings: by which the folder was checked.
        given: names of those that the command line gave.
        params: the file that they are for.
    """
    plain = as_plain(settings)
    found = {f"cohort.{field.name}": plain[field.name] for field in fields(settings) if field.name in {*given}}
    found |= {"cohort.source": settings.source, "cohort.folder": settings.folder}
    said: dict[str, list[Any]] = {}
    for text in (*(fault.fix for fault in cohort.faults), *(finding.advice for finding in all_findings(cohort))):
        for key, value in _LINE.findall(text):
            said.setdefault(key, []).append(load_bounded(value))
    for key, values in said.items():
        if key not in _FOR_A_PERSON and not any("NAME" in str(value) for value in values):
            found[key] = _joined(values)
    held_out = SplitSettings() if settings.split else read_section(SplitSettings, "split", file=params)
    if cohort.patients >= PATIENTS_AT_LEAST and not _fits(cohort.patients, held_out):
        found |= SHARES
    return found


def _joined(values: list[Any]) -> Any:
    """What several studies ask for under one key: lists together, of other values the first."""
    if all(isinstance(value, list) for value in values):
        return list(dict.fromkeys(item for value in values for item in value))
    return values[0]


def _fits(patients: int, held_out: SplitSettings) -> bool:
    """Whether at least half of the patients are left to train on, or the settings deal them into folds."""
    try:
        return held_out.folds > 1 or 2 * part_sizes(patients, held_out)[0] >= patients
    except Refusal:
        return False


def split_text(cohort: CheckedCohort, settings: CohortSettings, params: Path) -> str:
    """How the settings split these patients, or why they cannot."""
    if settings.split:
        return f"split: as {settings.split} gives it"
    try:
        train, validation, test = part_sizes(cohort.patients, read_section(SplitSettings, "split", file=params))
    except Refusal as refusal:
        return f"split: {refusal.faults[0].problem}. Fix: {refusal.faults[0].fix}"
    return f"split: {train} patients to train, {validation} to validation, {test} to test"


def write_settings(params: Path, settings: Mapping[str, Any]) -> list[str]:
    """Write settings into a params.yaml; returns a line for each that changed. Comments and order stay."""
    from ruamel.yaml import YAML  # as DVC does for `dvc exp run -S`

    editor = YAML()  # reads plain values alone, like PyYAML's safe loader
    editor.preserve_quotes, editor.width = True, 4096
    document = editor.load(params.read_text(encoding="utf-8"))
    changed = []
    for dotted, value in settings.items():
        *sections, key = dotted.split(".")
        place = document
        for section in sections:
            if place.get(section) is None:
                place[section] = {}
            place = place[section]
        if place.get(key) != value:
            place[key] = _on_one_line(value)
            changed.append(f"{dotted}: {value}")
    if changed:
        text = io.StringIO()
        editor.dump(document, text)
        write_bytes_durably(params, text.getvalue().encode())
    return changed


def _on_one_line(value: Any) -> Any:
    """A list as the settings files write theirs: [4.0, 1.8, 1.8]."""
    from ruamel.yaml.comments import CommentedSeq

    if not isinstance(value, list):
        return value
    line = CommentedSeq(map(_on_one_line, value))
    line.fa.set_flow_style()
    return line
