"""Shares of variance, against trials whose shares are known."""

import itertools

import numpy as np
import pytest

from femseg.comparison.variance import variance_shares

RATES = (-4.0, -3.0, -2.0, -1.0)
GRID = list(itertools.product(("gradient", "raw"), RATES))


def shares(dice_of):
    modes, rates = zip(*GRID, strict=True)
    return variance_shares(modes, rates, [dice_of(mode, rate) for mode, rate in GRID])


def test_what_only_the_learning_rate_decides_is_the_learning_rate_s():
    found = shares(lambda mode, rate: 0.8 - 0.1 * (rate + 2) ** 2)
    assert (found.learning_rate, found.input_mode, found.rest) == pytest.approx((1, 0, 0), abs=1e-9)
    assert found.trials == 8


def test_what_only_the_input_decides_is_the_input_s():
    found = shares(lambda mode, rate: 0.8 if mode == "raw" else 0.7)
    assert (found.learning_rate, found.input_mode, found.rest) == pytest.approx((0, 1, 0), abs=1e-9)


def test_balanced_trials_split_by_sums_of_squares():
    # Level ±0.1: variance 0.01. Slope 0.1 on -1.5, -0.5, 0.5, 1.5: variance 0.0125.
    found = shares(lambda mode, rate: 0.5 + (0.1 if mode == "raw" else -0.1) + 0.1 * (rate + 2.5))
    assert found.input_mode == pytest.approx(0.01 / 0.0225)
    assert found.learning_rate == pytest.approx(0.0125 / 0.0225)


def test_what_depends_on_both_together_is_the_rest_s():
    found = shares(lambda mode, rate: 0.5 + (1 if mode == "raw" else -1) * 0.1 * (rate + 2.5))
    assert (found.learning_rate, found.input_mode, found.rest) == pytest.approx((0, 0, 1), abs=1e-9)


def test_shares_add_up_to_one_in_trials_that_are_not_balanced():
    modes, rates = ["raw"] * 5 + ["gradient"] * 2, [-4.0, -3.5, -3.0, -2.0, -1.0, -2.5, -1.2]
    found = variance_shares(modes, rates, [0.2, 0.5, 0.1, 0.9, 0.4, 0.6, 0.3])
    assert found.learning_rate + found.input_mode + found.rest == pytest.approx(1)


def test_noise_explains_on_average_as_much_as_is_said():
    rng = np.random.default_rng(0)
    found = [shares(lambda mode, rate: rng.normal()) for _ in range(2000)]
    assert (found[0].learning_rate_by_noise, found[0].input_mode_by_noise) == pytest.approx((2 / 7, 1 / 7))
    assert np.mean([one.learning_rate for one in found]) == pytest.approx(2 / 7, abs=0.02)
    assert np.mean([one.input_mode for one in found]) == pytest.approx(1 / 7, abs=0.02)


@pytest.mark.parametrize("trials", [0, 1, 5], ids=str)
def test_too_few_trials_tell_nothing(trials):
    modes, rates = ["raw", "gradient", "raw", "gradient", "raw"][:trials], [-4.0, -3.0, -2.0, -1.0, -1.5][:trials]
    assert variance_shares(modes, rates, [0.1 * n for n in range(trials)]) is None


def test_equal_trials_tell_nothing():
    assert shares(lambda mode, rate: 0.5) is None
