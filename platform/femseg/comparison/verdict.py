"""What the numbers of a comparison allow one to say."""

from typing import Literal

from femseg.comparison.bootstrap import Interval
from femseg.comparison.signed_rank import SignedRank

Verdict = Literal["better", "worse", "no difference shown", "too few cases"]
Relevance = Literal["beyond the margin", "within the margin", "undecided"]


def verdict(
    *, mean_gain: float | None, interval: Interval, test: SignedRank, adjusted_p: float | None, tests: int, level: float
) -> Verdict:
    """A difference is shown when the adjusted p and the interval both say so.

    Args:
        mean_gain: mean difference, turned so that more is better; None without pairs.
        adjusted_p: Wilcoxon's p after adjustment for the family of tests.
        tests: size of that family: with so many at once, p must fall below level / tests for the first to be shown.
        level: for instance 0.05.
    """
    if mean_gain is None or (test.smallest_p is not None and test.smallest_p * tests > level):
        return "too few cases"
    low, high = interval.low, interval.high
    if adjusted_p is None or adjusted_p >= level or low is None or high is None or low <= 0 <= high:
        return "no difference shown"
    return "better" if mean_gain > 0 else "worse"


def relevance(interval: Interval, margin: float) -> Relevance:
    """Where the interval lies beside a margin below which a difference does not matter, either way.

    An interval wholly within ± margin shows that there is no difference that matters (equivalence, by the inclusion
    of the interval); not to have shown a difference does not.
    """
    low, high = interval.low, interval.high
    if low is None or high is None or not margin:
        return "undecided"
    if low > margin or high < -margin:
        return "beyond the margin"
    return "within the margin" if -margin < low and high < margin else "undecided"
