"""Values that can be worked out on paper."""

from math import sqrt

import numpy as np
import pytest

from femseg.metrics.overlap import (
    dice_coefficient,
    intersection_over_union,
    precision,
    sensitivity,
    volume_difference_ml,
    volume_similarity,
)
from femseg.metrics.surface_distance import (
    DirectedDistances,
    average_hausdorff_mm,
    average_surface_distance_mm,
    hausdorff_95_mm,
    hausdorff_mm,
    surface_dice,
    surface_distances,
)


def voxels(*indices_zyx, shape=(5, 6, 9)):
    mask = np.zeros(shape, bool)
    for index in indices_zyx:
        mask[index] = True
    return mask


EMPTY = voxels()


def test_dice_is_twice_the_shared_voxels_over_all_voxels():
    assert dice_coefficient(voxels((1, 1, 1), (1, 1, 2)), voxels((1, 1, 2), (1, 1, 3), (1, 1, 4))) == 2 * 1 / 5


def test_overlap_counts_the_shared_voxels_against_the_union_the_annotation_or_the_prediction():
    reference, predicted = voxels((1, 1, 1), (1, 1, 2)), voxels((1, 1, 2), (1, 1, 3), (1, 1, 4))
    assert intersection_over_union(reference, predicted) == 1 / 4
    assert sensitivity(reference, predicted) == 1 / 2
    assert precision(reference, predicted) == 1 / 3


def test_volume_difference_is_negative_where_too_little_was_found():
    many, few = voxels((1, 1, 1), (1, 1, 2), (1, 1, 3)), voxels((4, 5, 8))
    # two voxels of 5 x 10 x 10 mm = 1000 mm3
    assert volume_difference_ml(many, few, (5.0, 10.0, 10.0)) == pytest.approx(-1.0)
    assert volume_difference_ml(few, many, (5.0, 10.0, 10.0)) == pytest.approx(1.0)


def test_hausdorff_is_the_largest_distance_and_surface_dice_the_area_within_reach():
    a, b = voxels((2, 2, 1)), voxels((2, 2, 6))
    # of each voxel's eight equal corners four are 8 mm and four 10 mm from the other voxel
    assert hausdorff_mm(a, b, (1.0, 1.0, 2.0)) == pytest.approx(10.0)
    for tolerance_mm, expected in ((7.9, 0.0), (8.0, 0.5), (9.9, 0.5), (10.0, 1.0)):
        assert surface_dice(a, b, (1.0, 1.0, 2.0), tolerance_mm=tolerance_mm) == pytest.approx(expected)


def test_a_cavity_has_a_surface_of_its_own():
    solid = np.pad(np.ones((7, 7, 7), bool), 1)
    hollow = solid.copy()
    hollow[4, 4, 4] = False
    # from the cavity's corners to the outside: 3 voxels; seen as sets of voxels the two are 1 voxel apart
    assert hausdorff_mm(solid, hollow, (1.0, 1.0, 1.0)) == pytest.approx(3.0)


def test_a_tolerance_that_is_a_whole_number_of_steps_is_reached_whatever_the_rounding():
    a, b = voxels((2, 2, 1)), voxels((2, 2, 4))
    assert 3 * 0.1 > 0.3
    assert surface_dice(a, b, (0.1, 0.1, 0.1), tolerance_mm=0.3) == 1.0


def test_a_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match="tolerance_mm: expected 0 or more, got -1"):
        surface_dice(EMPTY, EMPTY, (1.0, 1.0, 1.0), tolerance_mm=-1)


def test_volume_similarity_compares_sizes_and_not_places():
    assert volume_similarity(voxels((0, 0, 0), (0, 0, 1)), voxels((4, 5, 8))) == pytest.approx(1 - 1 / 3)
    assert volume_similarity(voxels((0, 0, 0)), voxels((4, 5, 8))) == 1.0


def test_average_hausdorff_is_the_larger_mean_and_counts_shared_voxels_as_zero():
    reference, predicted = voxels((1, 2, 1)), voxels((1, 2, 1), (1, 2, 4))
    # from the reference: 0; from the prediction: 0 and 3 voxels of 2 mm, mean 3 mm
    assert average_hausdorff_mm(reference, predicted, (1.0, 1.0, 2.0)) == pytest.approx(3.0)


