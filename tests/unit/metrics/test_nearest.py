import numpy as np

from femseg.metrics.nearest import distances_to_nearest_mm

SPACING = (1.5, 0.7, 1.1)


def brute_force(from_voxels, to_voxels):
    here, there = (np.argwhere(v) * SPACING for v in (from_voxels, to_voxels))
    return np.linalg.norm(here[:, None] - there[None], axis=2).min(axis=1)


def test_few_voxels_close_by_and_many_far_away_both_get_exact_distances():
    rng = np.random.default_rng(3)
    shape = (14, 15, 16)
    target = np.zeros(shape, bool)
    target[2:4, 2:4, 2:4] = True
    few = np.zeros(shape, bool)
    few[4, 4, 4] = few[1, 2, 2] = True  # stays with the tree
    many = rng.random(shape) > 0.5  # goes to the distance transform
    for from_voxels in (few, many):
        np.testing.assert_allclose(
            distances_to_nearest_mm(from_voxels, target, SPACING), brute_force(from_voxels, target), rtol=1e-12
        )


def test_a_voxel_that_is_in_both_sets_is_at_distance_zero():
    both = np.zeros((3, 3, 3), bool)
    both[1, 1, 1] = True
    np.testing.assert_array_equal(distances_to_nearest_mm(both, both, SPACING), [0.0])
