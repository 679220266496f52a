import numpy as np
import pytest
from scipy.stats import ttest_1samp

from femseg.comparison.signed_rank import sign_flip


def flipped(*values, resamples=999, seed=0):
    return sign_flip(np.array(values, float), resamples=resamples, seed=seed)


def test_of_six_differences_that_agree_two_of_sixty_four_patterns_are_as_extreme():
    outcome = flipped(0.01, 0.02, 0.03, 0.04, 0.05, 0.06)
    assert outcome.p_value == pytest.approx(2 / 64)
    assert outcome.method == "sign-flip permutation of the mean, two-sided, exact over all sign patterns, n = 6"


def test_patterns_with_the_same_mean_count_as_extreme_whatever_their_last_bits():
    # +++ and ---, and the two where the one 0.3 outweighs: by hand 0.1 + 0.2 = 0.3, so six of eight reach |0|
    assert flipped(0.1, 0.2, -0.3).p_value == 1.0
    assert flipped(0.1, 0.2, 0.3).p_value == pytest.approx(2 / 8)


def test_many_differences_are_tested_on_drawn_patterns_that_never_give_zero():
    outcome = flipped(*np.linspace(1, 2, 30))
    assert outcome.p_value == pytest.approx(2 / 1000)
    assert "999 sign patterns, seed 0" in outcome.method
    assert outcome == flipped(*np.linspace(1, 2, 30))


def test_on_normal_differences_it_agrees_with_students_test():
    values = np.random.default_rng(0).normal(0.4, 1, 40)
    assert flipped(*values, resamples=9999).p_value == pytest.approx(ttest_1samp(values, 0).pvalue, abs=0.01)


@pytest.mark.parametrize(("n", "resamples", "exact"), [(13, 100, True), (14, 2**14, True), (14, 2**14 - 1, False)])
def test_all_patterns_are_tried_where_they_are_no_more_than_would_be_drawn(n, resamples, exact):
    outcome = flipped(*range(1, n + 1), resamples=resamples)
    assert ("exact over all sign patterns" in outcome.method) is exact
    if exact:
        assert outcome.p_value == pytest.approx(2 / 2**n)


@pytest.mark.parametrize(
    ("values", "reason"), [((), "no test: no pairs"), ((0.0, 0.0), "no test: every difference is zero")]
)
def test_nothing_to_flip_is_said(values, reason):
    assert (flipped(*values).p_value, flipped(*values).method) == (None, reason)


def test_a_single_case_proves_nothing():
    assert flipped(0.5).p_value == 1.0
