from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import center_of_mass, gaussian_filter
from scipy.spatial.transform import Rotation

from femseg.inference.segment import onto_ct_grid
from femseg.volumes.grid import MaskVolume, VoxelGrid
from femseg.volumes.network_input import InputRecipe, mask_on_network_grid, network_grid

ORIENTATIONS = [
    np.eye(3)[:, list(axes)] * signs for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3))
]
OBLIQUE = [
    Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    for degrees in ((8, 0, 0), (-20, 15, 30), (130, -60, 200))
]


def _grid(direction, shape_zyx, spacing_mm_zyx):
    return VoxelGrid(
        shape_zyx=shape_zyx,
        spacing_mm_zyx=spacing_mm_zyx,
        origin_mm_xyz=(-31.0, 12.5, 407.0),
        direction_xyz=tuple(direction.ravel().tolist()),
    )


def _femur(grid):
    """A bent shaft with a head to one side, so that no two axes or ends are alike; placed about the box's centre."""
    index = np.indices(grid.shape_zyx, dtype=float)[::-1].reshape(3, -1)  # x, y, z
    centre = (np.array(grid.shape_zyx[::-1]) - 1)[:, None] / 2
    steps = np.array(grid.spacing_mm_zyx[::-1])[:, None]
    x, y, z = np.array(grid.direction_xyz).reshape(3, 3) @ ((index - centre) * steps)
    shaft = ((x - 2 - 0.1 * z) ** 2 + (y + 3 - 0.002 * z**2) ** 2 < 7.5**2) & (abs(z) < 30)
    head = (x - 13) ** 2 + (y - 4) ** 2 + (z - 20) ** 2 < 9.5**2
    return MaskVolume(femur_zyx=(shaft | head).reshape(grid.shape_zyx), grid=grid)


def _there_and_back(mask, recipe):
    share = mask_on_network_grid(mask, recipe).astype(np.float32)
    return onto_ct_grid(share, network_grid(mask.grid, recipe), mask.grid), share


def _dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize(
    "direction", ORIENTATIONS + OBLIQUE, ids=lambda d: "PP-05-" + "".join(f"{v:+.1g}" for v in d.ravel())
)
def test_a_femur_returns_to_the_voxels_it_came_from_in_every_orientation(direction):
    grid = _grid(direction, (46, 50, 54), (1.9, 1.5, 1.7))
    femur = _femur(grid)
    back, _ = _there_and_back(femur, InputRecipe(input_mode="raw", shape_zyx=(64, 48, 48)))
    np.testing.assert_allclose(center_of_mass(back), center_of_mass(femur.femur_zyx), atol=0.5)
    assert _dice(back, femur.femur_zyx) > 0.96


def test_pp_05_at_the_papers_size_there_and_back_moves_the_centroid_less_than_half_a_voxel():
    grid = _grid(np.eye(3), (120, 128, 128), (0.6, 0.5, 0.6))
    femur = _femur(grid)
    back, share = _there_and_back(femur, InputRecipe(input_mode="raw", shape_zyx=(512, 64, 64)))
    assert share.shape == (512, 64, 64)
    np.testing.assert_allclose(center_of_mass(back), center_of_mass(femur.femur_zyx), atol=0.5)
    assert _dice(back, femur.femur_zyx) > 0.97


@pytest.mark.parametrize("direction", [ORIENTATIONS[0], ORIENTATIONS[29], OBLIQUE[1]])
@pytest.mark.parametrize("shape_zyx", [(37, 45, 50), (9, 12, 70)])
def test_interpolation_matches_simpleitk_in_physical_space_up_to_the_faces(direction, shape_zyx):
    """SimpleITK leaves out what lies beyond the outermost centres; one repeated voxel round about makes it clamp."""
    ct_grid = _grid(direction, shape_zyx, (1.9, 1.5, 1.3))
    coarse = network_grid(ct_grid, InputRecipe(input_mode="raw", shape_zyx=(24, 12, 10)))
    noise = gaussian_filter(np.random.default_rng(0).normal(0, 1, coarse.shape_zyx), 1.5)
    probability = (1 / (1 + np.exp(-20 * noise))).astype(np.float32)
    padded = VoxelGrid(
        shape_zyx=(26, 14, 12),
        spacing_mm_zyx=coarse.spacing_mm_zyx,
        origin_mm_xyz=tuple(coarse.position_mm_xyz((-1, -1, -1)).tolist()),
        direction_xyz=coarse.direction_xyz,
    )
    onto = sitk.ResampleImageFilter()
    onto.SetReferenceImage(ct_grid.image(np.zeros(ct_grid.shape_zyx, np.float32)))
    onto.SetInterpolator(sitk.sitkLinear)
    onto.SetDefaultPixelValue(float("nan"))
    theirs = sitk.GetArrayFromImage(onto.Execute(padded.image(np.pad(probability, 1, mode="edge"))))
    assert np.isfinite(theirs).all()
    ours = onto_ct_grid(probability, coarse, ct_grid)
    clear = np.abs(theirs - 0.5) > 1e-5
    assert np.array_equal(ours[clear], theirs[clear] >= 0.5)
    assert 0.1 < ours.mean() < 0.9


def test_a_femur_that_fills_the_scan_reaches_its_faces():
    ct_grid = _grid(np.eye(3), (20, 30, 40), (1.0, 1.0, 1.0))
    coarse = network_grid(ct_grid, InputRecipe(input_mode="raw", shape_zyx=(4, 4, 4)))
    assert onto_ct_grid(np.ones((4, 4, 4), np.float32), coarse, ct_grid).all()
    assert not onto_ct_grid(np.full((4, 4, 4), 0.49, np.float32), coarse, ct_grid).any()


def test_a_network_grid_of_another_scan_is_refused():
    ct_grid = _grid(np.eye(3), (20, 30, 40), (1.0, 1.0, 1.0))
    other = _grid(np.eye(3), (20, 30, 40), (1.0, 1.0, 1.1))
    coarse = network_grid(other, InputRecipe(input_mode="raw", shape_zyx=(4, 4, 4)))
    with pytest.raises(ValueError, match="mm off the CT's box"):
        onto_ct_grid(np.ones((4, 4, 4), np.float32), coarse, ct_grid)
    with pytest.raises(ValueError, match="does not match grid"):
        onto_ct_grid(np.ones((4, 4, 5), np.float32), coarse, ct_grid)
