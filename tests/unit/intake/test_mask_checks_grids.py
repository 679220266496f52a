"""Do a mask and its CT lie on one grid? Told by the voxel that they place farthest apart."""

from dataclasses import replace

import numpy as np
import pytest

from femseg.intake.mask_checks import grid_faults, grid_remarks
from femseg.volumes.grid import VoxelGrid

TURN = np.radians(12.0)
CT = VoxelGrid(
    shape_zyx=(500, 512, 512),
    spacing_mm_zyx=(0.9, 0.7421875, 0.7421875),
    origin_mm_xyz=(-187.3, -201.9, 812.4),
    direction_xyz=(np.cos(TURN), -np.sin(TURN), 0.0, np.sin(TURN), np.cos(TURN), 0.0, 0.0, 0.0, 1.0),
)


def singly(grid: VoxelGrid) -> VoxelGrid:
    """As NIfTI-1 keeps it: every number in single precision."""
    return VoxelGrid(
        shape_zyx=grid.shape_zyx,
        spacing_mm_zyx=tuple(float(np.float32(s)) for s in grid.spacing_mm_zyx),
        origin_mm_xyz=tuple(float(np.float32(o)) for o in grid.origin_mm_xyz),
        direction_xyz=tuple(float(np.float32(d)) for d in grid.direction_xyz),
    )


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(CT, id="IN-20 the same"),
        pytest.param(singly(CT), id="IN-20 single precision"),
        pytest.param(replace(CT, spacing_mm_zyx=(0.9, 0.742187, 0.742187)), id="IN-20 six decimals"),
    ],
)
def test_a_grid_that_was_only_rounded_is_the_same_grid(mask):
    assert grid_faults(CT, mask, "mask") == []
    assert grid_remarks(CT, mask) == []


def test_coarser_rounding_is_taken_with_a_remark_IN_20():
    mask = replace(CT, spacing_mm_zyx=(0.9, 0.74225, 0.74225))
    assert grid_faults(CT, mask, "mask") == []
    assert grid_remarks(CT, mask) == [
        "IN-20: the mask's header places voxels up to 0.045 mm from the CT's; read as the same voxels"
    ]


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        pytest.param(
            replace(CT, origin_mm_xyz=(-187.2, -201.9, 812.4)), ["origin mm (-187.2", "up to 0.1 mm"], id="IN-20 origin"
        ),
        pytest.param(
            replace(CT, spacing_mm_zyx=(0.9, 0.743, 0.743)), ["spacing mm", "up to 0.588 mm"], id="IN-20 spacing"
        ),
        pytest.param(
            replace(CT, direction_xyz=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)),
            ["direction"],
            id="IN-20 direction",
        ),
        pytest.param(replace(CT, shape_zyx=(499, 512, 512)), ["size (499, 512, 512)"], id="IN-20 fewer slices"),
    ],
)
def test_a_mask_elsewhere_is_refused_with_both_numbers_and_the_millimetres(mask, says):
    (fault,) = grid_faults(CT, mask, "mask")
    assert fault.id == "IN-20"
    for words in says:
        assert words in fault.problem


@pytest.mark.parametrize(
    ("below", "above", "says"),
    [
        (0, 3, "the mask has 503 slices, its CT 500: the CT lacks 3 after its last slice"),
        (2, 0, "the mask has 502 slices, its CT 500: the CT lacks 2 before its first slice"),
        (2, 3, "the mask has 505 slices, its CT 500: the CT lacks 2 before its first slice and 3 after its last slice"),
    ],
)
def test_a_mask_with_all_slices_and_more_tells_what_the_ct_lost_IN_03(below, above, says):
    x, y, z = CT.position_mm_xyz((-below, 0, 0)).tolist()
    mask = replace(CT, shape_zyx=(500 + below + above, 512, 512), origin_mm_xyz=(x, y, z))
    (fault,) = grid_faults(CT, mask, "mask")
    assert fault.id == "IN-03"
    assert fault.problem == says


def test_a_larger_mask_that_does_not_hold_the_ct_is_another_grid_IN_20():
    mask = replace(CT, shape_zyx=(520, 512, 512), origin_mm_xyz=(-187.3, -201.9, 812.9))
    assert [fault.id for fault in grid_faults(CT, mask, "mask")] == ["IN-20"]
