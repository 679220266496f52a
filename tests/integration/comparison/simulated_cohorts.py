"""Cohorts of paired differences whose truth is known: how often do intervals and tests say it?"""

import numpy as np

from femseg.comparison.bootstrap import mean_interval
from femseg.comparison.paired import detectable_shift_sd
from femseg.comparison.signed_rank import sign_flip, signed_rank
from femseg.comparison.verdict import verdict

LEVEL = 0.05
CASES = (6, 10, 20, 40)
DRAWS = {  # mean 0, standard deviation 1
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_t(4, n) / np.sqrt(2),
    "skewed": lambda rng, n: (rng.gamma(4, size=n) - 4) / 2,
}
OUTCOMES = ("covered", "Wilcoxon", "permutation", "wrongly shown", "power")


def outcomes(shape: str, n: int, *, cohorts: int) -> dict[str, float]:
    """Rates over seeded cohorts of n cases, differences of 0.01 standard deviation about a known mean.

    Covered: the interval holds the true difference. Wilcoxon, permutation: p < 0.05 where there is no difference;
    wrongly shown: the verdict says better or worse there. Power: p < 0.05 of Wilcoxon where the difference is the one
    that should be shown in 80 %.
    """
    rng = np.random.default_rng([n, list(DRAWS).index(shape)])
    truth = 0.01 * detectable_shift_sd(n, LEVEL)
    rows = []
    for cohort in range(cohorts):
        none = 0.01 * DRAWS[shape](rng, n)
        some = none + truth
        interval = mean_interval(some, confidence=1 - LEVEL, resamples=2000, seed=cohort)
        at_zero = mean_interval(none, confidence=1 - LEVEL, resamples=2000, seed=cohort)
        test = signed_rank(none)
        said = verdict(
            mean_gain=none.mean(), interval=at_zero, test=test, adjusted_p=test.p_value, tests=1, level=LEVEL
        )
        rows.append(
            (
                interval.low <= truth <= interval.high,
                test.p_value < LEVEL,
                sign_flip(none, resamples=999, seed=cohort).p_value < LEVEL,
                said in ("better", "worse"),
                signed_rank(some).p_value < LEVEL,
            )
        )
    return dict(zip(OUTCOMES, np.mean(rows, axis=0).tolist(), strict=True))


def table_row(shape: str, n: int, rates: dict[str, float]) -> str:
    """A row of benchmarks/results/simulated_cohorts.md."""
    return f"| {shape} | {n} | " + " | ".join(f"{rates[name] * 100:.1f}" for name in OUTCOMES) + " |"
