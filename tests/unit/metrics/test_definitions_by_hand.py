"""Values that can be worked out on paper."""

from math import sqrt

import numpy as np
import pytest

from femseg.metrics.average_hausdorff import average_hausdorff_mm
from femseg.metrics.overlap import dice_coefficient
from femseg.metrics.surface_distance import (
    DirectedDistances,
    average_surface_distance_mm,
    hausdorff_95_mm,
    surface_distances,
)
from femseg.metrics.volume_similarity import volume_similarity


def voxels(*indices_zyx, shape=(5, 6, 9)):
    mask = np.zeros(shape, bool)
    for index in indices_zyx:
        mask[index] = True
    return mask


EMPTY = voxels()


def test_dice_is_twice_the_shared_voxels_over_all_voxels():
    assert dice_coefficient(voxels((1, 1, 1), (1, 1, 2)), voxels((1, 1, 2), (1, 1, 3), (1, 1, 4))) == 2 * 1 / 5


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
    ("reference", "predicted", "overlap"),
    [(EMPTY, EMPTY, 1.0), (EMPTY, voxels((1, 1, 1)), 0.0), (voxels((1, 1, 1)), EMPTY, 0.0)],
    ids=["both empty", "reference empty", "prediction empty"],
)
def test_empty_masks_have_a_stated_result_for_every_metric(reference, predicted, overlap):
    spacing = (1.0, 1.0, 1.0)
    assert dice_coefficient(reference, predicted) == overlap
    assert volume_similarity(reference, predicted) == overlap
    assert average_hausdorff_mm(reference, predicted, spacing) is None
    assert average_surface_distance_mm(reference, predicted, spacing) is None
    assert hausdorff_95_mm(reference, predicted, spacing) is None


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
