import pytest

from femseg.comparison.bootstrap import Interval
from femseg.comparison.signed_rank import SignedRank
from femseg.comparison.verdict import relevance, verdict


def interval(low, high):
    return Interval(low=low, high=high, confidence=0.95, method="")


def said(low, high, p, *, tests=1, smallest_p=1e-6, gain=0.02, rank_biserial=0.5):
    test = SignedRank(p_value=p, method="", smallest_p=smallest_p, rank_biserial=rank_biserial)
    return verdict(mean_gain=gain, interval=interval(low, high), test=test, adjusted_p=p, tests=tests, level=0.05)


def test_a_difference_is_shown_only_where_test_and_interval_agree():
    assert said(0.01, 0.03, 0.01) == "better"
    assert said(0.01, 0.03, 0.01, gain=-0.02) == "worse"
    assert said(-0.01, 0.03, 0.01) == "no difference shown"
    assert said(0.01, 0.03, 0.05) == "no difference shown"
    assert said(None, None, 0.01) == "no difference shown"


def test_too_few_cases_are_those_whose_smallest_p_cannot_pass_in_this_family():
    assert said(0.01, 0.03, 0.03, smallest_p=0.03) == "better"
    assert said(0.01, 0.03, 0.06, smallest_p=0.03, tests=23) == "too few cases"
    assert said(0.01, 0.03, None, gain=None) == "too few cases"


def test_an_adjusted_p_that_passed_is_never_called_too_few_cases():
    assert said(0.01, 0.03, 0.0078, smallest_p=2**-8, tests=23) == "better"
    assert said(-0.01, 0.03, 0.0078, smallest_p=2**-8, tests=23) == "no difference shown"


def test_ranks_and_interval_that_point_apart_show_no_difference():
    assert said(0.01, 0.03, 0.01, rank_biserial=-0.45) == "no difference shown"
    assert said(-0.03, -0.01, 0.01, rank_biserial=0.45) == "no difference shown"
    assert said(-0.03, -0.01, 0.01, rank_biserial=-0.45, gain=-0.02) == "worse"
    assert said(0.01, 0.03, 0.01, rank_biserial=None) == "no difference shown"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.011, 0.03, "beyond the margin"),
        (-0.03, -0.011, "beyond the margin"),
        (-0.009, 0.009, "within the margin"),
        (0.001, 0.009, "within the margin"),
        (0.001, 0.02, "undecided"),
        (-0.02, 0.001, "undecided"),
        (None, None, "undecided"),
    ],
)
def test_the_interval_is_told_against_the_margin_on_both_sides(low, high, expected):
    assert relevance(interval(low, high), 0.01) == expected


def test_without_a_margin_nothing_is_said_about_it():
    assert relevance(interval(0.5, 0.6), 0.0) == "undecided"
