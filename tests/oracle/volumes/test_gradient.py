import numpy as np
import pytest

from femseg.volumes.gradient import gradient_magnitude, gradient_magnitude_where
from femseg.volumes.grid import VoxelGrid


def _noise(shape, seed=0):
    return np.random.default_rng(seed).normal(0, 400, shape).astype(np.float32)


def test_gradient_magnitude_matches_numpy_on_an_edge_padded_volume():
    spacing_mm_zyx = (2.0, 0.7, 0.5)
    ct = _noise((9, 11, 13))
    ours = gradient_magnitude(ct, VoxelGrid(shape_zyx=ct.shape, spacing_mm_zyx=spacing_mm_zyx))
    steps = np.gradient(np.pad(ct.astype(np.float64), 1, mode="edge"), *spacing_mm_zyx)
    np.testing.assert_allclose(ours, np.sqrt(sum(s**2 for s in steps))[1:-1, 1:-1, 1:-1], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_pp_01_a_ramp_of_ten_per_voxel_at_two_millimetres_is_five_per_millimetre(axis):
    ramp = np.moveaxis(np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None] * 10, (8, 5, 6)), 0, axis)
    spacing = [0.5, 0.5, 0.5]
    spacing[axis] = 2.0
    magnitude = gradient_magnitude(ramp, VoxelGrid(shape_zyx=ramp.shape, spacing_mm_zyx=tuple(spacing)))
    np.testing.assert_allclose(np.moveaxis(magnitude, axis, 0)[1:-1], 5.0, rtol=1e-6)


def test_gradient_magnitude_refuses_a_grid_of_another_shape():
    with pytest.raises(ValueError, match="does not match grid"):
        gradient_magnitude(_noise((4, 5, 6)), VoxelGrid(shape_zyx=(6, 5, 4), spacing_mm_zyx=(1, 1, 1)))


@pytest.mark.parametrize("shape", [(17, 12, 9), (40, 7, 21), (2, 3, 2), (1, 8, 8)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.43)])
def test_gradient_where_asked_is_bit_for_bit_that_of_the_whole_volume(shape, spacing):
    ct, grid = _noise(shape), VoxelGrid(shape_zyx=shape, spacing_mm_zyx=spacing)
    whole = gradient_magnitude(ct, grid)
    rng = np.random.default_rng(1)
    for share in (0.2, 0.6, 1.0):
        indices = tuple(np.unique(rng.integers(0, n, max(1, int(share * n)))) for n in shape)
        assert np.array_equal(gradient_magnitude_where(ct, grid, indices), whole[np.ix_(*indices)])
    faces = tuple(np.unique([0, n - 1]) for n in shape)
    assert np.array_equal(gradient_magnitude_where(ct, grid, faces), whole[np.ix_(*faces)])
