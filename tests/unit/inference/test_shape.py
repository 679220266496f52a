"""Size and form of what a mask calls femur, on masks whose numbers are known."""

from dataclasses import replace

import numpy as np
import pytest
from bright_network import bright_ct, leg, leg_with_spur
from scipy import ndimage

from femseg.inference.femora import told_apart
from femseg.inference.shape import FemurShape, shapes_of
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid

GRID = VoxelGrid(shape_zyx=(60, 40, 40), spacing_mm_zyx=(4.0, 2.0, 2.0))
BAR = (slice(5, 55), slice(15, 25), slice(15, 25))  # 200 × 20 × 20 mm = 80 ml


def shape_of(*boxes: tuple[slice, ...], grid: VoxelGrid = GRID) -> FemurShape:
    femur_zyx = np.zeros(grid.shape_zyx, np.bool_)
    for box in boxes:
        femur_zyx[box] = True
    return measured(MaskVolume(femur_zyx=femur_zyx, grid=grid))


def measured(mask: MaskVolume, ct: CtVolume | None = None) -> FemurShape:
    (shape,) = shapes_of(told_apart(mask), ct or bright_ct(mask)).values()
    return shape


def test_a_bar_has_the_length_and_the_sections_of_a_bar():
    shape = shape_of(BAR)
    assert shape.volume_ml == pytest.approx(80.0)
    assert shape.length_mm == pytest.approx(200.0, rel=0.02)
    assert shape.mean_mm2 == pytest.approx(400.0, rel=0.02)
    assert (shape.stray_ml, shape.cut_off) == (0.0, ())


def test_the_length_is_measured_along_the_bone_however_it_lies():
    lying = shape_of((slice(28, 32), slice(15, 25), slice(5, 35)))  # 60 × 20 × 16 mm, along x
    assert lying.length_mm == pytest.approx(60.0, rel=0.05)
    assert lying.mean_mm2 == pytest.approx(320.0, rel=0.05)


@pytest.mark.parametrize(
    ("box", "ends"),
    [
        ((slice(0, 50), *BAR[1:]), ("inferior",)),
        ((slice(1, 60), *BAR[1:]), ("inferior", "superior")),
        ((BAR[0], slice(0, 10), BAR[2]), ("anterior",)),
        ((BAR[0], BAR[1], slice(28, 38)), ("left",)),
    ],
)
def test_a_femur_that_comes_near_the_end_of_a_scan_is_cut_off_there(box, ends):
    assert shape_of(box).cut_off == ends


def test_a_crumb_at_the_end_of_the_scan_does_not_make_a_femur_one_that_is_cut_off():
    shape = shape_of(BAR, (slice(0, 1), slice(0, 2), slice(0, 2)))
    assert shape.cut_off == ()
    assert shape.stray_ml == pytest.approx(0.064)


def test_ends_are_named_in_the_patient_not_in_the_array():
    upside_down = VoxelGrid(
        shape_zyx=GRID.shape_zyx,
        spacing_mm_zyx=GRID.spacing_mm_zyx,
        direction_xyz=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0),
    )
    assert shape_of((slice(0, 50), *BAR[1:]), grid=upside_down).cut_off == ("superior",)


def test_an_anatomical_femur_has_the_measures_of_one():
    shape = measured(leg())
    assert 400.0 < shape.length_mm < 520.0
    assert 800.0 < shape.mean_mm2 < 1800.0
    assert shape.widest_mm2 > 2500.0
    assert 75.0 < shape.hip_width_mm < 115.0
    assert 60.0 < shape.knee_width_mm < 100.0


def test_an_end_that_the_scan_cuts_off_has_no_width():
    femur = leg()
    knee = MaskVolume(
        femur_zyx=femur.femur_zyx[:60], grid=replace(femur.grid, shape_zyx=(60, *femur.grid.shape_zyx[1:]))
    )
    assert measured(knee).hip_width_mm is None
    assert measured(knee).knee_width_mm == pytest.approx(measured(femur).knee_width_mm, abs=8.0)


def test_the_end_of_a_short_piece_is_measured_across_the_body():
    """A hip that the scan cuts off 100 mm below its top is nearly as wide as long; an arm bone's piece is not."""
    femur = leg()
    top = int(np.flatnonzero(femur.femur_zyx.any(axis=(1, 2)))[-1])
    cut = np.s_[top - 24 :]
    hip = MaskVolume(femur_zyx=femur.femur_zyx[cut], grid=replace(femur.grid, shape_zyx=femur.femur_zyx[cut].shape))
    assert measured(hip).length_mm < 150.0
    assert measured(hip).hip_width_mm == pytest.approx(measured(femur).hip_width_mm, abs=8.0)
    arm = shape_of((slice(0, 27), *BAR[1:]))
    assert arm.cut_off == ("inferior",)
    assert arm.hip_width_mm == pytest.approx(np.hypot(18.0, 18.0), rel=0.05)
    assert shape_of((slice(0, 19), *BAR[1:])).hip_width_mm is None  # a head alone is no wider


