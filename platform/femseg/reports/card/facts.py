"""What a model's card is made from, and the parts that it is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from femseg.cohorts.case import Case
from femseg.cohorts.split import Split
from femseg.comparison.repeats import CompareSettings
from femseg.metrics.scorecard import CaseScore, Grid
from femseg.networks.package_files import ModelDescription
from femseg.reports.comparison.table import NOTHING
from femseg.volumes.grid import lps_grid

WORST_CASES = 5
SCORES_FIGURE, WORST_FIGURE = "scores.png", "worst_cases.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """All that a card is made from.

    Attributes:
        version: of the registered model.
        package_sha256: of the package that the version holds.
        model: the package's model.json.
        cohort: name of the cohort.
        cases: every case of the manifest.
        split: which of them trained, validated and tested the model.
        scores: of the test cases, on both grids.
        lineage: label → value, in the order in which they are shown.
        statistics: confidence, resamples and seed of the intervals.
    """

    version: int
    package_sha256: str
    model: ModelDescription
    cohort: str
    cases: Sequence[Case]
    split: Split
    scores: Sequence[CaseScore]
    lineage: Mapping[str, str]
    statistics: CompareSettings = field(default_factory=CompareSettings)

    @property
    def mode(self) -> str:
        """The model's name: its input mode's, or a cascade's."""
        return self.model.folder_name

    def on_grid(self, grid: Grid) -> list[CaseScore]:
        """The scores on one grid, lowest Dice first."""
        return sorted((row for row in self.scores if row.grid == grid), key=lambda row: (row.dice, row.case_id))

    def worst_cases(self) -> list[str]:
        """The test cases with the lowest Dice on the CT's own grid, worst first."""
        return [row.case_id for row in self.on_grid("native")[:WORST_CASES]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of words; the first column is text, the others are numbers, but for the last one if it is said so."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    last_is_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the card: sentences, then tables with their headings, pairs of name and value, and a note.

    Attributes:
        figures: names of the pictures that belong here.
    """

    title: str
    sentences: tuple[str, ...] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    pairs: Mapping[str, str] = field(default_factory=dict)
    figures: tuple[str, ...] = ()
    note: str = ""


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