def test_average_hausdorff_counts_inner_voxels_too():
    ball, far = voxels(*[(1, 2, x) for x in (1, 2, 3)]), voxels((1, 2, 6))
    # from the row of three: 5, 4 and 3 voxels; from the single voxel: 3
    assert average_hausdorff_mm(ball, far, (1.0, 1.0, 1.0)) == pytest.approx(4.0)


def test_surface_distance_of_two_voxels_runs_between_their_corners():
    a, b = voxels((2, 2, 1)), voxels((2, 2, 6))
    # each voxel has four corners 5 steps from the other voxel and four corners 4 steps away, all of equal area
    assert average_surface_distance_mm(a, b, (1.0, 1.0, 2.0)) == pytest.approx((8 + 10) / 2)
    assert hausdorff_95_mm(a, b, (1.0, 1.0, 2.0)) == pytest.approx(10.0)


def test_hausdorff_95_ignores_the_last_twentieth_of_the_surface():
    for far_area_mm2, expected_mm in ((5.0, 1.0), (5.1, 9.0)):
        near, far = np.full(95, 1.0), np.array([9.0])
        areas_mm2 = np.append(np.full(95, (100 - far_area_mm2) / 95), far_area_mm2)
        surface = DirectedDistances(distances_mm=np.append(near, far), areas_mm2=areas_mm2)
        assert surface.percentile_mm(95) == expected_mm


def test_surface_of_a_single_voxel_is_an_octahedron_of_edge_middles():
    distances = surface_distances(voxels((2, 2, 2)), voxels((2, 2, 3)), (1.0, 1.0, 1.0))
    assert distances.from_reference.areas_mm2.sum() == pytest.approx(8 * sqrt(3) / 8)


def test_a_mask_at_the_rim_of_its_volume_is_closed_there():
    inside = surface_distances(voxels((2, 2, 2)), voxels((2, 2, 3)), (1.0, 1.0, 1.0))
    at_rim = surface_distances(voxels((0, 0, 0)), voxels((0, 0, 1)), (1.0, 1.0, 1.0))
    assert at_rim.average_mm == pytest.approx(inside.average_mm)
    assert at_rim.from_reference.areas_mm2.sum() == pytest.approx(inside.from_reference.areas_mm2.sum())


@pytest.mark.parametrize(
    ("reference", "predicted", "overlap", "found", "right", "difference_ml"),
    [
        (EMPTY, EMPTY, 1.0, None, None, 0.0),
        (EMPTY, voxels((1, 1, 1)), 0.0, None, 0.0, 0.001),
        (voxels((1, 1, 1)), EMPTY, 0.0, 0.0, None, -0.001),
    ],
    ids=["both empty", "reference empty", "prediction empty"],
)
def test_empty_masks_have_a_stated_result_for_every_metric(reference, predicted, overlap, found, right, difference_ml):
    spacing = (1.0, 1.0, 1.0)
    for same in (dice_coefficient, intersection_over_union, volume_similarity):
        assert same(reference, predicted) == overlap
    assert surface_dice(reference, predicted, spacing, tolerance_mm=1.0) == overlap
    assert (sensitivity(reference, predicted), precision(reference, predicted)) == (found, right)
    assert volume_difference_ml(reference, predicted, spacing) == difference_ml
    for distance in (average_hausdorff_mm, average_surface_distance_mm, hausdorff_mm, hausdorff_95_mm):
        assert distance(reference, predicted, spacing) is None


def test_masks_of_different_shape_are_never_broadcast():
    with pytest.raises(ValueError, match=r"\(5, 6, 9\).*\(1, 6, 9\).*differ in shape"):
        dice_coefficient(EMPTY, EMPTY[:1])


def test_probabilities_in_place_of_masks_are_refused():
    with pytest.raises(ValueError, match="predicted mask: expected bool voxels, got float64"):
        volume_similarity(EMPTY, EMPTY.astype(float))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, float("nan"), 1.0)])
def test_a_spacing_that_is_not_three_lengths_is_refused(spacing):
    with pytest.raises(ValueError, match="spacing_mm_zyx: expected three positive lengths"):
        average_hausdorff_mm(EMPTY, EMPTY, spacing)
