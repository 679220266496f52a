"""How much of a difference's scatter is cases, how much the fold that was trained on, how much the seed; and of the
scatter of a search's Dice, how much is the learning rate, how much the input mode.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

_LEAST_BEYOND_THE_MODEL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedDifference:
    """Candidate − baseline of one test case, by the pair of models trained without this fold and with this seed."""

    fold: int
    seed: int
    case_id: str
    difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceComponents:
    """Where the scatter of paired differences comes from, as standard deviations in the metric's unit.

    Attributes:
        mean_difference: over folds, each counting by its cases.
        folds, seeds: how many there were.
        cases_sd: between cases, whatever was trained.
        folds_sd: between training sets, beyond what their test cases explain; None with one fold.
        seeds_sd: between trainings that differ in nothing but the seed; None with one seed.
        residual_sd: what is left: how a case fares with one seed and another; None with one seed.
        cases_df, folds_df, seeds_df, residual_df: degrees of freedom behind each; 0 where it is None.
        standard_error: of the mean difference if cases, folds and seeds were drawn anew; None with one training, and
            where nothing scatters, which is no proof that nothing would.
        standard_error_df: its degrees of freedom: folds − 1; with one fold, Satterthwaite's.
    """

    mean_difference: float
    folds: int
    seeds: int
    cases_sd: float
    folds_sd: float | None
    seeds_sd: float | None
    residual_sd: float | None
    cases_df: int
    folds_df: int
    seeds_df: int
    residual_df: int
    standard_error: float | None
    standard_error_df: float

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """Student's t interval of the mean difference that counts the trainings too; None without a standard error."""
        if self.standard_error is None or self.standard_error_df <= 0:
            return None
        reach = float(scipy.stats.t.ppf((1 + confidence) / 2, self.standard_error_df)) * self.standard_error
        return self.mean_difference - reach, self.mean_difference + reach


def variance_components(differences: Sequence[RepeatedDifference]) -> VarianceComponents:
    """Separate the variance of folds from that of seeds, by analysis of variance.

    The design: every case is a test case in exactly one fold, and is measured once with each seed of that fold. So
    cases and seeds are nested in folds and crossed within one: seed 3 of fold 1 shares nothing with seed 3 of fold 2
    but its name, since the same draws meet other data. With n cases and S seeds in a fold,

        difference = mean + fold + case + seed + residual,   all but the mean random, variances σ²_F, σ²_C, σ²_S, σ²_R;
        E[MS_case] = σ²_R + S σ²_C,   E[MS_seed] = σ²_R + n σ²_S,   E[MS_residual] = σ²_R   within a fold,
        E[variance of fold means] = σ²_F + σ²_S / S + mean over folds of E[MS_case] / (S n).

    Mean squares are pooled over folds and set equal to what is expected (method of moments: Searle, Casella & McCulloch
    1992, chapter 4): unbiased, without a distribution assumed. Where that comes out negative, 0 is given, which says
    that the component is too small to be seen. With few folds and seeds σ_F and σ_S are rough: five folds leave four
    degrees of freedom. The training sets of folds overlap, so σ_F says less than another cohort's scatter would, and no
    estimate from one cross-validation can be unbiased for that (Bengio & Grandvalet 2004).

    The standard error of the mean is read off the fold means, which hold all four scatters: F − 1 degrees of freedom,
    however many cases and seeds there are. With one fold it is (MS_case + MS_seed − MS_residual) / (S n),
    never taken below MS_case / (S n), with Satterthwaite's (1946) degrees of freedom.

    Raises: ValueError if a case stands in two folds, a fold's cases do not all have the same seeds, the folds differ in
        how many seeds they have, or a fold has fewer than two cases.
    """
    tables = [_table(differences, fold) for fold in sorted({d.fold for d in differences})]
    cases = [d.case_id for d in differences]
    if sum(len(table) for table in tables) != len(set(cases)):
        raise ValueError("a case stands in two folds; expected each in exactly one")
    seeds = {table.shape[1] for table in tables}
    if len(seeds) != 1 or min(len(table) for table in tables) < 2:
        raise ValueError("expected as many seeds in every fold, and at least two cases in each")
    (number_of_seeds,) = seeds
    squares = [_mean_squares(table) for table in tables]
    case_ms = _pooled([(s.case, len(t) - 1) for s, t in zip(squares, tables, strict=True)])
    fold_means = np.array([table.mean() for table in tables])
    seed_variance = residual = 0.0
    if number_of_seeds > 1:
        residual = _pooled(
            [(s.residual, (len(t) - 1) * (number_of_seeds - 1)) for s, t in zip(squares, tables, strict=True)]
        )
        seed_variance = float(np.mean([(s.seed - residual) / len(t) for s, t in zip(squares, tables, strict=True)]))
    of_cases = float(np.mean([case_ms / (number_of_seeds * len(table)) for table in tables]))
    fold_variance = float(fold_means.var(ddof=1)) if len(tables) > 1 else 0.0
    mean = float(np.concatenate([table.mean(axis=1) for table in tables]).mean())
    error, error_df = _of_fold_means(tables, mean) if len(tables) > 1 else _of_one_fold(squares[0], tables[0])
    known = error > 0 and (number_of_seeds > 1 or len(tables) > 1)
    return VarianceComponents(
        mean_difference=mean,
        folds=len(tables),
        seeds=number_of_seeds,
        cases_sd=_sd((case_ms - residual) / number_of_seeds),
        folds_sd=_sd(fold_variance - seed_variance / number_of_seeds - of_cases) if len(tables) > 1 else None,
        seeds_sd=_sd(seed_variance) if number_of_seeds > 1 else None,
        residual_sd=_sd(residual) if number_of_seeds > 1 else None,
        cases_df=sum(len(table) - 1 for table in tables),
        folds_df=len(tables) - 1,
        seeds_df=len(tables) * (number_of_seeds - 1),
        residual_df=sum((len(table) - 1) * (number_of_seeds - 1) for table in tables),
        standard_error=error if known else None,
        standard_error_df=error_df if known else 0.0,
    )


