"""Who is in each part of a cohort, as a table for a model's card."""

from collections.abc import Sequence

import numpy as np

from femseg.cohorts.case import Case
from femseg.cohorts.split import Split
from femseg.reports.table import NOTHING
from femseg.volumes.orientation import lps_grid

METAL_ML = 0.1  # as where intake remarks on it
DATA_HEAD = ("", "training", "validation", "test")


def data_rows(cases: Sequence[Case], split: Split) -> tuple[tuple[str, ...], ...]:
    """A row for each trait, a column for each part: cases, patients, sex, age, sides, metal, cut-off bone, geometry."""
    by_id = {case.case_id: case for case in cases}
    parts = [[by_id[name] for name in part if name in by_id] for part in (split.train, split.validation, split.test)]
    return tuple((title, *(tell(part) for part in parts)) for title, tell in _ROWS)


def _counted(part: Sequence[Case], values: Sequence[str | None]) -> str:
    counts = {value: values.count(value) for value in dict.fromkeys(values) if value is not None}
    unknown = values.count(None)
    said = [f"{count} {value}" for value, count in sorted(counts.items())]
    return ", ".join([*said, *([f"{unknown} unknown"] if unknown else [])]) if part else NOTHING


def _sex(part: Sequence[Case]) -> str:
    words = {"F": "female", "M": "male", "O": "other", None: None}
    return _counted(part, [words[case.facts.sex] for case in part])


def _range(values: Sequence[float | None], decimals: int = 0) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NOTHING
    low, middle, high = (f"{value:.{decimals}f}" for value in (min(known), float(np.median(known)), max(known)))
    return f"{middle} ({low} … {high})"


_ROWS = (
    ("cases", lambda part: str(len(part))),
    ("patients", lambda part: str(len({case.patient_id for case in part}))),
    ("sex", _sex),
    ("age (years)", lambda part: _range([case.facts.age_years for case in part])),
    ("side", lambda part: _counted(part, [case.facts.side for case in part])),
    ("with metal", lambda part: str(sum(case.facts.metal_ml >= METAL_ML for case in part))),
    ("femur cut off", lambda part: str(sum(bool(case.facts.cut_off) for case in part))),
    ("femur volume (ml)", lambda part: _range([case.facts.femur_ml for case in part])),
    ("slice distance (mm)", lambda part: _range([lps_grid(case.grid).spacing_mm_zyx[0] for case in part], 2)),
    ("pixel size (mm)", lambda part: _range([lps_grid(case.grid).spacing_mm_zyx[2] for case in part], 2)),
)
