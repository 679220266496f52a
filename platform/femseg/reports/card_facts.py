"""What a model's card is made from, and the parts that it is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from femseg.cohorts.case import Case
from femseg.cohorts.split import Split
from femseg.comparison.settings import CompareSettings
from femseg.metrics.scorecard import CaseScore, Grid

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
    model: Mapping[str, Any]
    cohort: str
    cases: Sequence[Case]
    split: Split
    scores: Sequence[CaseScore]
    lineage: Mapping[str, str]
    statistics: CompareSettings = field(default_factory=CompareSettings)

    @property
    def mode(self) -> str:
        """The model's input mode."""
        return str(self.model["input_mode"])

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
