"""Laws of ordering slices, for any orientation and any order of files."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from slice_headers import slice_header

from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.dicom.stack import stack_grid, stacked


@st.composite
def stacks(draw: st.DrawFn) -> tuple[list[SliceHeader], list[int], np.ndarray, float]:
    """A regular stack under a random rotation, the order in which its files are met, its normal and step."""
    a, b, c = (draw(st.floats(-3.1, 3.1)) for _ in range(3))
    turn = np.eye(3)
    for angle, (i, j) in ((a, (0, 1)), (b, (0, 2)), (c, (1, 2))):
        plane = np.eye(3)
        plane[i, i] = plane[j, j] = np.cos(angle)
        plane[i, j], plane[j, i] = -np.sin(angle), np.sin(angle)
        turn = turn @ plane
    step = draw(st.floats(0.3, 8.0))
    count = draw(st.integers(4, 30))
    origin = np.array([draw(st.floats(-500, 500)) for _ in range(3)])
    orientation = np.concatenate([turn[:, 0], turn[:, 1]])
    made = [slice_header(k, origin + k * step * turn[:, 2], orientation) for k in range(count)]
    return made, draw(st.permutations(range(count))), turn[:, 2], step


@settings(max_examples=40, deadline=None)
@given(stacks())
def test_any_order_of_files_gives_the_one_stack_along_the_normal(case):
    made, order, normal, step = case
    stack = stacked([made[k] for k in order], "study")
    assert stack.slices == tuple(made)
    assert not stack.faults
    assert not stack.remarks
    grid = stack_grid(stack.slices)
    np.testing.assert_allclose(grid.spacing_mm_zyx, (step, 0.8, 0.7), rtol=1e-9)
    np.testing.assert_allclose(grid.direction_xyz[2::3], normal, atol=1e-9)
    np.testing.assert_allclose(grid.position_mm_xyz((len(made) - 1, 0, 0)), made[-1].position_mm_xyz, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(stacks(), st.data())
def test_any_inner_slice_is_missed_and_its_neighbours_are_named(case, data):
    made, order, _, _ = case
    gone = data.draw(st.integers(1, len(made) - 2))
    (fault,) = stacked([made[k] for k in order if k != gone], "study").faults
    assert fault.id == "IN-01"
    assert f"between {gone - 1:03d}.dcm and {gone + 1:03d}.dcm" in fault.problem
