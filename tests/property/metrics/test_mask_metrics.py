"""Laws that hold for every pair of masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from femseg.metrics.scorecard import score

SHAPE = (4, 5, 6)
masks = arrays(bool, SHAPE)
mask_pairs = st.tuples(masks, masks)
spacings = st.tuples(*[st.sampled_from([0.5, 0.8, 1.0, 1.5, 3.0])] * 3)
VALUES = ("dice", "average_hausdorff_mm", "average_surface_distance_mm", "hausdorff_95_mm", "volume_similarity")


def values(reference, predicted, spacing):
    one = score(reference, predicted, spacing, case_id="c", grid="network")
    return [getattr(one, name) for name in VALUES]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        assert a is None or a == pytest.approx(b, rel=1e-9, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(mask_pairs, spacings)
def test_every_metric_is_symmetric_and_within_its_bounds(pair, spacing):
    a, b = pair
    dice, average_hausdorff, average_surface, hausdorff_95, similarity = forward = values(a, b, spacing)
    assert_same(forward, values(b, a, spacing))
    assert 0.0 <= dice <= similarity <= 1.0
    diagonal = float(np.linalg.norm(np.array(SHAPE) * spacing))
    for distance in (average_hausdorff, average_surface, hausdorff_95):
        assert (distance is None) == (not a.any() or not b.any())
        assert distance is None or 0.0 <= distance <= diagonal


@settings(max_examples=40, deadline=None)
@given(mask_pairs, spacings)
def test_only_equal_masks_score_perfectly(pair, spacing):
    a, b = pair
    assert values(a, a, spacing) == ([1.0, 0.0, 0.0, 0.0, 1.0] if a.any() else [1.0, None, None, None, 1.0])
    dice, average_hausdorff, *_ = values(a, b, spacing)
    assert (dice == 1.0) == np.array_equal(a, b)
    if average_hausdorff is not None:
        assert (average_hausdorff == 0.0) == np.array_equal(a, b)


@settings(max_examples=30, deadline=None)
@given(mask_pairs, spacings, st.sampled_from([0.25, 2.0, 10.0]))
def test_distances_scale_with_the_spacing_and_nothing_else_does(pair, spacing, factor):
    dice, *distances, similarity = values(*pair, spacing)
    scaled = [None if d is None else d * factor for d in distances]
    assert_same(values(*pair, tuple(s * factor for s in spacing)), [dice, *scaled, similarity])


@settings(max_examples=30, deadline=None)
@given(mask_pairs, spacings, st.permutations(range(3)), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_turning_and_mirroring_both_masks_changes_nothing(pair, spacing, order, mirrored):
    flips = tuple(axis for axis, flip in enumerate(mirrored) if flip)
    turned = [np.flip(mask, flips).transpose(order) for mask in pair]
    assert_same(values(*turned, tuple(spacing[axis] for axis in order)), values(*pair, spacing))


@settings(max_examples=30, deadline=None)
@given(mask_pairs, spacings, st.tuples(*[st.integers(0, 3)] * 3))
def test_where_in_the_volume_both_masks_lie_changes_nothing(pair, spacing, shift):
    padded = [np.pad(mask, [(n, 4 - n) for n in shift]) for mask in pair]
    assert_same(values(*padded, spacing), values(*pair, spacing))
