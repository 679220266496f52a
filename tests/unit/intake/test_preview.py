"""Small pictures of a study: the right way up, to scale, and the mask where its own grid places it."""

import numpy as np
import pytest

from femseg.intake.preview import HU_EDGES, band_between, end_bands, hu_counts, planes, preview
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid, lps_grid

SHAPE_ZYX, SPACING_ZYX = (30, 20, 24), (3.1, 2.0, 1.0)
AXES = {
    "upright": ((0, 1, 2), (1, 1, 1)),
    "head first": ((0, 1, 2), (-1, 1, 1)),
    "turned": ((0, 1, 2), (1, -1, -1)),
    "sagittal": ((2, 0, 1), (1, 1, 1)),
    "coronal, mirrored": ((1, 0, 2), (-1, 1, -1)),
}


def stored(array_lps, order, signs):
    """A volume in LPS order as a scanner with other axes would store it, and its grid."""
    grid = VoxelGrid(shape_zyx=array_lps.shape, spacing_mm_zyx=SPACING_ZYX, origin_mm_xyz=(-10.0, 5.0, 70.0))
    steps = tuple(slice(None, None, signs[axis]) for axis in order)
    direction = np.zeros((3, 3))
    for place, axis in enumerate(order):
        direction[2 - axis, 2 - place] = signs[axis]
    first = [0.0 if signs[axis] > 0 else array_lps.shape[axis] - 1.0 for axis in range(3)]
    turned = VoxelGrid(
        shape_zyx=tuple(array_lps.shape[axis] for axis in order),
        spacing_mm_zyx=tuple(SPACING_ZYX[axis] for axis in order),
        origin_mm_xyz=tuple(grid.position_mm_xyz(tuple(first)).tolist()),
        direction_xyz=tuple(direction.ravel()),
    )
    return array_lps.transpose(order)[steps], turned


def leg():
    """Soft tissue with a bone that is off the middle towards the patient's left and front, metal at its head end."""
    hu = np.full(SHAPE_ZYX, -1000.0, np.float32)
    hu[:, 4:16, 4:20] = 40.0
    bone = np.zeros(SHAPE_ZYX, bool)
    bone[3:28, 5:8, 14:19] = True
    hu[bone] = 600.0
    hu[26:28, 5:8, 14:19] = 3000.0
    return hu, bone


def pictures(order=(0, 1, 2), signs=(1, 1, 1)):
    hu, bone = leg()
    ct, grid = stored(hu, order, signs)
    mask, _ = stored(bone, order, signs)
    made = preview(CtVolume(hu_zyx=ct, grid=grid), MaskVolume(femur_zyx=mask, grid=grid))
    return {plane.name: plane for plane in made.planes}


@pytest.mark.parametrize(("order", "signs"), AXES.values(), ids=AXES)
def test_a_study_looks_the_same_however_it_was_acquired(order, signs):
    expected, shown = pictures(), pictures(order, signs)
    for name, plane in expected.items():
        assert np.array_equal(shown[name].grey, plane.grey), name
        assert np.array_equal(shown[name].mask, plane.mask), name


def test_left_is_right_front_is_up_and_the_head_is_up():
    shown = pictures()
    rows, columns = np.nonzero(shown["axial"].mask)
    assert rows.mean() < shown["axial"].grey.shape[0] / 2
    assert columns.mean() > shown["axial"].grey.shape[1] / 2
    rows, columns = np.nonzero(shown["coronal"].grey == 255)
    assert rows.max() < shown["coronal"].grey.shape[0] / 4
    assert columns.mean() > shown["coronal"].grey.shape[1] / 2
    rows, columns = np.nonzero(shown["sagittal"].grey == 255)
    assert rows.max() < shown["sagittal"].grey.shape[0] / 4
    assert columns.mean() < shown["sagittal"].grey.shape[1] / 2


