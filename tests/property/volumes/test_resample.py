import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from femseg.volumes.grid import voxels_where_crossing, with_neighbours
from femseg.volumes.resample import axis_weights, resampled

sizes = st.integers(1, 40)


@settings(max_examples=60, deadline=None)
@given(n_in=sizes, n_out=sizes, anti_aliasing=st.booleans())
def test_every_output_voxel_shares_out_exactly_one_and_takes_nothing_negative(n_in, n_out, anti_aliasing):
    weights = axis_weights(n_in, n_out, anti_aliasing=anti_aliasing).toarray()
    assert weights.shape == (n_out, n_in)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)
    assert weights.min() >= 0.0
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-12)  # neither end is preferred


@settings(max_examples=40, deadline=None)
@given(n_in=st.integers(2, 40), n_out=sizes)
def test_a_linear_ramp_stays_the_same_ramp_between_the_outermost_centres(n_in, n_out):
    ramp_mm = np.arange(n_in) + 0.5  # position of each voxel centre in a box of length n_in
    centres_mm = (np.arange(n_out) + 0.5) * n_in / n_out
    expected = np.clip(centres_mm, 0.5, n_in - 0.5)
    np.testing.assert_allclose(axis_weights(n_in, n_out, anti_aliasing=False) @ ramp_mm, expected, rtol=1e-12)


@settings(max_examples=15, deadline=None)
@given(shape_in=st.tuples(sizes, sizes, sizes), shape_out=st.tuples(sizes, sizes, sizes), anti_aliasing=st.booleans())
def test_a_constant_volume_stays_constant_whatever_the_shapes(shape_in, shape_out, anti_aliasing):
    volume = np.full(shape_in, 37.5, np.float32)
    out = resampled(lambda i: voxels_where_crossing(volume, i), shape_in, shape_out, anti_aliasing=anti_aliasing)
    assert out.shape == shape_out
    np.testing.assert_allclose(out, 37.5, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), size=st.integers(1, 30))
def test_neighbours_are_all_there_ascending_and_inside(data, size):
    indices = np.array(sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1))))
    around = with_neighbours(indices, size)
    assert list(around) == sorted({j for i in indices for j in (i - 1, i, i + 1) if 0 <= j < size})


def test_an_axis_without_voxels_is_refused():
    with pytest.raises(ValueError, match="at least one voxel"):
        axis_weights(0, 4, anti_aliasing=False)
