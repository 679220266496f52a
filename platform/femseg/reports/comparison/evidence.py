"""What a comparison report is made from: plain values, read from the files that the stages left."""

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from femseg.comparison.family import PRIMARY_GRID, PRIMARY_METRIC, as_one_family, baseline_of, deciding_grid
from femseg.comparison.paired import PairedComparison, paired_comparison
from femseg.comparison.repeats import ScoredTraining, compared_means, repeated_differences
from femseg.comparison.subgroups import Subgroup, subgroup_table
from femseg.comparison.variance import VarianceComponents, variance_components
from femseg.errors import Refusal
from femseg.metrics.definitions import METRICS
from femseg.metrics.scorecard import GRIDS, CaseScore, Grid

HEADLINE_METRIC, HEADLINE_GRID = PRIMARY_METRIC, PRIMARY_GRID


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One iteration of one training; None where nothing was measured."""

    iteration: int
    train_dice_loss: float | None
    validation_dice: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePicture:
    """One test case on the network grid, for the figures.

    Array axes run inferior → superior, anterior → posterior, right → left: slices then show as a radiologist expects.

    Attributes:
        case_id: the case as the manifest names it.
        spacing_mm_zyx: distance of neighbouring voxels along (z, y, x) of the network grid.
        ct_zyx, gradient_zyx: the two network inputs, 0…1.
        reference_zyx: annotated femur, bool.
        predicted_zyx: predicted femur by input mode, bool.
    """

    case_id: str
    spacing_mm_zyx: tuple[float, float, float]
    ct_zyx: NDArray[np.float32]
    gradient_zyx: NDArray[np.float32]
    reference_zyx: NDArray[np.bool_]
    predicted_zyx: Mapping[str, NDArray[np.bool_]]

    def __post_init__(self) -> None:
        shape = self.ct_zyx.shape
        for array in (self.gradient_zyx, self.reference_zyx, *self.predicted_zyx.values()):
            if array.shape != shape:
                raise ValueError(f"picture of {self.case_id}: arrays of shape {array.shape} beside a CT of {shape}")


LoadPicture = Callable[[str], CasePicture]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonEvidence:
    """Everything that the report says, before it is said.

    Attributes:
        cohort: name of the cohort, for the heading.
        split_sizes: cases by part, for instance {"train": 10, "validation": 2, "test": 6}.
        scores: test scores by input mode, on both grids; "raw", the baseline, comes first. Means over seeds, if each
            mode was trained with several.
        composition: who is in each part of the split, as a table, its head first; may be empty.
        trainings: the same for each training by itself, by input mode; empty if each mode was trained once.
        threshold: test scores of the plain threshold; may be empty.
        threshold_hu: the threshold.
        curves: by input mode the curve of each of its trainings.
        provenance: label → value, in the order in which they are shown.
        groups: trait → case id → group, for the table of subgroups; may be empty.
        patients_with_several: how many patients have more than one of the test cases.
        confidence, resamples, seed: of the bootstrap intervals.
        dice_margin: the smallest difference in Dice that matters; 0 sets none.
    """

    cohort: str
    split_sizes: Mapping[str, int]
    scores: Mapping[str, Sequence[CaseScore]]
    threshold: Sequence[CaseScore]
    threshold_hu: float
    curves: Mapping[str, Sequence[Sequence[CurvePoint]]]
    provenance: Mapping[str, str]
    composition: Sequence[tuple[str, ...]] = ()
    trainings: Mapping[str, Sequence[ScoredTraining]] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    patients_with_several: int = 0
    confidence: float = 0.95
    resamples: int = 10_000
    seed: int = 0
    dice_margin: float = 0.0

    def __post_init__(self) -> None:
        if not self.scores or not all(self.on_grid(mode, HEADLINE_GRID) for mode in self.scores):
            raise ValueError(f"scores: expected test cases on the {HEADLINE_GRID} grid for every input mode")

    @property
    def modes(self) -> tuple[str, ...]:
        """Input modes, the baseline first."""
        return tuple(self.scores)

    @property
    def grids(self) -> tuple[Grid, ...]:
        """Grids that were measured on."""
        return tuple(grid for grid in GRIDS if self.on_grid(self.modes[0], grid))

    def on_grid(self, mode: str, grid: Grid) -> tuple[CaseScore, ...]:
        """One mode's scores on one grid."""
        return self._on(self.scores[mode], grid)

    @staticmethod
    def _on(scores: Iterable[CaseScore], grid: Grid) -> tuple[CaseScore, ...]:
        return tuple(row for row in scores if row.grid == grid)

    def comparisons(self) -> tuple[PairedComparison, ...]:
        """Every other mode against its baseline, on each grid and metric; adjusted within each candidate's family."""
        return tuple(
            comparison for candidate in self.modes[1:] for comparison in as_one_family(self._comparisons_of(candidate))
        )

    def _comparisons_of(self, candidate: str) -> list[PairedComparison]:
        baseline = self.baseline_of(candidate)
        before, after = self._compared(baseline), self._compared(candidate)
        return [
            paired_comparison(
                before,
                after,
                metric=metric.name,
                grid=grid,
                names=(baseline, candidate),
                confidence=self.confidence,
                resamples=self.resamples,
                seed=self.seed,
                margin=self.dice_margin if metric.name == "dice" else 0.0,
            )
            for grid in self.grids
            for metric in METRICS
        ]

    def _compared(self, mode: str) -> Sequence[CaseScore]:
        """Signed scores average out over seeds: what is off with each of them is compared by its mean size."""
        return compared_means(self.trainings[mode]) if self.trainings else self.scores[mode]

    def baseline_of(self, candidate: str) -> str:
        """What a mode is compared with."""
        return baseline_of(candidate, self.modes)

    def grid_of(self, candidate: str) -> Grid:
        """Where Dice decides about it."""
        return deciding_grid(self.baseline_of(candidate))

    @property
    def folds(self) -> int:
        """Folds of a cross-validation; 1 if there is none."""
        return len({training.fold for of_mode in self.trainings.values() for training in of_mode}) or 1

    @property
    def seeds(self) -> int:
        """Trainings of each input on each fold."""
        return len({training.seed for of_mode in self.trainings.values() for training in of_mode}) or 1

    def scatter(self) -> dict[str, VarianceComponents | None]:
        """Where the scatter of Dice differences comes from, by candidate; None if a fold tests a single case.

        Empty if each input was trained once.
        """
        if self.folds * self.seeds == 1:
            return {}
        tested = Counter(t.fold for t in self.trainings[self.modes[0]] for _ in self._on(t.scores, HEADLINE_GRID))
        if min(tested.values()) < 2 * self.seeds:
            return dict.fromkeys(self.modes[1:])
        return {
            candidate: variance_components(
                repeated_differences(
                    self.trainings[self.baseline_of(candidate)],
                    self.trainings[candidate],
                    metric=HEADLINE_METRIC,
                    grid=self.grid_of(candidate),
                )
            )
            for candidate in self.modes[1:]
        }

    def subgroups(self) -> dict[str, tuple[Subgroup, ...]]:
        """Dice on the deciding grid within groups of cases, by candidate; empty without groups."""
        if not self.groups:
            return {}
        return {
            candidate: subgroup_table(
                self.scores[self.baseline_of(candidate)],
                self.scores[candidate],
                self.groups,
                metric=HEADLINE_METRIC,
                grid=self.grid_of(candidate),
                confidence=self.confidence,
                resamples=self.resamples,
                seed=self.seed,
            )
            for candidate in self.modes[1:]
        }

    def cases_worst_first(self) -> tuple[str, ...]:
        """Test cases by their Dice on the network grid, averaged over the input modes."""
        dice: dict[str, list[float]] = {}
        for mode in self.modes:
            for row in self.on_grid(mode, HEADLINE_GRID):
                dice.setdefault(row.case_id, []).append(row.dice)
        return tuple(sorted(dice, key=lambda case: (float(np.mean(dice[case])), case)))

    def pictured_cases(self) -> dict[str, str]:
        """The worst, the median and the best test case: label → case id; fewer if there are fewer cases.

        Of an even number there is no median case: the better of the middle two is shown, and called a middle one.
        """
        cases = self.cases_worst_first()
        if len(cases) == 1:
            return {"only case": cases[0]}
        ends = {"worst": cases[0], "best": cases[-1]}
        if len(cases) == 2:
            return ends
        middle = "median" if len(cases) % 2 else "a middle case"
        return {"worst": cases[0], middle: cases[len(cases) // 2], "best": cases[-1]}


def read_curve(folder: Path) -> tuple[CurvePoint, ...]:
    """Read the curve that a training left: training.csv and, of the validated iterations, validation.csv.

    Raises: Refusal (exit 4) that names the file if one is missing, torn, or holds what is no finite number.
    """
    losses = _column(folder / "training.csv", "train_dice_loss")
    dice = _column(folder / "validation.csv", "validation_dice")
    return tuple(
        CurvePoint(iteration=n, train_dice_loss=losses.get(n), validation_dice=dice.get(n))
        for n in sorted(losses.keys() | dice.keys())
    )


def _column(path: Path, name: str) -> dict[int, float]:
    """Iteration → value of one CSV column; iterations with an empty cell are absent."""
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
        column = {int(row["iteration"]): float(row[name]) for row in rows if row[name] != ""}
        if not all(math.isfinite(value) for value in column.values()):
            raise ValueError(f"{name} is not finite everywhere")
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        problem = "is missing" if isinstance(error, FileNotFoundError) else f"is no training curve ({error!r})"
        fix = "run the `train` stage again (`dvc repro`), or `dvc pull`"
        raise Refusal.of("ST-02", path, problem, fix) from error
    return column
