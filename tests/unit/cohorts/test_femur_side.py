"""Left and right in LPS coordinates, whatever way the array runs."""

import numpy as np
import pytest

from femseg.cohorts.femur_side import middle_between, of_side, pieces_of, side_of_body
from femseg.cohorts.settings import LabelMap
from femseg.intake.voxel_check import _side_shown
from femseg.volumes.grid import CtVolume, VoxelGrid

SHAPE = (12, 20, 50)
LPS = VoxelGrid(shape_zyx=SHAPE, spacing_mm_zyx=(5.0, 5.0, 5.0))
RAS = VoxelGrid(shape_zyx=SHAPE, spacing_mm_zyx=(5.0, 5.0, 5.0), direction_xyz=(-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))


def two_femora() -> np.ndarray:
    """One femur at low x indices, a larger one at high x indices with a loose fragment beside it."""
    mask = np.zeros(SHAPE, bool)
    mask[2:10, 5:10, 5:9] = True
    mask[2:10, 5:10, 38:43] = True
    mask[2:4, 12:14, 36:38] = True
    return mask


def test_the_left_femur_has_the_greater_x_of_patient_space():
    mask = two_femora()
    parts = pieces_of(mask, LPS)
    left, right = of_side(mask, parts, "left"), of_side(mask, parts, "right")
    assert left[:, :, 30:].any()
    assert not left[:, :, :30].any()
    np.testing.assert_array_equal(left | right, mask)
    assert not (left & right).any()
    parts = pieces_of(mask, RAS)  # x indices now run to the patient's right
    np.testing.assert_array_equal(of_side(mask, parts, "left"), right)


def test_pieces_are_measured_in_millilitres_and_placed_in_millimetres():
    pieces = pieces_of(two_femora(), LPS).pieces
    assert [piece.volume_ml for piece in pieces] == pytest.approx([25.0, 20.0, 1.0])
    assert pieces[0].centre_mm_xyz == pytest.approx((200.0, 35.0, 27.5))


def test_all_and_single_femora_stay_as_they_are_even_in_fragments():
    mask = two_femora()
    assert of_side(mask, pieces_of(mask, LPS), "all") is mask
    mask[:, :, :30] = False
    parts = pieces_of(mask, LPS)
    assert middle_between(parts) is None
    assert of_side(mask, parts, "right") is mask


def test_an_empty_mask_has_no_pieces():
    parts = pieces_of(np.zeros(SHAPE, bool), LPS)
    assert parts.pieces == ()
    assert middle_between(parts) is None


@pytest.mark.parametrize(("span", "side"), [(slice(5, 9), "right"), (slice(38, 43), "left"), (slice(23, 27), None)])
def test_a_single_femur_is_sided_by_its_distance_from_the_middle_of_the_body(span, side):
    ct = np.full(SHAPE, -1000, np.float32)
    ct[:, 2:18, 2:48] = 40
    mask = np.zeros(SHAPE, bool)
    mask[2:10, 5:10, span] = True
    assert side_of_body(pieces_of(mask, LPS), CtVolume(hu_zyx=ct, grid=LPS)) == side


def on_the_left_of(ct_zyx: np.ndarray, grid: VoxelGrid, x: slice) -> str | None:
    mask = np.zeros(grid.shape_zyx, bool)
    mask[2:10, 8:13, x] = True
    return side_of_body(pieces_of(mask, grid), CtVolume(hu_zyx=ct_zyx.astype(np.float32), grid=grid))


def test_a_leg_that_goes_on_beyond_the_scan_has_no_middle_and_a_body_has_one_roughly():
    narrow = np.full((12, 20, 50), 40)  # 250 mm of something, to both ends of the scan
    assert on_the_left_of(narrow, LPS, slice(38, 42)) is None
    broad = VoxelGrid(shape_zyx=(12, 20, 72), spacing_mm_zyx=(5.0, 5.0, 5.0))  # 360 mm: both legs
    body = np.full(broad.shape_zyx, 40)
    assert on_the_left_of(body, broad, slice(57, 61)) == "left"  # 115 mm from the scan's middle
    assert on_the_left_of(body, broad, slice(11, 15)) == "right"
    assert on_the_left_of(body, broad, slice(50, 54)) is None  # 80 mm: the middle of 500 mm may be there
    ends_left = body.copy()
    ends_left[:, :, 70:] = -1000
    assert on_the_left_of(ends_left, broad, slice(50, 54)) == "left"


def test_a_table_is_no_part_of_the_body():
    ct = np.full(SHAPE, -1000)
    ct[:, 2:16, 10:30] = 40  # one leg of 100 mm, the femur 35 mm from its middle
    ct[:, 19, :] = 300
    assert on_the_left_of(ct, LPS, slice(25, 29)) == "left"
    ct[:, 2:16, 2:38] = 40
    assert on_the_left_of(ct, LPS, slice(25, 29)) is None  # of 180 mm, too near to its middle for one of two


def test_labels_tell_the_side_before_the_place_does():
    values = two_femora().astype(np.uint8)
    parts = pieces_of(values > 0, LPS)
    assert _side_shown(values, parts, "all", LabelMap(right=(1,))) == "right"
    assert _side_shown(values, parts, "left", LabelMap(left=(1,), right=(2,))) == "left"
    assert _side_shown(values, parts, "all", LabelMap()) == "both"


def test_two_fragments_of_one_femur_are_not_taken_for_two_femora():
    """Abducted, so that the fragments' centres lie 100 mm apart across the body, one above the other."""
    grid = VoxelGrid(shape_zyx=(40, 10, 50), spacing_mm_zyx=(5.0, 5.0, 5.0))
    broken = np.zeros(grid.shape_zyx, bool)
    broken[2:19, 2:8, 30:36] = True
    broken[20:38, 2:8, 8:14] = True
    assert middle_between(pieces_of(broken, grid)) is None
    beside = np.zeros(grid.shape_zyx, bool)
    beside[2:30, 2:8, 30:36] = True
    beside[10:38, 2:8, 8:14] = True
    assert middle_between(pieces_of(beside, grid)) == 5.0 * (32.5 + 10.5) / 2


def test_pieces_have_the_size_centre_and_reach_of_their_voxels():
    grid = VoxelGrid(shape_zyx=(30, 30, 30), spacing_mm_zyx=(2.0, 1.5, 1.0), origin_mm_xyz=(5.0, -7.0, 100.0))
    mask = np.zeros(grid.shape_zyx, bool)
    mask[4:14, 5:15, 6:26] = True
    mask[25, 28, 3] = True
    large, small = pieces_of(mask, grid).pieces
    assert (large.volume_ml, small.volume_ml) == (10 * 10 * 20 * 0.003, 0.003)
    np.testing.assert_allclose(large.centre_mm_xyz, grid.position_mm_xyz((8.5, 9.5, 15.5)))
    np.testing.assert_allclose(small.centre_mm_xyz, grid.position_mm_xyz((25, 28, 3)))
    assert large.reach_mm == (108.0, 126.0)