@pytest.mark.parametrize(("order", "signs"), AXES.values(), ids=AXES)
def test_the_planes_pass_through_a_place_to_look_at_and_know_where_it_is(order, signs):
    """A speck of metal far from the bone's middle: all three planes show it, white, at their spot."""
    hu, bone = leg()
    hu[7:9, 12:14, 5:8] = 3000.0
    (ct, grid), (mask, _) = stored(hu, order, signs), stored(bone, order, signs)
    place = VoxelGrid(shape_zyx=SHAPE_ZYX, spacing_mm_zyx=SPACING_ZYX, origin_mm_xyz=(-10.0, 5.0, 70.0))
    speck_mm_xyz = tuple(place.position_mm_xyz((7.6, 12.6, 6.0)).tolist())
    shown = planes(
        CtVolume(hu_zyx=ct, grid=grid),
        MaskVolume(femur_zyx=mask, grid=grid),
        edge_pixels=192,
        heights=(90.0, 10.0),
        through_mm_xyz=speck_mm_xyz,
    )
    assert [(plane.name, plane.spot is None) for plane in shown] == [
        ("axial", True),
        ("axial", False),
        ("coronal", False),
        ("sagittal", False),
    ]
    for plane in shown[1:]:
        row, column = (int(share * n) for share, n in zip(plane.spot, plane.grey.shape, strict=True))
        assert plane.grey[row, column] == 255, plane.name


def test_pixels_are_square_and_few():
    shown = pictures()
    assert shown["coronal"].grey.shape[0] * shown["coronal"].pixel_mm == pytest.approx(30 * 3.1, abs=1)
    assert shown["coronal"].grey.shape[1] * shown["coronal"].pixel_mm == pytest.approx(24 * 1.0, abs=1)
    grid = VoxelGrid(shape_zyx=(4, 700, 300), spacing_mm_zyx=(5.0, 0.5, 0.5))
    large = preview(CtVolume(hu_zyx=np.zeros(grid.shape_zyx, np.float32), grid=grid), None)
    assert max(max(plane.grey.shape) for plane in large.planes) <= 192


def test_a_mask_on_another_grid_is_shown_where_that_grid_lies_IN_20():
    hu, bone = leg()
    grid = VoxelGrid(shape_zyx=SHAPE_ZYX, spacing_mm_zyx=SPACING_ZYX)
    moved = VoxelGrid(shape_zyx=SHAPE_ZYX, spacing_mm_zyx=SPACING_ZYX, origin_mm_xyz=(-6.0, 4.0, 0.0))
    ct = CtVolume(hu_zyx=hu, grid=grid)
    right, wrong = (preview(ct, MaskVolume(femur_zyx=bone, grid=where)).planes[0].mask for where in (grid, moved))
    assert np.array_equal(np.roll(right, (4, -6), (0, 1)), wrong)


def test_marks_lie_at_their_height_whatever_the_direction_of_the_stack():
    for signs in ((1, 1, 1), (-1, 1, 1)):
        _, grid = stored(np.zeros(SHAPE_ZYX, np.float32), (0, 1, 2), signs)
        inside = lps_grid(grid)
        low, high = (inside.position_mm_xyz((z, 3.0, 4.0)) for z in (8.5, 11.5))
        band = band_between("missing", high, low, inside)
        assert (band.axis, band.start, band.stop) == (0, pytest.approx(0.3), pytest.approx(0.4))
    assert [(band.start, band.kind) for band in end_bands(("superior",))] == [(1.0, "cut off")]


def test_a_scale_that_is_not_hounsfields_is_shown_in_its_own_range():
    hu, _ = leg()
    shifted = np.clip(hu, -1000, 1200) + 1024
    grid = VoxelGrid(shape_zyx=SHAPE_ZYX, spacing_mm_zyx=SPACING_ZYX)
    coronal = preview(CtVolume(hu_zyx=shifted, grid=grid), None).planes[1].grey
    assert coronal.min() < 40
    assert np.count_nonzero(coronal > 250) < coronal.size / 2


def test_every_voxel_of_a_small_ct_is_counted_once():
    hu, _ = leg()
    counts = hu_counts(hu)
    assert len(counts) == len(HU_EDGES) - 1
    assert sum(counts) == hu.size
    assert counts[-1] == np.count_nonzero(hu > 2000)
