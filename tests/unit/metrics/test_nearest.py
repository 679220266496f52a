import numpy as np
import pytest

from femseg.metrics.nearest import Columns, distances_to_nearest_mm

SPACING = (1.5, 0.7, 1.1)


def brute_force(from_voxels, to_voxels):
    here, there = (np.argwhere(v) * SPACING for v in (from_voxels, to_voxels))
    return np.linalg.norm(here[:, None] - there[None], axis=2).min(axis=1)


def voxels(*indices_zyx, shape=(14, 15, 16)):
    mask = np.zeros(shape, bool)
    for index in indices_zyx:
        mask[index] = True
    return mask


BLOCK = voxels((slice(2, 4), slice(2, 4), slice(2, 4)))
ANYWHERE = np.random.default_rng(3).random(BLOCK.shape) > 0.5


@pytest.mark.parametrize(
    "from_voxels",
    [voxels((4, 4, 4), (1, 2, 2)), voxels((4, 4, 4), (13, 14, 15), (0, 0, 9)), ANYWHERE, voxels()],
    ids=["neighbours", "a few far away", "many far away", "none"],
)
def test_distances_are_exact_however_many_and_however_far(from_voxels):
    ours = distances_to_nearest_mm(from_voxels, BLOCK, SPACING)
    np.testing.assert_allclose(ours, brute_force(from_voxels, BLOCK), rtol=1e-12)


def test_scattered_targets_are_found_in_every_direction():
    np.testing.assert_allclose(
        distances_to_nearest_mm(BLOCK, ANYWHERE & ~BLOCK, SPACING), brute_force(BLOCK, ANYWHERE & ~BLOCK), rtol=1e-12
    )


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.6, 0.7), (0.3, 2.0, 0.9), (0.05, 2.0, 0.9)])
def test_the_search_by_columns_is_exact_within_its_reach_and_says_infinite_beyond(spacing):
    rng = np.random.default_rng(1)
    targets, asked = rng.random((2, 30, 24, 26)) > np.array([0.998, 0.9])[:, None, None, None]
    columns, indices = Columns.of(targets, np.array(spacing)), np.argwhere(asked)
    ours = columns.distances_mm(indices)
    exact = np.linalg.norm((indices[:, None] - np.argwhere(targets)[None]) * spacing, axis=2).min(axis=1)
    np.testing.assert_array_equal(np.isinf(ours), exact > columns.reach_mm)
    np.testing.assert_allclose(ours[np.isfinite(ours)], exact[np.isfinite(ours)], rtol=1e-12)
    assert np.isfinite(ours).any()


def test_the_order_of_the_voxels_in_memory_does_not_matter():
    turned = distances_to_nearest_mm(np.asfortranarray(ANYWHERE), np.asfortranarray(BLOCK), SPACING)
    np.testing.assert_array_equal(turned, distances_to_nearest_mm(ANYWHERE, BLOCK, SPACING))


def test_a_voxel_that_is_in_both_sets_is_at_distance_zero():
    both = np.zeros((3, 3, 3), bool)
    both[1, 1, 1] = True
    np.testing.assert_array_equal(distances_to_nearest_mm(both, both, SPACING), [0.0])
