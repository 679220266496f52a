"""Metal, cut-off ends."""

import numpy as np
import pytest

from femseg.intake.voxel_check import bone_cut_off, cut_off, metal_ml
from femseg.volumes.grid import VoxelGrid

UPRIGHT = VoxelGrid(shape_zyx=(6, 5, 4), spacing_mm_zyx=(10.0, 5.0, 20.0))
HEAD_FIRST = VoxelGrid(
    shape_zyx=(6, 5, 4), spacing_mm_zyx=(10.0, 5.0, 20.0), direction_xyz=(1.0, 0, 0, 0, -1.0, 0, 0, 0, -1.0)
)
CORONAL = VoxelGrid(
    shape_zyx=(6, 5, 4), spacing_mm_zyx=(10.0, 5.0, 20.0), direction_xyz=(1.0, 0, 0, 0, 0, 1.0, 0, -1.0, 0)
)


def test_metal_is_what_exceeds_2500_hu_in_millilitres():
    ct = np.zeros((6, 5, 4), np.float32)
    ct[0, 0, :3] = (2500, 2501, 3000)
    assert metal_ml(ct, UPRIGHT) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("grid", "index", "ends"),
    [
        (UPRIGHT, (0, 2, 2), ("inferior",)),
        (UPRIGHT, (5, 2, 2), ("superior",)),
        (HEAD_FIRST, (0, 2, 2), ("superior",)),
        (CORONAL, (3, 0, 2), ("superior",)),
        (CORONAL, (3, 4, 2), ("inferior",)),
        (CORONAL, (0, 2, 2), ()),
        (UPRIGHT, (3, 0, 0), ()),
    ],
)
def test_a_mask_at_an_end_of_the_body_axis_is_cut_off_there(grid, index, ends):
    mask = np.zeros((6, 5, 4), bool)
    mask[index] = True
    assert cut_off(mask, grid) == ends


def test_bone_is_cut_off_where_an_end_slice_shows_more_than_a_square_centimetre():
    ct = np.zeros((6, 5, 4), np.float32)
    ct[0, 0, 0] = 900  # 1 cm², not more
    ct[5, 0, :2] = 900
    assert bone_cut_off(ct, UPRIGHT) == ("superior",)
