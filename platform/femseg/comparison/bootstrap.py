"""Interval of a mean by resampling cases."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from math import factorial, prod

import numpy as np
import scipy
from numpy.typing import NDArray


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
    bias = scipy.stats.norm.ppf(chances[means < mean].sum() + chances[means == mean].sum() / 2)
    without_one = (values.sum() - values) / (len(values) - 1)
    away = without_one.mean() - without_one
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    z = bias + scipy.stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    reached = np.cumsum(chances)
    places = np.searchsorted(reached, scipy.stats.norm.cdf(bias + z / (1 - acceleration * z)))
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


ALL_RESAMPLES_UP_TO = 8  # 6 435 that differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Confidence interval of a mean.

    Attributes:
        low, high: its ends; None where no honest interval can be given.
        confidence: for instance 0.95.
        method: how it was made, or why there is none.
    """

    low: float | None
    high: float | None
    confidence: float
    method: str


def mean_interval(values: NDArray[np.float64], *, confidence: float, resamples: int, seed: int) -> Interval:
    """Bias-corrected and accelerated bootstrap interval of the mean (Efron 1987), cases drawn with replacement.

    Resampling n cases shows a spread that is too small by √((n − 1) / n), and takes normal quantiles where so few
    cases call for Student's: below 20 cases the plain interval covers well under its rate. So its tails are taken at
    Φ(−√(n / (n − 1)) · t) instead, the "expanded" interval of Hesterberg 2015 (The American Statistician 69:371).
    Up to 8 cases all resamples are taken instead of draws: with so few the seed of draws would show in the ends.
    How often it then covers stands in docs/explanation/statistics.md.

    Returns: no ends below `fewest_values` or when all are equal (resampling then shows no spread, which is no proof
        that there is none); the percentile interval where the acceleration is not defined. `method` says which.
    """
    fewest = fewest_values(confidence)
    if len(values) < fewest:
        needed = f"at least {fewest} needed at {confidence * 100:g} %"
        return _without(confidence, f"no interval: {len(values)} case{'' if len(values) == 1 else 's'}, {needed}")
    if np.ptp(values) == 0:
        return _without(confidence, f"no interval: the difference is {values[0]:.6g} in every case")
    expanded = expanded_confidence(confidence, len(values))
    if len(values) <= ALL_RESAMPLES_UP_TO:
        low, high = exact_bca(values, level=expanded)
        stated = f"BCa bootstrap, expanded, all resamples of {len(values)} cases"
        return Interval(low=low, high=high, confidence=confidence, method=stated)
    for method, name in (("BCa", "BCa bootstrap"), ("percentile", "percentile bootstrap (BCa undefined here)")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)  # seen below: an end is no number
            ends = scipy.stats.bootstrap(
                (values,),
                np.mean,
                n_resamples=resamples,
                confidence_level=expanded,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        low, high = float(ends.low), float(ends.high)
        if math.isfinite(low) and math.isfinite(high):
            stated = f"{name}, expanded, {resamples} resamples of {len(values)} cases, seed {seed}"
            return Interval(low=low, high=high, confidence=confidence, method=stated)
    return _without(confidence, "no interval: the resampled means are not finite")


def fewest_values(confidence: float) -> int:
    """The fewest cases of which such an interval can cover at its rate: 6 at 95 %.

    Resampled means lie between the smallest and the largest value, and so does the interval, however wide it is taken.
    All n values lie on one side of the median with chance 2 · 0.5ⁿ, and of a symmetric distribution that is the mean.
    """
    fewest = 2
    while 1 - 2 * 0.5**fewest < confidence:
        fewest += 1
    return fewest


def expanded_confidence(confidence: float, n: int) -> float:
    """The level at which a percentile-like interval of n values is taken so that it covers at `confidence`."""
    tail = scipy.stats.norm.cdf(np.sqrt(n / (n - 1)) * scipy.stats.t.ppf((1 - confidence) / 2, n - 1))
    return float(1 - 2 * tail)


def _without(confidence: float, reason: str) -> Interval:
    return Interval(low=None, high=None, confidence=confidence, method=reason)
