import numpy as np
import pytest
from scipy.stats import false_discovery_control

from femseg.comparison.family import holm


def test_p_values_are_adjusted_as_in_holms_paper_by_rank_and_never_fall_back():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.2, 0.9, 0.5]) == pytest.approx([0.6, 1.0, 1.0])


def test_the_order_of_the_tests_does_not_matter_and_one_test_is_left_as_it_is():
    p = [0.03, 0.001, 0.2, 0.03]
    assert holm(p[::-1]) == pytest.approx(holm(p)[::-1])
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def test_it_lies_between_no_adjustment_and_bonferroni_and_above_the_false_discovery_rate():
    p = np.random.default_rng(1).random(20) ** 3
    adjusted = np.array(holm(list(p)))
    assert (adjusted >= false_discovery_control(p)).all()
    assert (adjusted <= np.minimum(1, 20 * p)).all()
