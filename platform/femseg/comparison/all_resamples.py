"""Every resample of a few values, with its chance: what drawing ever more of them comes to."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm


def exact_bca(values: NDArray[np.float64], *, level: float) -> tuple[float, float]:
    """Ends of Efron's BCa interval of the mean over all resamples, without any draw.

    Args:
        values: few; of 8 there are 6 435 resamples that differ. Not all equal.
        level: for instance 0.95.
    Source: Efron 1987; all resamples with their multinomial chances: Diaconis & Holmes 1994, Statistics and Computing
        4:287.
    """
    counts, chances = _resamples(len(values))
    means = np.round(counts @ values / len(values), 12)  # equal means must be equal whatever their last bits
    order = np.argsort(means, kind="stable")
    means, chances = means[order], chances[order]
    mean = np.round(values.mean(), 12)
    bias = norm.ppf(chances[means < mean].sum() + chances[means == mean].sum() / 2)
    without_one = (values.sum() - values) / (len(values) - 1)
    away = without_one.mean() - without_one
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    z = bias + norm.ppf([(1 - level) / 2, (1 + level) / 2])
    reached = np.cumsum(chances)
    places = np.searchsorted(reached, norm.cdf(bias + z / (1 - acceleration * z)))
    low, high = means[np.minimum(places, len(means) - 1)]
    return float(low), float(high)


@lru_cache(maxsize=16)
def _resamples(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How often each of n values stands in a resample, shape (resamples, n), and the chance of that resample."""
    drawn: list[Sequence[int]] = [
        np.bincount(chosen, minlength=n).tolist() for chosen in combinations_with_replacement(range(n), n)
    ]
    chances = [factorial(n) / prod(map(factorial, counts)) / n**n for counts in drawn]
    return np.array(drawn, dtype=np.float64), np.array(chances)
