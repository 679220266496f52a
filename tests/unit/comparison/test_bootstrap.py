import numpy as np
import pytest
from scipy.stats import binom, bootstrap, norm

from femseg.comparison.bootstrap import exact_bca, expanded_confidence, fewest_values, mean_interval


def interval(values, **changed):
    return mean_interval(np.array(values, float), **({"confidence": 0.95, "resamples": 2000, "seed": 0} | changed))


def test_the_interval_holds_the_mean_and_its_seed_fixes_it():
    values = [0.01, 0.03, -0.01, 0.02, 0.05, 0.02, 0.00, 0.04, 0.06]
    one = interval(values)
    assert one.low < np.mean(values) < one.high
    assert one == interval(values)
    assert one.low != interval(values, seed=1).low
    assert one.method == "BCa bootstrap, expanded, 2000 resamples of 9 cases, seed 0"


def test_up_to_eight_cases_all_resamples_are_taken_and_no_seed_is_needed():
    values = [0.01, 0.03, -0.01, 0.02, 0.05, 0.021, 0.00, 0.04]
    one = interval(values)
    assert one == interval(values, seed=1, resamples=100)
    assert one.method == "BCa bootstrap, expanded, all resamples of 8 cases"
    drawn = bootstrap(
        (np.array(values),), np.mean, n_resamples=200_000, confidence_level=expanded_confidence(0.95, 8),
        method="BCa", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert (one.low, one.high) == pytest.approx((drawn.low, drawn.high), abs=0.01 * (one.high - one.low))


def test_of_two_values_the_three_means_have_chances_of_a_quarter_a_half_and_a_quarter():
    values = np.array([1.0, 2.0])
    assert [exact_bca(values, level=level) for level in (0.4, 0.6)] == [(1.5, 1.5), (1.0, 2.0)]


def test_the_exact_interval_of_one_outlier_lies_where_its_bias_and_acceleration_put_it():
    values = np.array([0.0] * 7 + [8.0])  # resampled means are 0, 1, 2, … times binomial chances of 8 draws at 1/8
    chances = binom.pmf(range(9), 8, 1 / 8)
    bias = norm.ppf(chances[0] + chances[1] / 2)
    away = np.array([-1 / 7] * 7 + [1.0])  # the mean without a case is 8/7, or 0
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    for level in (0.5, 0.68, 0.8, 0.9, 0.95, 0.99):
        z = bias + norm.ppf([(1 - level) / 2, (1 + level) / 2])
        places = norm.cdf(bias + z / (1 - acceleration * z))
        assert exact_bca(values, level=level) == tuple(binom.ppf(places, 8, 1 / 8)), level


def test_more_confidence_makes_it_wider():
    values = [0.01, 0.03, -0.01, 0.02, 0.05, 0.02, 0.04, 0.03]
    narrow, wide = interval(values, confidence=0.8), interval(values, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "no interval: 0 cases, at least 6 needed at 95 %"),
        ([0.1], "no interval: 1 case, at least 6 needed at 95 %"),
        ([0.1, 0.2, 0.4, 0.3, 0.5], "no interval: 5 cases, at least 6 needed at 95 %"),
        ([0.02] * 6, "no interval: the difference is 0.02 in every case"),
    ],
)
def test_no_interval_is_made_up_where_there_is_no_spread_to_see(values, reason):
    one = interval(values)
    assert (one.low, one.high, one.method) == (None, None, reason)


@pytest.mark.parametrize(("confidence", "fewest"), [(0.5, 2), (0.75, 3), (0.9, 5), (0.95, 6), (0.99, 8)])
def test_fewer_cases_than_can_cover_at_the_rate_get_no_interval(confidence, fewest):
    assert fewest_values(confidence) == fewest
    values = [0.01 * i for i in range(fewest)]
    assert interval(values, confidence=confidence).low is not None
    assert interval(values[:-1], confidence=confidence).low is None


def test_an_interval_has_the_coverage_that_it_claims_within_reason():
    rng = np.random.default_rng(5)
    held = [one.low <= 0.0 <= one.high for one in (interval(rng.normal(size=25), resamples=300) for _ in range(120))]
    assert 0.85 <= np.mean(held) <= 1.0
