import numpy as np
import pytest
from scipy.stats import wilcoxon

from femseg.comparison.paired import detectable_difference, detectable_shift_sd


@pytest.mark.parametrize("n", [6, 12, 30, 80])
def test_the_detectable_shift_is_found_by_wilcoxons_test_in_four_of_five_cohorts(n):
    cohorts = np.random.default_rng(n).normal(detectable_shift_sd(n, 0.05), 1.0, (600, n))
    method = "exact" if n <= 50 else "approx"
    power = np.mean([wilcoxon(cohort, method=method).pvalue < 0.05 for cohort in cohorts])
    assert power == pytest.approx(0.8, abs=0.05)


def test_more_cases_show_less_and_a_stricter_level_needs_more():
    shifts = [detectable_shift_sd(n, 0.05) for n in (6, 10, 20, 50, 51, 200)]
    assert shifts == sorted(shifts, reverse=True)
    assert detectable_shift_sd(20, 0.01) > detectable_shift_sd(20, 0.05)


def test_five_cases_show_nothing_however_large_it_is():
    assert detectable_shift_sd(5, 0.05) is None
    assert detectable_difference(1.5, n=5, level=0.05) is None


def test_it_is_in_the_unit_of_the_differences():
    assert detectable_difference(3.0, n=20, level=0.05) == pytest.approx(3 * detectable_shift_sd(20, 0.05))


@pytest.mark.parametrize("sd", [None, 0.0])
def test_without_spread_there_is_none(sd):
    assert detectable_difference(sd, n=20, level=0.05) is None
