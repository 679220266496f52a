"""Wilcoxon signed-rank test of paired differences."""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

_TABULATED = 50  # exact distribution for differences without ties
_ENUMERABLE = 13  # with ties, all 2^13 patterns of signs are tried


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRank:
    """Outcome of the two-sided test that differences are symmetric about zero.

    Attributes:
        p_value: None if no difference is left to test.
        method: how it was made (exact or not, zeros set aside), or why there is none.
        smallest_p: the smallest p that so many non-zero differences can reach; None if there are none.
        rank_biserial: (R⁺ − R⁻) / (R⁺ + R⁻), from −1 (all differences negative) to 1 (all positive); None likewise.
    """

    p_value: float | None
    method: str
    smallest_p: float | None
    rank_biserial: float | None


def signed_rank(differences: NDArray[np.float64]) -> SignedRank:
    """Wilcoxon's test as he described it: zero differences are set aside, ties share their mean rank.

    Exact up to 50 non-zero differences without ties and up to 13 with ties; else the normal approximation.
    """
    kept = differences[differences != 0]
    zeros = len(differences) - len(kept)
    aside = f"; {zeros} zero difference{'s' if zeros > 1 else ''} set aside" if zeros else ""
    if not len(kept):
        reason = "no test: every difference is zero" if zeros else "no test: no pairs"
        return SignedRank(p_value=None, method=reason, smallest_p=None, rank_biserial=None)
    ties = len(np.unique(np.abs(kept))) < len(kept)
    if len(kept) <= _TABULATED and not ties:
        name, method = "exact", "exact"
    elif len(kept) <= _ENUMERABLE:
        name, method = "exact over all sign patterns", scipy.stats.PermutationMethod(n_resamples=np.inf)
    else:
        name, method = "normal approximation", "approx"
    ranks = scipy.stats.rankdata(np.abs(kept))
    return SignedRank(
        p_value=float(scipy.stats.wilcoxon(kept, method=method).pvalue),
        method=f"Wilcoxon signed-rank, two-sided, {name}, n = {len(kept)}{aside}",
        smallest_p=2.0 ** (1 - len(kept)),
        rank_biserial=float((ranks * np.sign(kept)).sum() / ranks.sum()),
    )


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
    outcome = scipy.stats.permutation_test(
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
