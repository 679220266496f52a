"""Two models on the same test cases: is the difference more than chance?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from femseg.comparison.bootstrap import Interval, mean_interval
from femseg.comparison.signed_rank import SignedRank, SignFlip, sign_flip, signed_rank
from femseg.comparison.verdict import Relevance, Verdict, relevance, verdict
from femseg.metrics.definitions import metric_named
from femseg.metrics.scorecard import CaseScore, Grid

POWER = 0.8
_SIMULATED_UP_TO = 50  # cases; beyond, the normal approximation is good to a hundredth
_COHORTS = 4000


def detectable_difference(sd: float | None, *, n: int, level: float) -> float | None:
    """Mean difference that the two-sided Wilcoxon test would have shown in 80 % of such studies.

    "Such" means: as many cases, differences normal about their mean, the standard deviation seen here the true one.
    It is a statement about the size of the study, and is not computed from the difference that was found ("observed
    power" would only say p again; Hoenig & Heisey 2001).

    Args:
        sd: standard deviation of the paired differences.
        n: how many there are.
        level: of the test.
    Returns: in the metric's unit; None if the differences have no spread, or if so few cases show nothing whatever the
        difference.
    """
    if not sd:
        return None
    shift_sd = detectable_shift_sd(n, level)
    return None if shift_sd is None else shift_sd * sd


@lru_cache(maxsize=64)
def detectable_shift_sd(n: int, level: float) -> float | None:
    """The same in standard deviations of the differences, for n cases; None if no p can fall below the level.

    The signed-rank sum is the number of Walsh averages (means of two differences, or of one with itself) above zero.
    A shift moves them all alike, so each simulated cohort turns significant at one shift: its c-th largest Walsh
    average with the sign turned, where c is the test's critical value. The answer is the 80th percentile of these.
    Beyond 50 cases: (z₁₋α/₂ + z₀.₈) / √(3 n / π), from the test's efficiency for normal differences.
    """
    critical = _critical_rank_sum(n, level)
    if critical is None:
        return None
    if n > _SIMULATED_UP_TO:
        return float((scipy.stats.norm.ppf(1 - level / 2) + scipy.stats.norm.ppf(POWER)) / np.sqrt(3 * n / np.pi))
    values = np.random.default_rng(0).normal(size=(_COHORTS, n))
    first, second = np.triu_indices(n)
    walsh = (values[:, first] + values[:, second]) / 2
    turns_at = -np.partition(walsh, -critical, axis=1)[:, -critical]
    return float(np.quantile(turns_at, POWER))


def _critical_rank_sum(n: int, level: float) -> int | None:
    """The smallest sum of positive ranks whose one-sided chance is at most half the level."""
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, n + 1):
        ways[rank:] = (ways[rank:] + ways[:-rank]) / 2
        ways[:rank] /= 2
    upper = np.cumsum(ways[::-1])[::-1]
    reached = np.flatnonzero(upper <= level / 2 * (1 + 1e-9))
    return int(reached[0]) if reached.size else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """One metric on one grid, `candidate` against `baseline`, case by case. Differences are candidate − baseline.

    Attributes:
        metric, grid: what was compared, and where.
        baseline, candidate: the models' names (input modes).
        n: pairs with a value on both sides.
        undefined_pairs: cases left out because either side has no value (an empty mask).
        baseline_mean, candidate_mean, mean_difference: over these pairs; None without any. Of a metric that should be
            near zero, its size without the sign is compared.
        interval: bootstrap interval of the mean difference, and how it was made or why there is none.
        test: Wilcoxon signed-rank test, and how it was made or why there is none; this one decides.
        permutation: sign-flip permutation test of the mean, beside it.
        tests: how many tests the p-value was adjusted for; 1 if it stands alone.
        adjusted_p: Wilcoxon's p after that; None without a test.
        standardised_difference: mean difference over the standard deviation of the differences (Cohen's d_z; Lakens
            2013); None without spread. The other effect size is `test.rank_biserial`.
        differences_sd: standard deviation of the differences; None below two.
        detectable_difference: what so many cases would have shown in 80 % of such studies; see power.py. In a family
            at level / tests (Bonferroni: cautious, since Holm asks less of later rows).
        margin: what matters in practice, in the metric's unit; 0 if nothing is set.
        relevance: where the interval lies beside that margin.
        improved, worsened, tied: number of pairs in which the candidate is better, worse, equal.
        verdict: what the numbers allow one to say, at the level that belongs to the interval.
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
    permutation: SignFlip
    tests: int
    adjusted_p: float | None
    standardised_difference: float | None
    differences_sd: float | None
    detectable_difference: float | None
    margin: float
    relevance: Relevance
    improved: int
    worsened: int
    tied: int
    verdict: Verdict

    @property
    def level(self) -> float:
        """Of the tests: what the interval's confidence leaves."""
        return 1.0 - self.interval.confidence

    def among(self, tests: int, adjusted_p: float | None) -> "PairedComparison":
        """The same comparison as one of a family of tests: its p-value and verdict are those that hold there."""
        gain = None if self.mean_difference is None else metric_named(self.metric).gain(self.mean_difference)
        said = verdict(
            mean_gain=gain, interval=self.interval, test=self.test, adjusted_p=adjusted_p, tests=tests, level=self.level
        )
        detectable = detectable_difference(self.differences_sd, n=self.n, level=self.level / tests)
        return replace(self, tests=tests, adjusted_p=adjusted_p, verdict=said, detectable_difference=detectable)

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
    margin: float = 0.0,
) -> PairedComparison:
    """Compare two models on one metric and grid, paired by case, as if this were the only test.

    Args:
        baseline, candidate: scores of the same cases; rows of other grids are passed over.
        metric: a name of `METRICS`.
        grid: "network" or "native".
        names: what to call baseline and candidate.
        confidence, resamples, seed: of the bootstrap interval; the tests' level is 1 - confidence.
        margin: the smallest difference that matters, in the metric's unit; 0 sets none.
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
    test, sd = signed_rank(differences), _sd(differences)
    gains = np.array([kind.gain(difference) for difference in differences])
    alone = PairedComparison(
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
        permutation=sign_flip(differences, resamples=resamples, seed=seed),
        tests=1,
        adjusted_p=test.p_value,
        standardised_difference=float(differences.mean() / sd) if sd else None,
        differences_sd=sd,
        detectable_difference=None,
        margin=margin,
        relevance=relevance(interval, margin),
        improved=int((gains > 0).sum()),
        worsened=int((gains < 0).sum()),
        tied=int((gains == 0).sum()),
        verdict="no difference shown",
    )
    return alone.among(1, test.p_value)


def _sd(differences: NDArray[np.float64]) -> float | None:
    """0 and not its last bits where all are equal."""
    if len(differences) < 2:
        return None
    return float(differences.std(ddof=1)) if np.ptp(differences) else 0.0


def _by_case(scores: Sequence[CaseScore], grid: Grid, name: str) -> Mapping[str, CaseScore]:
    rows = [row for row in scores if row.grid == grid]
    by_case = {row.case_id: row for row in rows}
    if len(by_case) != len(rows):
        raise ValueError(f"{name} on the {grid} grid: a case stands there twice")
    return by_case
