"""What the statistics find on cohorts whose truth is known, as benchmarks/results/simulated_cohorts.md has it."""

import numpy as np
import pytest
from documentation import ROOT
from scores import case_score

from femseg.comparison.family import as_one_family
from femseg.comparison.paired import paired_comparison
from femseg.metrics.definitions import METRICS

from .simulated_cohorts import CASES, DRAWS, outcomes, table_row

PAGE = "benchmarks/results/simulated_cohorts.md"


def assert_honest(rates, *, cohorts, skewed, n):
    """Within the simulation's own error (three standard errors) of what is claimed."""
    error = 3 * np.sqrt(0.05 * 0.95 / cohorts)
    assert rates["covered"] > 0.95 - error - (0.03 if n < 20 or skewed else 0.015)
    assert rates["permutation"] < 0.05 + error + (0.02 if skewed else 0)
    assert rates["Wilcoxon"] < 0.05 + error + (0.04 if skewed else 0)
    assert rates["wrongly shown"] < 0.05 + error + (0.01 if skewed else 0)


def test_intervals_cover_and_tests_hold_their_level_on_a_few_cohorts():
    rates = outcomes("normal", 20, cohorts=150)
    assert_honest(rates, cohorts=150, skewed=False, n=20)
    assert rates["power"] > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("n", CASES)
@pytest.mark.parametrize("shape", DRAWS)
def test_intervals_cover_and_tests_hold_their_level_on_a_thousand_cohorts_as_the_page_says(shape, n):
    rates = outcomes(shape, n, cohorts=1000)
    assert_honest(rates, cohorts=1000, skewed=shape == "skewed", n=n)
    assert table_row(shape, n, rates) in (ROOT / PAGE).read_text(encoding="utf-8").splitlines()


def families_with_something_shown(cohorts, *, cases=20):
    """Share of cohorts without any difference in which any of 24 related comparisons is said to differ."""
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(cohorts):
        shared = rng.normal(size=(2, cases, 1))
        own = rng.normal(size=(2, cases, len(METRICS)))
        values = 0.5 + 0.02 * (np.sqrt(0.7) * shared + np.sqrt(0.3) * own)
        models = [
            [
                case_score(f"c{c}", grid, **{m.name: v for m, v in zip(METRICS, row + 0.01 * place, strict=True)})
                for c, row in enumerate(model)
                for place, grid in enumerate(("network", "native"))
            ]
            for model in values
        ]
        compared = [
            paired_comparison(*models, metric=m.name, grid=grid, resamples=100)
            for m in METRICS
            for grid in ("network", "native")
        ]
        wrong += any(c.verdict in ("better", "worse") for c in as_one_family(compared))
    return wrong / cohorts


@pytest.mark.slow
def test_a_cohort_without_any_difference_gives_no_difference_shown_for_all_metrics_together():
    assert families_with_something_shown(1000) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)
