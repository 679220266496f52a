"""What the numbers of a comparison allow one to say."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.comparison.bootstrap import Interval
from femseg.comparison.signed_rank import SignedRank

Verdict = Literal["better", "worse", "no difference shown", "too few cases"]
Relevance = Literal["beyond the margin", "within the margin", "undecided"]


def verdict(
    *, mean_gain: float | None, interval: Interval, test: SignedRank, adjusted_p: float | None, tests: int, level: float
) -> Verdict:
    """A difference is shown when the adjusted p and the interval both say so, and point the same way.

    "too few cases" is said where p did not pass and its smallest value times the family's size would not either. In a
    family Holm's later steps ask less, so a row with few unequal pairs may pass all the same, behind others that did.

    Args:
        mean_gain: mean difference, turned so that more is better; None without pairs.
        adjusted_p: Wilcoxon's p after adjustment for the family of tests.
        tests: size of that family: with so many at once, p must fall below level / tests for the first to be shown.
        level: for instance 0.05.
    """
    passed = adjusted_p is not None and adjusted_p < level
    if mean_gain is None or (not passed and test.smallest_p is not None and test.smallest_p * tests > level):
        return "too few cases"
    if not passed or not excludes_zero(interval) or not same_way(interval, test):
        return "no difference shown"
    return "better" if mean_gain > 0 else "worse"


def excludes_zero(interval: Interval) -> bool:
    """Whether there is an interval, and zero is not in it."""
    return interval.low is not None and interval.high is not None and not interval.low <= 0 <= interval.high


def same_way(interval: Interval, test: SignedRank) -> bool:
    """Whether the interval of the mean lies on the side on which Wilcoxon's test sees most of the ranks.

    A few large gains can carry the mean up while most cases lose a little and the ranks go down.
    """
    if test.rank_biserial is None or interval.low is None or interval.high is None:
        return False
    return test.rank_biserial * (interval.low + interval.high) > 0


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


DEFAULT_THRESHOLD_HU = 200.0


def threshold_baseline(
    ct_hu_zyx: NDArray[np.floating], *, threshold_hu: float = DEFAULT_THRESHOLD_HU
) -> NDArray[np.bool_]:
    """Largest connected component of all voxels at or above a threshold: no learning, no hole filling.

    Args:
        ct_hu_zyx: CT in Hounsfield units, shape (Z, Y, X).
        threshold_hu: cortical and dense trabecular bone lie above 200 HU; so do contrast-filled vessels and metal.
    Returns: bool, same shape; voxels hang together through their faces; the first of equally large components; empty if
        nothing reaches the threshold.
    """
    components, count = ndimage.label(ct_hu_zyx >= threshold_hu)
    if not count:
        return np.zeros(ct_hu_zyx.shape, np.bool_)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0  # the background is no component
    return np.asarray(components == sizes.argmax())
