"""Training again with other folds and seeds: which trainings, and what they come to for each test case."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Literal

from femseg.cohorts.settings import read_arrays
from femseg.cohorts.split import SplitSettings
from femseg.comparison.variance import RepeatedDifference
from femseg.comparison.verdict import DEFAULT_THRESHOLD_HU
from femseg.errors import Refusal
from femseg.metrics.definitions import METRICS, metric_named
from femseg.metrics.scorecard import CaseScore, Grid
from femseg.paths import PARAMS
from femseg.settings import read_section
from femseg.volumes.network_input import InputMode


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatSettings:
    """The `repeats:` section of params.yaml: what is trained again, at both scales, besides the model to register.

    Attributes:
        folds: of the `split.folds` parts, each once held out, from 0; empty with `seeds` empty: nothing is repeated.
        seeds: each fold is trained once with each of them.
    """

    folds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("folds", "seeds"):
            values = getattr(self, name)
            if len(set(values)) != len(values) or min(values, default=0) < 0:
                raise ValueError(f"{name}: expected whole numbers from 0, each once, got {list(values)}")
        if bool(self.folds) != bool(self.seeds):
            raise ValueError(f"expected folds and seeds, or neither; got {list(self.folds)} and {list(self.seeds)}")

    @property
    def trainings(self) -> tuple[tuple[int, int], ...]:
        """Fold and seed of each."""
        return tuple(product(self.folds, self.seeds))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredTraining:
    """One training's scores on the test cases of its fold."""

    fold: int
    seed: int
    scores: tuple[CaseScore, ...]


def refuse_unfit(
    repeats: RepeatSettings, split: SplitSettings, *, seeds: Mapping[str, int], searched: Sequence[str]
) -> None:
    """Check what is repeated against the split and the trainings that it repeats.

    Args:
        seeds: by setting, of the scales that are trained: `train.seed`, and perhaps `refine.train.seed`.
        searched: the learning rates, by setting, that a search finds on the fold `split.fold`.
    Raises: Refusal (CFG-02, exit 2) if a fold is none of the split, if the registered model's own fold and seed are not
        among them, if the scales differ in seed, or if a search has seen cases that another fold tests on.
    """
    if not repeats.folds:
        return
    problem = ""
    if beyond := [fold for fold in repeats.folds if fold >= split.folds]:
        problem = f"repeats.folds names {beyond}, split.folds is {split.folds}"
        fix = f"name folds from 0 to {split.folds - 1}, or raise split.folds"
    elif len(set(seeds.values())) > 1:
        problem = f"{' and '.join(f'{name} {seed}' for name, seed in seeds.items())} differ, but a repeat has one seed"
        fix = "give them the same number"
    elif (split.fold, next(iter(seeds.values()))) not in repeats.trainings:
        named = ", ".join(f"{name} {seed}" for name, seed in seeds.items())
        problem = f"the model to register (split.fold {split.fold}, {named}) is not among the repeats"
        fix = "add its fold and its seed to repeats, so that the report speaks of it too"
    elif searched and set(repeats.folds) != {split.fold}:
        problem = f"{searched[0]} is 'search', and the search has seen cases that other folds test on"
        fix = f"give {searched[0]} a number, or repeat seeds of one fold only"
    if problem:
        raise Refusal.of("CFG-02", PARAMS, problem, fix)


def mean_over_seeds(trainings: Sequence[ScoredTraining]) -> tuple[CaseScore, ...]:
    """Each case's scores averaged over the trainings that tested it; undefined if any of them is.

    Raises: ValueError if a case was not tested as often as the others: its mean would not be of the same kind.
    """
    rows: dict[tuple[Grid, str], list[CaseScore]] = {}
    for training in trainings:
        for row in training.scores:
            rows.setdefault((row.grid, row.case_id), []).append(row)
    if len({len(of_case) for of_case in rows.values()}) > 1:
        raise ValueError("expected every case tested by as many trainings as the others")
    return tuple(_mean(of_case) for _, of_case in sorted(rows.items()))


def compared_means(trainings: Sequence[ScoredTraining]) -> tuple[CaseScore, ...]:
    """The same of what a comparison takes: of a metric that should be near zero, the mean of its sizes.

    A mask too small by 30 ml with one seed and too large by 30 ml with another is off by 30 ml, not by 0.
    """
    return mean_over_seeds(
        [replace(training, scores=tuple(map(_as_compared, training.scores))) for training in trainings]
    )


def _as_compared(row: CaseScore) -> CaseScore:
    values = {metric.name: getattr(row, metric.name) for metric in METRICS if metric.better == "nearer to zero"}
    sizes = {name: None if value is None else metric_named(name).compared(value) for name, value in values.items()}
    return replace(row, **sizes)  # type: ignore[arg-type]