@pytest.mark.parametrize("radius_mm", [8.0, 12.0, 18.0])
@pytest.mark.parametrize("towards_xyz", [(0.0, 0.0, 1.0), (0.8, 0.3, 0.5), (-0.4, 0.2, 0.9)], ids=str)
def test_bone_grown_onto_the_head_is_measured(radius_mm, towards_xyz):
    """But for the 4 mm next to the head; also where it reaches the end of the scan."""
    femur, grown = leg(), leg_with_spur(radius_mm, towards_xyz)
    added_ml = measured(grown).volume_ml - measured(femur).volume_ml
    assert measured(femur).spur_ml == 0.0
    assert 0.5 * added_ml < measured(grown).spur_ml < added_ml


@pytest.mark.parametrize("turned", [False, True])
def test_the_place_of_grown_bone_and_of_a_stray_piece_lies_in_it(turned):
    """In the patient's millimetres, also where the scan is stored from the head down and mirrored."""
    femur, grown = leg(), leg_with_spur(12.0, (0.8, 0.3, 0.5))
    added_zyx = grown.femur_zyx & ~femur.femur_zyx
    piece_zyx = np.zeros_like(added_zyx)
    piece_zyx[4:12, 2:6, 2:6] = True
    mask = replace(grown, femur_zyx=grown.femur_zyx | piece_zyx)
    if turned:
        mask = MaskVolume(
            femur_zyx=mask.femur_zyx[::-1, :, ::-1],
            grid=replace(
                mask.grid,
                direction_xyz=(-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
                origin_mm_xyz=tuple(
                    mask.grid.position_mm_xyz((mask.grid.shape_zyx[0] - 1, 0, mask.grid.shape_zyx[2] - 1))
                ),
            ),
        )
    shape = measured(mask)
    for place, inside_zyx in ((shape.spur_mm_xyz, added_zyx), (shape.stray_mm_xyz, piece_zyx)):
        assert inside_zyx[tuple(femur.grid.indices_zyx(np.array([place])).round().astype(int)[0])]
    assert (measured(femur).spur_mm_xyz, measured(femur).stray_mm_xyz) == (None, None)


def test_osteophytes_do_not_stick_out():
    """Bumps of up to 4 mm on the head, each as wide as a thumb."""
    femur = leg()
    bumps = [leg_with_spur(6.0, (a, b, 1.0), out_mm=4.0).femur_zyx for a, b in ((0, 0), (1, 0), (0.3, 1), (0.3, -1))]
    assert measured(replace(femur, femur_zyx=np.any(bumps, axis=0))).spur_ml < 0.3


@pytest.mark.parametrize("tibia_mm", [0, 32, 60])
def test_tibia_grown_onto_the_condyles_shows_below_them(tibia_mm):
    femur = leg()
    whole_zyx = np.pad(femur.femur_zyx, ((30, 0), (0, 0), (0, 0)))
    lowest = int(np.flatnonzero(whole_zyx.any(axis=(1, 2)))[0])
    y, x = (int(np.median(at)) for at in np.nonzero(whole_zyx[lowest + 2]))
    spacing = femur.grid.spacing_mm_zyx
    half_y, half_x = (round(18.0 / mm) for mm in spacing[1:])
    below = slice(lowest - round(tibia_mm / spacing[0]), lowest + 2)
    whole_zyx[below, y - half_y : y + half_y, x - half_x : x + half_x] |= tibia_mm > 0
    shape = measured(MaskVolume(femur_zyx=whole_zyx, grid=replace(femur.grid, shape_zyx=whole_zyx.shape)))
    expected_mm = min(measured(femur).below_knee_mm + tibia_mm, 87.5)  # it looks no further up than 90 mm
    assert shape.below_knee_mm == pytest.approx(expected_mm, abs=8.0)
    assert (shape.below_knee_mm > 45.0) == (tibia_mm > 0)


def test_where_no_head_is_seen_nothing_sticks_out_of_it():
    femur = leg()
    knee = MaskVolume(
        femur_zyx=femur.femur_zyx[:80], grid=replace(femur.grid, shape_zyx=(80, *femur.grid.shape_zyx[1:]))
    )
    assert measured(knee).spur_ml is None
    assert shape_of(BAR).spur_ml is None


def test_an_arm_bone_under_the_skin_and_a_solid_rod_are_told_from_a_femur():
    mask = MaskVolume(femur_zyx=np.zeros(GRID.shape_zyx, np.bool_), grid=GRID)
    mask.femur_zyx[BAR] = True
    deep = bright_ct(mask)
    assert measured(mask, deep).near_skin_share == 0.0
    assert measured(mask, deep).rim_over_core_hu == pytest.approx(250.0, abs=20.0)
    bare = replace(deep, hu_zyx=deep.hu_zyx.copy())
    bare.hu_zyx[:, :12] = -1000.0  # 6 mm in front
    assert 0.2 < measured(mask, bare).near_skin_share < 0.7
    solid = replace(deep, hu_zyx=np.where(mask.femur_zyx, 1000.0, deep.hu_zyx).astype(np.float32))
    assert measured(mask, solid).rim_over_core_hu == 0.0


def test_a_nail_is_no_core():
    femur = leg()
    nailed = bright_ct(femur)
    nailed.hu_zyx[ndimage.binary_erosion(femur.femur_zyx, iterations=4)] = 3000.0
    assert measured(femur, nailed).rim_over_core_hu > 200.0


def test_an_empty_mask_has_no_shape():
    nothing = MaskVolume(femur_zyx=np.zeros(GRID.shape_zyx, np.bool_), grid=GRID)
    assert shapes_of(told_apart(nothing), bright_ct(nothing)) == {}
