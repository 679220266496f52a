"""Laws that hold for every pair of masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from femseg.metrics.definitions import METRICS
from femseg.metrics.scorecard import score
from femseg.metrics.surface_distance import surface_dice

SHAPE = (4, 5, 6)
masks = arrays(bool, SHAPE)
mask_pairs = st.tuples(masks, masks)
spacings = st.tuples(*[st.sampled_from([0.5, 0.8, 1.0, 1.5, 3.0])] * 3)
ALL = tuple(metric.name for metric in METRICS)
RATIOS = ("dice", "iou", "surface_dice_1mm", "surface_dice_2mm", "volume_similarity")
DISTANCES = ("average_hausdorff_mm", "average_surface_distance_mm", "hausdorff_mm", "hausdorff_95_mm")
DIRECTED = ("sensitivity", "precision")


def scored(reference, predicted, spacing):
    return score(reference, predicted, spacing, case_id="c", grid="network")


def values(one, names):
    return [getattr(one, name) for name in names]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        assert a is None or a == pytest.approx(b, rel=1e-9, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(mask_pairs, spacings)
def test_every_metric_is_symmetric_or_says_how_it_is_not(pair, spacing):
    forward, back = scored(*pair, spacing), scored(*pair[::-1], spacing)
    assert_same(values(forward, RATIOS + DISTANCES), values(back, RATIOS + DISTANCES))
    assert_same([forward.sensitivity, forward.precision], [back.precision, back.sensitivity])
    assert_same([forward.volume_difference_ml], [-back.volume_difference_ml])


@settings(max_examples=40, deadline=None)
@given(mask_pairs, spacings)
def test_every_metric_keeps_its_bounds_and_its_order(pair, spacing):
    a, b = pair
    one = scored(a, b, spacing)
    assert 0.0 <= one.iou <= one.dice <= one.volume_similarity <= 1.0
    assert one.iou == pytest.approx(one.dice / (2 - one.dice))
    assert 0.0 <= one.surface_dice_1mm <= one.surface_dice_2mm <= 1.0
    for share, of in ((one.sensitivity, a), (one.precision, b)):
        assert (share is None) == (not of.any())
        assert share is None or 0.0 <= share <= 1.0
    assert one.volume_difference_ml == pytest.approx(one.predicted_volume_ml - one.reference_volume_ml, abs=1e-12)
    assert all((distance is None) == (not a.any() or not b.any()) for distance in values(one, DISTANCES))
    if one.hausdorff_mm is not None:
        assert 0.0 <= one.average_surface_distance_mm <= one.hausdorff_mm + 1e-9
        assert 0.0 <= one.hausdorff_95_mm <= one.hausdorff_mm <= np.linalg.norm(np.array(SHAPE) * spacing)
        assert 0.0 <= one.average_hausdorff_mm <= np.linalg.norm(np.array(SHAPE) * spacing)


@settings(max_examples=40, deadline=None)
@given(mask_pairs, spacings)
def test_only_equal_masks_score_perfectly(pair, spacing):
    a, b = pair
    same = scored(a, a, spacing)
    assert values(same, RATIOS) == [1.0] * 5
    assert values(same, DIRECTED) == [1.0 if a.any() else None] * 2
    assert values(same, DISTANCES) == [0.0 if a.any() else None] * 4
    one = scored(a, b, spacing)
    assert (one.dice == 1.0) == (one.iou == 1.0) == np.array_equal(a, b)
    if one.average_hausdorff_mm is not None:
        assert (one.average_hausdorff_mm == 0.0) == np.array_equal(
            a, b
        )  # a chequerboard and its negative share corners


@settings(max_examples=30, deadline=None)
@given(mask_pairs, spacings, st.sampled_from([0.25, 2.0, 10.0]))
def test_lengths_and_volumes_scale_with_the_spacing_and_shares_do_not(pair, spacing, factor):
    wider = tuple(s * factor for s in spacing)
    one, scaled = scored(*pair, spacing), scored(*pair, wider)
    assert_same(values(scaled, DISTANCES), [None if d is None else d * factor for d in values(one, DISTANCES)])
    assert_same([scaled.volume_difference_ml], [one.volume_difference_ml * factor**3])
    unscaled = ("dice", "iou", "volume_similarity", *DIRECTED)
    assert_same(values(scaled, unscaled), values(one, unscaled))
    within = [surface_dice(*pair, s, tolerance_mm=t) for s, t in ((spacing, 1.5), (wider, 1.5 * factor))]
    assert within[0] == pytest.approx(within[1])


@settings(max_examples=30, deadline=None)
@given(mask_pairs, spacings, st.permutations(range(3)), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_turning_and_mirroring_both_masks_changes_nothing(pair, spacing, order, mirrored):
    flips = tuple(axis for axis, flip in enumerate(mirrored) if flip)
    turned = [np.flip(mask, flips).transpose(order) for mask in pair]
    assert_same(
        values(scored(*turned, tuple(spacing[axis] for axis in order)), ALL), values(scored(*pair, spacing), ALL)
    )


@settings(max_examples=30, deadline=None)
@given(mask_pairs, spacings, st.tuples(*[st.integers(0, 3)] * 3))
def test_where_in_the_volume_both_masks_lie_changes_nothing(pair, spacing, shift):
    padded = [np.pad(mask, [(n, 4 - n) for n in shift]) for mask in pair]
    assert_same(values(scored(*padded, spacing), ALL), values(scored(*pair, spacing), ALL))