def _of_fold_means(tables: Sequence[NDArray[np.float64]], mean: float) -> tuple[float, float]:
    """Standard error of the mean over folds, each weighted by its cases, and its degrees of freedom."""
    weights = np.array([len(table) for table in tables]) / sum(len(table) for table in tables)
    scatter = sum(w**2 * (table.mean() - mean) ** 2 for w, table in zip(weights, tables, strict=True))
    folds = len(tables)
    return _sd(float(scatter) * folds / (folds - 1)), float(folds - 1)


def _of_one_fold(squares: "_MeanSquares", table: NDArray[np.float64]) -> tuple[float, float]:
    """The same of one fold's mean, by Satterthwaite."""
    cases, seeds = table.shape
    parts = [(squares.case, cases - 1)]
    if squares.seed > squares.residual:
        parts += [(squares.seed, seeds - 1), (-squares.residual, (cases - 1) * (seeds - 1))]
    total = sum(ms for ms, _ in parts)
    spread = sum(ms**2 / df for ms, df in parts)
    return _sd(total / table.size), total**2 / spread if spread else float(cases - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _MeanSquares:
    case: float
    seed: float
    residual: float


def _table(differences: Sequence[RepeatedDifference], fold: int) -> NDArray[np.float64]:
    """One fold's differences, shape (cases, seeds)."""
    cells = {(d.case_id, d.seed): d.difference for d in differences if d.fold == fold}
    cases, seeds = sorted({case for case, _ in cells}), sorted({seed for _, seed in cells})
    if len(cells) != len(cases) * len(seeds) or len(cells) != sum(d.fold == fold for d in differences):
        raise ValueError(f"fold {fold}: expected every case once with each of the seeds {seeds}")
    return np.array([[cells[case, seed] for seed in seeds] for case in cases])


def _mean_squares(table: NDArray[np.float64]) -> _MeanSquares:
    """Two-way analysis of variance without replication; 0 where there is one seed only."""
    cases, seeds = table.shape
    by_case, by_seed = table.mean(axis=1), table.mean(axis=0)
    left = table - by_case[:, None] - by_seed + table.mean()
    return _MeanSquares(
        case=float(seeds * by_case.var(ddof=1)),
        seed=float(cases * by_seed.var(ddof=1)) if seeds > 1 else 0.0,
        residual=float((left**2).sum() / ((cases - 1) * (seeds - 1))) if seeds > 1 else 0.0,
    )


def _pooled(mean_squares: Sequence[tuple[float, int]]) -> float:
    return sum(ms * df for ms, df in mean_squares) / sum(df for _, df in mean_squares)


def _sd(variance: float) -> float:
    return float(np.sqrt(max(0.0, variance)))


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceShares:
    """Shares of the variance of Dice over trials; together 1.

    Attributes:
        learning_rate: explained by a parabola in the logarithm of the learning rate, the same for all modes.
        input_mode: explained by a level of its own for each mode.
        learning_rate_by_noise, input_mode_by_noise: what each would explain on average of Dice that is noise alone.
        rest: neither: how the two act together, and chance.
        trials: that were looked at.
    """

    learning_rate: float
    input_mode: float
    learning_rate_by_noise: float
    input_mode_by_noise: float
    rest: float
    trials: int


def variance_shares(modes: Sequence[str], log_rates: Sequence[float], dice: Sequence[float]) -> VarianceShares | None:
    """Split the variance of Dice; what both explain (in trials that are not balanced) is shared evenly.

    Args:
        modes, log_rates, dice: of each trial, all trained equally long.
    Returns: None with too few trials for the model, or if all have the same Dice.
    Of pure noise k columns explain k / (trials − 1) on average, in whatever order they enter.

    Source: Lindeman, Merenda & Gold 1980: mean gain in R² over the orders in which the two can enter.
    """
    named = sorted(set(modes))
    if len(dice) < len(named) + 2 + _LEAST_BEYOND_THE_MODEL or np.ptp(dice) == 0.0:
        return None
    values, x = np.asarray(dice, float), np.asarray(log_rates, float)
    levels = np.array([[mode == name for name in named[1:]] for mode in modes], float)
    parabola = np.stack([x - x.mean(), (x - x.mean()) ** 2], axis=1)
    of_mode, of_rate = _r_squared(levels, values), _r_squared(parabola, values)
    of_both = _r_squared(np.hstack([levels, parabola]), values)
    return VarianceShares(
        learning_rate=max(0.0, (of_rate + of_both - of_mode) / 2),
        input_mode=max(0.0, (of_mode + of_both - of_rate) / 2),
        learning_rate_by_noise=parabola.shape[1] / (len(values) - 1),
        input_mode_by_noise=levels.shape[1] / (len(values) - 1),
        rest=1.0 - of_both,
        trials=len(values),
    )


def _r_squared(columns: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Of the least-squares fit with a constant."""
    design = np.hstack([np.ones((len(values), 1)), columns])
    fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    centred = values - values.mean()
    return float(1.0 - np.sum((values - fitted) ** 2) / np.sum(centred**2))
