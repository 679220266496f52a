"""Two models on the same test cases: is the difference more than chance?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from femseg.comparison.bootstrap import Interval, mean_interval
from femseg.comparison.signed_rank import SignedRank, signed_rank
from femseg.metrics.definitions import metric_named
from femseg.metrics.scorecard import CaseScore, Grid

Verdict = Literal["better", "worse", "no difference shown", "too few cases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """One metric on one grid, `candidate` against `baseline`, case by case. Differences are candidate − baseline.

    Attributes:
        metric, grid: what was compared, and where.
        baseline, candidate: the models' names (input modes).
        n: pairs with a value on both sides.
        undefined_pairs: cases left out because either side has no value (an empty mask).
        baseline_mean, candidate_mean, mean_difference: over these pairs; None without any.
        interval: bootstrap interval of the mean difference, and how it was made or why there is none.
        test: Wilcoxon signed-rank test, and how it was made or why there is none.
        improved, worsened, tied: number of pairs in which the candidate is better, worse, equal.
        verdict: what the numbers allow one to say for this metric alone, at the level that belongs to the interval.
    """

    metric: str
    grid: Grid
    baseline: str
    candidate: str
    n: int
    undefined_pairs: tuple[str, ...]
    baseline_mean: float | None
    candidate_mean: float | None
    mean_difference: float | None
    interval: Interval
    test: SignedRank
    improved: int
    worsened: int
    tied: int
    verdict: Verdict

    def as_plain(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def paired_comparison(
    baseline: Sequence[CaseScore],
    candidate: Sequence[CaseScore],
    *,
    metric: str,
    grid: Grid,
    names: tuple[str, str] = ("raw", "gradient"),
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> PairedComparison:
    """Compare two models on one metric and grid, paired by case.

    Args:
        baseline, candidate: scores of the same cases; rows of other grids are passed over.
        metric: a name of `METRICS`.
        grid: "network" or "native".
        names: what to call baseline and candidate.
        confidence, resamples, seed: of the bootstrap interval; the test's level is 1 - confidence.
    Raises: ValueError if the two sides were not measured on the same cases, or a case stands twice.
    """
    kind = metric_named(metric)
    before, after = _by_case(baseline, grid, names[0]), _by_case(candidate, grid, names[1])
    if before.keys() != after.keys():
        missing = sorted(before.keys() ^ after.keys())
        raise ValueError(f"{names[0]} and {names[1]} on the {grid} grid: only one side has the cases {missing}")
    values = {case: (getattr(before[case], metric), getattr(after[case], metric)) for case in sorted(before)}
    pairs = np.array([[kind.compared(v) for v in pair] for pair in values.values() if None not in pair]).reshape(-1, 2)
    differences = np.round(pairs[:, 1] - pairs[:, 0], 12)  # equal scores must tie whatever their last bits
    interval = mean_interval(differences, confidence=confidence, resamples=resamples, seed=seed)
    test = signed_rank(differences)
    gains = np.array([kind.gain(difference) for difference in differences])
    return PairedComparison(
        metric=metric,
        grid=grid,
        baseline=names[0],
        candidate=names[1],
        n=len(pairs),
        undefined_pairs=tuple(case for case, pair in values.items() if None in pair),
        baseline_mean=float(pairs[:, 0].mean()) if len(pairs) else None,
        candidate_mean=float(pairs[:, 1].mean()) if len(pairs) else None,
        mean_difference=float(differences.mean()) if len(pairs) else None,
        interval=interval,
        test=test,
        improved=int((gains > 0).sum()),
        worsened=int((gains < 0).sum()),
        tied=int((gains == 0).sum()),
        verdict=_verdict(gains, interval, test, level=1.0 - confidence),
    )


def _by_case(scores: Sequence[CaseScore], grid: Grid, name: str) -> Mapping[str, CaseScore]:
    rows = [row for row in scores if row.grid == grid]
    by_case = {row.case_id: row for row in rows}
    if len(by_case) != len(rows):
        raise ValueError(f"{name} on the {grid} grid: a case stands there twice")
    return by_case


def _verdict(gains: NDArray[np.float64], interval: Interval, test: SignedRank, *, level: float) -> Verdict:
    """A difference is shown when the test and the interval both say so, and say the same."""
    if not len(gains) or (test.smallest_p is not None and test.smallest_p > level):
        return "too few cases"
    low, high = interval.low, interval.high
    if test.p_value is None or test.p_value >= level or low is None or high is None or low <= 0 <= high:
        return "no difference shown"
    return "better" if gains.mean() > 0 else "worse"
