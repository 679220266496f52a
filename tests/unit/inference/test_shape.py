"""Size and form of what a mask calls femur, on masks whose numbers are known."""

import numpy as np
import pytest
from bright_network import leg

from femseg.inference.femora import told_apart
from femseg.inference.shape import FemurShape, shapes_of
from femseg.volumes.grid import MaskVolume, VoxelGrid

GRID = VoxelGrid(shape_zyx=(60, 40, 40), spacing_mm_zyx=(4.0, 2.0, 2.0))
BAR = (slice(5, 55), slice(15, 25), slice(15, 25))  # 200 × 20 × 20 mm = 80 ml


def shape_of(*boxes: tuple[slice, ...], grid: VoxelGrid = GRID) -> FemurShape:
    femur_zyx = np.zeros(grid.shape_zyx, np.bool_)
    for box in boxes:
        femur_zyx[box] = True
    (shape,) = shapes_of(told_apart(MaskVolume(femur_zyx=femur_zyx, grid=grid))).values()
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


def test_an_anatomical_femur_has_the_length_that_it_was_drawn_with():
    (shape,) = shapes_of(told_apart(leg())).values()
    assert 400.0 < shape.length_mm < 520.0
    assert 800.0 < shape.mean_mm2 < 1800.0
    assert shape.widest_mm2 > 2500.0


def test_an_empty_mask_has_no_shape():
    nothing = MaskVolume(femur_zyx=np.zeros(GRID.shape_zyx, np.bool_), grid=GRID)
    assert shapes_of(told_apart(nothing)) == {}
