"""The interval beside Efron's formulae, written out."""

import numpy as np
import pytest
from scipy.stats import norm, t

from femseg.comparison.bootstrap import mean_interval


@pytest.mark.parametrize("values", [np.random.default_rng(3).gamma(2, size=15), np.arange(8.0) ** 2])
def test_the_interval_is_the_bca_interval_at_the_expanded_tails(values):
    n, rng = len(values), np.random.default_rng(99)
    means = np.sort(rng.choice(values, (200_000, n)).mean(axis=1))
    bias = norm.ppf((np.mean(means < values.mean()) + np.mean(means <= values.mean())) / 2)
    without_one = (values.sum() - values) / (n - 1)
    away = without_one.mean() - without_one
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    tail = norm.cdf(np.sqrt(n / (n - 1)) * t.ppf(0.025, n - 1))
    z = bias + norm.ppf([tail, 1 - tail])
    low, high = np.quantile(means, norm.cdf(bias + z / (1 - acceleration * z)))
    ours = mean_interval(values, confidence=0.95, resamples=100_000, seed=0)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.02 * (high - low))