def _mean(rows: Sequence[CaseScore]) -> CaseScore:
    names = [field.name for field in fields(CaseScore) if field.name not in ("case_id", "grid")]
    values = {name: [getattr(row, name) for row in rows] for name in names}
    means = {name: None if None in of else math.fsum(of) / len(of) for name, of in values.items()}
    return CaseScore(case_id=rows[0].case_id, grid=rows[0].grid, **means)  # type: ignore[arg-type]


def repeated_differences(
    baseline: Sequence[ScoredTraining], candidate: Sequence[ScoredTraining], *, metric: str, grid: Grid
) -> tuple[RepeatedDifference, ...]:
    """Candidate − baseline of each case, training by training; of a metric that is always defined, such as Dice.

    Raises: ValueError if the two sides were not trained with the same folds and seeds, or not tested on the same cases.
    """
    before, after = (_values(side, metric, grid) for side in (baseline, candidate))
    if before.keys() != after.keys():
        raise ValueError("expected the same folds, seeds and cases on both sides")
    return tuple(
        RepeatedDifference(fold=fold, seed=seed, case_id=case, difference=after[fold, seed, case] - value)
        for (fold, seed, case), value in sorted(before.items())
    )


def _values(trainings: Sequence[ScoredTraining], metric: str, grid: Grid) -> dict[tuple[int, int, str], float]:
    return {
        (training.fold, training.seed, row.case_id): getattr(row, metric)
        for training in trainings
        for row in training.scores
        if row.grid == grid
    }


BEST = "best"
Training = InputMode | Literal["best"]


COMPARED: frozenset[InputMode] = frozenset({"raw", "gradient"})  # what is compared, whatever else is trained


def read_input_modes(file: Path = PARAMS) -> tuple[InputMode, ...]:
    """The input modes that are trained. Raises: Refusal (exit 2) if one is unknown or named twice, or if none is."""
    modes: tuple[InputMode, ...] = read_section(tuple[InputMode, ...], "input_modes", file=file)
    if not modes or len(set(modes)) != len(modes):
        raise _unfit_modes(modes, "at least one, each once", file)
    return modes


def read_compared_modes(file: Path = PARAMS) -> tuple[InputMode, ...]:
    """The same where they are compared, the baseline first. Raises: Refusal, also if "raw" or "gradient" is missing."""
    modes = read_input_modes(file)
    if not COMPARED.issubset(modes):
        raise _unfit_modes(modes, "raw, gradient and perhaps both, which are compared", file)
    return modes


def _unfit_modes(modes: tuple[InputMode, ...], expected: str, file: Path) -> Refusal:
    return Refusal.of(
        "CFG-01", file, f"input_modes: expected {expected}, got {', '.join(modes)}", "correct this setting"
    )


def read_trainings() -> tuple[Training, ...]:
    """What is trained at the finer scale: input modes, or "best", the one that was best at the coarser scale.

    Raises: Refusal CFG-02 (exit 2) if one is none of those whose arrays are made.
    """
    trainings: tuple[Training, ...] = read_section(tuple[Training, ...], "refine.trainings")
    modes = read_section(tuple[InputMode, ...], "refine.input_modes")
    if BEST in trainings and len(trainings) > 1:
        problem = f"refine.trainings are {list(trainings)}: '{BEST}' is one of the inputs, and would be trained twice"
        raise Refusal.of("CFG-02", PARAMS, problem, f"name inputs, or '{BEST}' alone")
    if lacking := [one for one in trainings if one not in modes and not (one == BEST and modes)]:
        problem = f"refine.trainings names '{lacking[0]}', but refine.input_modes are {list(modes)}"
        raise Refusal.of("CFG-02", PARAMS, problem, "name it among refine.input_modes, or drop the training")
    if trainings and read_arrays("refine").spacing_mm_zyx is None:
        problem = "refine.arrays names no spacing_mm_zyx, so its patches would differ in scale from scan to scan"
        raise Refusal.of("CFG-02", PARAMS, problem, "set it near the spacing of the CTs")
    return trainings


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """How input modes are compared.

    Attributes:
        cohort_name: what report and card call the cohort; empty: named after `cohort.source`.
        threshold_hu: of the plain threshold beside the models.
        confidence: of the bootstrap intervals; the tests' level is what it leaves.
        resamples: bootstrap resamples of the cases, and sign patterns of the permutation test.
        seed: of both.
        dice_margin: the smallest difference in Dice that matters in practice; 0 sets none.
    """

    cohort_name: str = ""
    threshold_hu: float = DEFAULT_THRESHOLD_HU
    confidence: float = 0.95
    resamples: int = 10_000
    seed: int = 0
    dice_margin: float = 0.01

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1.0:
            raise ValueError(f"confidence: expected from 0.5 up to below 1, got {self.confidence}")
        if self.resamples < 100:
            raise ValueError(f"resamples: expected at least 100, got {self.resamples}")
        if not 0.0 <= self.dice_margin < 1.0:
            raise ValueError(f"dice_margin: expected from 0 up to below 1, got {self.dice_margin}")
