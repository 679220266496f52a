import numpy as np
import pytest

from femseg.comparison.signed_rank import signed_rank


def test_with_six_cases_all_better_p_is_two_of_sixty_four_sign_patterns():
    outcome = signed_rank(np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06]))
    assert outcome.p_value == pytest.approx(2 / 64)
    assert outcome.smallest_p == outcome.p_value
    assert outcome.rank_biserial == 1.0
    assert "exact" in outcome.method


def test_ties_are_tested_exactly_too():
    # |d| = 1, 1, 2: of the 8 sign patterns four have a rank sum as far out as 4.5 of 6 or farther
    outcome = signed_rank(np.array([1.0, -1.0, 2.0]))
    assert outcome.p_value == pytest.approx(6 / 8)
    assert outcome.rank_biserial == pytest.approx((1.5 - 1.5 + 3) / 6)


def test_zero_differences_are_set_aside_and_said_so():
    outcome = signed_rank(np.array([0.0, 0.1, 0.2, 0.0, 0.3]))
    assert outcome.p_value == pytest.approx(2 / 8)
    assert outcome.smallest_p == pytest.approx(2 / 8)
    assert outcome.method.endswith("n = 3; 2 zero differences set aside")


@pytest.mark.parametrize("differences", [[], [0.0, 0.0, 0.0]])
def test_nothing_to_test_gives_no_p_and_a_reason(differences):
    outcome = signed_rank(np.array(differences))
    assert (outcome.p_value, outcome.smallest_p, outcome.rank_biserial) == (None, None, None)
    assert outcome.method.startswith("no test: ")


def test_many_untied_differences_are_exact_and_many_tied_ones_approximate():
    untied = np.linspace(-0.4, 1.0, 30)
    assert ", exact, n = 30" in signed_rank(untied).method
    assert "normal approximation, n = 30" in signed_rank(np.round(untied, 1) + 0.05).method


def test_turning_every_sign_keeps_p_and_turns_the_effect():
    differences = np.array([0.3, -0.1, 0.2, 0.5, -0.05, 0.4, 0.6])
    forward, backward = signed_rank(differences), signed_rank(-differences)
    assert forward.p_value == pytest.approx(backward.p_value)
    assert forward.rank_biserial == pytest.approx(-backward.rank_biserial)
