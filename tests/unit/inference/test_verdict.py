"""When a mask asks to be looked at."""

import numpy as np
import pytest
from tiny_model import TINY_NETWORK, described

from femseg.inference.femora import Femora, told_apart
from femseg.inference.verdict import outside_training, reasons_to_review, training_range, verdict
from femseg.networks.vnet import VNet
from femseg.volumes.grid import MaskVolume, VoxelGrid

GRID = VoxelGrid(shape_zyx=(60, 40, 40), spacing_mm_zyx=(4.0, 2.0, 2.0))
FEMUR = (slice(5, 55), slice(15, 25), slice(15, 25))  # 200 × 20 × 20 mm = 80 ml


def mask_of(*boxes, grid: VoxelGrid = GRID) -> Femora:
    femur_zyx = np.zeros(grid.shape_zyx, np.bool_)
    for box in boxes:
        femur_zyx[box] = True
    return told_apart(MaskVolume(femur_zyx=femur_zyx, grid=grid), header="left")


def test_a_single_plausible_piece_inside_the_volume_needs_no_review():
    assert reasons_to_review(mask_of(FEMUR)) == ()


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([], "empty"),
        ([(slice(20, 24), slice(15, 25), slice(15, 25))], "6 ml, a femur is 50 to 1500 ml"),
        ([FEMUR, (slice(5, 55), slice(30, 33), slice(5, 15))], "2 pieces"),
        ([(slice(0, 50), slice(15, 25), slice(15, 25))], "inferior end"),
        ([(slice(10, 60), slice(15, 25), slice(15, 25))], "superior end"),
        ([(slice(5, 55), slice(0, 10), slice(15, 25))], "anterior end"),
        ([(slice(5, 55), slice(15, 25), slice(30, 40))], "left end"),
    ],
    ids=["IF-09-empty", "IF-09-small", "IF-09-pieces", "IF-09-inferior", "IF-09-superior", "IF-09-front", "IF-09-left"],
)
def test_what_a_femur_should_not_be_is_said(boxes, words):
    assert any(words in reason for reason in reasons_to_review(mask_of(*boxes)))


def test_two_femora_beside_each_other_are_no_femur_in_pieces():
    wide = VoxelGrid(shape_zyx=(60, 40, 90), spacing_mm_zyx=GRID.spacing_mm_zyx)
    other = (slice(5, 55), slice(15, 25), slice(65, 75))
    assert reasons_to_review(mask_of(FEMUR, other, grid=wide)) == ()
    broken = (slice(5, 28), *other[1:]), (slice(30, 55), *other[1:])
    reasons = reasons_to_review(mask_of(FEMUR, *broken, grid=wide))
    assert reasons == ("IF-09 the left femur has 2 pieces of 5 ml or more",)
    tip = (slice(5, 25), *other[1:])
    assert reasons_to_review(mask_of(FEMUR, tip, grid=wide)) == (
        "IF-09 the left femur is 32 ml, a femur is 50 to 1500 ml",
    )


def test_a_doubt_about_left_and_right_is_a_reason_to_review_IF_10():
    femur_zyx = np.zeros(GRID.shape_zyx, np.bool_)
    femur_zyx[FEMUR] = True
    untold = told_apart(MaskVolume(femur_zyx=femur_zyx, grid=GRID))
    (reason,) = verdict(untold, described(VNet(TINY_NETWORK, 1)))
    assert reason.startswith("IF-10 the side is not told")


def test_crumbs_are_no_pieces():
    assert reasons_to_review(mask_of(FEMUR, (30, 30, 30))) == ()


def test_ends_are_named_in_the_patient_not_in_the_array():
    upside_down = VoxelGrid(
        shape_zyx=GRID.shape_zyx,
        spacing_mm_zyx=GRID.spacing_mm_zyx,
        direction_xyz=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0),
    )
    at_first_slice = mask_of((slice(0, 50), slice(15, 25), slice(15, 25)), grid=upside_down)
    assert [r for r in reasons_to_review(at_first_slice) if "touches" in r] == [
        "IF-09 the mask touches the superior end of the volume"
    ]


def test_a_ct_unlike_those_of_the_training_is_said_with_numbers():  # IF-04
    seen = training_range([GRID, GRID.resized((50, 40, 40))])
    assert outside_training(GRID, seen) == ()
    finer = VoxelGrid(shape_zyx=(60, 40, 40), spacing_mm_zyx=(4.0, 0.5, 0.5))
    assert outside_training(finer, seen)[0] == "IF-04 spacing along y is 0.5 mm, trained on 2 mm"
    assert "IF-04 field of view along x is 20 mm, trained on 80 mm" in outside_training(finer, seen)


def test_a_range_is_said_with_both_ends_and_one_value_once():  # IF-04
    seen = training_range([GRID, VoxelGrid(shape_zyx=(60, 40, 40), spacing_mm_zyx=(4.0, 2.5, 2.0))])
    said = " ".join(outside_training(VoxelGrid(shape_zyx=(60, 40, 40), spacing_mm_zyx=(9.0, 9.0, 9.0)), seen))
    assert "spacing along z is 9 mm, trained on 4 mm" in said
    assert "spacing along y is 9 mm, trained on 2 to 2.5 mm" in said


def test_a_model_without_a_training_range_is_judged_by_the_mask_alone():
    assert verdict(mask_of(FEMUR), described(VNet(TINY_NETWORK, 1))) == ()
