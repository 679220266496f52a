"""Interval of a mean by resampling cases."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap, norm
from scipy.stats import t as student

from femseg.comparison.all_resamples import exact_bca

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
            warnings.simplefilter("ignore", DegenerateDataWarning)  # seen below, as an end that is not a number
            ends = bootstrap(
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
    tail = norm.cdf(np.sqrt(n / (n - 1)) * student.ppf((1 - confidence) / 2, n - 1))
    return float(1 - 2 * tail)


def _without(confidence: float, reason: str) -> Interval:
    return Interval(low=None, high=None, confidence=confidence, method=reason)
