"""Wilcoxon signed-rank test of paired differences."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import PermutationMethod, rankdata, wilcoxon

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
        name, method = "exact over all sign patterns", PermutationMethod(n_resamples=np.inf)
    else:
        name, method = "normal approximation", "approx"
    ranks = rankdata(np.abs(kept))
    return SignedRank(
        p_value=float(wilcoxon(kept, method=method).pvalue),
        method=f"Wilcoxon signed-rank, two-sided, {name}, n = {len(kept)}{aside}",
        smallest_p=2.0 ** (1 - len(kept)),
        rank_biserial=float((ranks * np.sign(kept)).sum() / ranks.sum()),
    )
