"""Permutation test of paired differences: what if the two models' names had been swapped, case by case?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

_ALWAYS_ENUMERATED = 2**13  # patterns of signs


@dataclass(frozen=True, slots=True, kw_only=True)
class SignFlip:
    """Outcome of the two-sided test that each difference might as well have had the other sign.

    Attributes:
        p_value: None if no difference is left to flip.
        method: how it was made (all patterns or drawn ones), or why there is none.
    """

    p_value: float | None
    method: str


def sign_flip(differences: NDArray[np.float64], *, resamples: int, seed: int) -> SignFlip:
    """Compare the mean difference with the means under all (or many) patterns of flipped signs.

    Exact up to 13 differences, and where there are no more patterns than `resamples`; beyond, so many are drawn, and
    the observed one counts among them, so that p is never 0 and the level holds (Phipson & Smyth 2010). Unlike
    Wilcoxon's test it is of the mean itself, the number that the interval is about, and an outlier weighs as much as it
    measures.

    Source: Fisher 1935, The Design of Experiments, section 21.
    """
    if not np.any(differences):
        reason = "no test: every difference is zero" if len(differences) else "no test: no pairs"
        return SignFlip(p_value=None, method=reason)
    if len(differences) == 1:
        return SignFlip(p_value=1.0, method="sign-flip permutation of the mean, two-sided, exact, n = 1")
    patterns = 2 ** len(differences)
    exact = patterns <= max(_ALWAYS_ENUMERATED, resamples)
    outcome = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=patterns if exact else resamples,
        rng=np.random.default_rng(seed),
    )
    how = "exact over all sign patterns" if exact else f"{resamples} sign patterns, seed {seed}"
    return SignFlip(
        p_value=float(outcome.pvalue),
        method=f"sign-flip permutation of the mean, two-sided, {how}, n = {len(differences)}",
    )
