"""The smallest difference that so many test cases could have shown."""

from functools import lru_cache

import numpy as np
from scipy.stats import norm

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
        return float((norm.ppf(1 - level / 2) + norm.ppf(POWER)) / np.sqrt(3 * n / np.pi))
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
