from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from femseg.volumes.grid import VoxelGrid, to_lps

ORIENTATIONS = [
    tuple((np.eye(3)[:, list(axes)] * signs).ravel().tolist())
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3))
]
SHAPE, SPACING = (4, 5, 6), (3.0, 1.5, 0.7)


def _volume(direction_xyz):
    grid = VoxelGrid(
        shape_zyx=SHAPE, spacing_mm_zyx=SPACING, origin_mm_xyz=(-20.0, 11.0, 400.0), direction_xyz=direction_xyz
    )
    return np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE), grid


@pytest.mark.parametrize("direction_xyz", ORIENTATIONS)
def test_every_voxel_keeps_its_place_in_the_patient_in_all_48_orientations(direction_xyz):
    array, grid = _volume(direction_xyz)
    view, lps = to_lps(array, grid)
    assert lps.direction_xyz == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert np.shares_memory(view, array)
    for index in product(*(range(n) for n in SHAPE)):
        at = grid.position_mm_xyz(index)
        steps_xyz = (at - np.array(lps.origin_mm_xyz)) / lps.spacing_mm_zyx[::-1]
        x, y, z = np.rint(steps_xyz).astype(int)
        np.testing.assert_allclose(steps_xyz, (x, y, z), atol=1e-9)
        assert view[z, y, x] == array[index]


@pytest.mark.parametrize("degrees_xyz", [(10, 0, 0), (-20, 15, 30), (44, 0, 0), (120, -70, 200)])
def test_an_oblique_scan_keeps_its_obliqueness_and_agrees_with_simpleitk(degrees_xyz):
    direction = Rotation.from_euler("xyz", degrees_xyz, degrees=True).as_matrix()
    array, grid = _volume(tuple(direction.ravel().tolist()))
    view, lps = to_lps(array, grid)
    theirs = sitk.DICOMOrient(grid.image(array), "LPS")
    assert np.array_equal(view, sitk.GetArrayFromImage(theirs))
    assert lps.largest_offset_mm(VoxelGrid.of_image(theirs)) < 1e-9


def test_what_is_written_to_the_view_stands_in_the_array():
    array, grid = _volume(ORIENTATIONS[29])
    view, _ = to_lps(array, grid)
    view[...] = 0
    assert not array.any()


def test_an_array_of_another_shape_than_its_grid_is_refused():
    array, grid = _volume(ORIENTATIONS[0])
    with pytest.raises(ValueError, match="does not match grid"):
        to_lps(array[1:], grid)
