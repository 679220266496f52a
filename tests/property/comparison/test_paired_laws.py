"""Laws of the paired statistics, for any differences."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from femseg.comparison.bootstrap import mean_interval
from femseg.comparison.signed_rank import signed_rank

differences = st.lists(st.integers(-5, 5), min_size=0, max_size=9).map(lambda d: np.array(d, float) / 100)


@settings(max_examples=40, deadline=None)
@given(differences)
def test_an_interval_is_finite_and_ordered_or_absent_with_a_reason(values):
    interval = mean_interval(values, confidence=0.95, resamples=200, seed=0)
    if interval.low is None:
        assert interval.high is None
        assert interval.method.startswith("no interval")
    else:
        assert values.min() - 1e-12 <= interval.low <= interval.high <= values.max() + 1e-12


@settings(max_examples=25, deadline=None)
@given(differences)
def test_p_lies_between_the_smallest_reachable_and_one_and_scale_does_not_matter(values):
    outcome, scaled = signed_rank(values), signed_rank(values * 4)
    assert outcome.p_value == scaled.p_value
    if outcome.p_value is not None:
        assert outcome.smallest_p - 1e-12 <= outcome.p_value <= 1.0
