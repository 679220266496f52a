"""What a verdict says: the gravest of its reasons, each with a number and a bound."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_model import TINY_NETWORK, described

from femseg.faults import ExitCode
from femseg.inference.femora import Femora, told_apart
from femseg.inference.shape import shapes_of
from femseg.inference.training_range import training_range
from femseg.inference.verdict import Signals, Verdict, verdict
from femseg.networks.vnet import VNet
from femseg.volumes.grid import MaskVolume, VoxelGrid

GRID = VoxelGrid(shape_zyx=(120, 80, 120), spacing_mm_zyx=(4.0, 2.0, 2.0))
FEMUR = (slice(10, 110), slice(15, 33), slice(15, 33))  # 400 × 36 × 36 mm = 518 ml
MODEL = described(VNet(TINY_NETWORK, 1))


def femora_of(*boxes, grid: VoxelGrid = GRID) -> Femora:
    femur_zyx = np.zeros(grid.shape_zyx, np.bool_)
    for box in boxes:
        femur_zyx[box] = True
    return told_apart(MaskVolume(femur_zyx=femur_zyx, grid=grid), header="left")


def judged(*boxes, grid: VoxelGrid = GRID, model=MODEL, **signals) -> Verdict:
    """Of a sure mask of these boxes, but for the signals that are given."""
    femora = femora_of(*boxes, grid=grid)
    sure = {"agreement": 0.99, "surface_entropy_bits": 0.1, "off_edge_share": 0.05, "metal_ml": 0.0} | signals
    return verdict(Signals(femora=shapes_of(femora), **sure), femora, model)


def test_a_femur_of_which_the_model_is_sure_is_usable():
    found = judged(FEMUR)
    assert (found.word, found.reasons, found.exit_code) == ("usable", (), ExitCode.DONE)
    assert str(found) == f"verdict: usable, expected Dice {found.expected_dice:.2f}"


def test_nothing_found_is_rejected_IF_09():
    found = judged()
    assert found.exit_code == ExitCode.REJECT
    assert str(found) == "verdict: reject: do not use this mask — IF-09 no femur was found"


@pytest.mark.parametrize(
    ("signals", "word", "says"),
    [
        ({"agreement": 0.2}, "reject", "IF-11 two looks at the CT agree by a Dice of 0.20"),
        ({"surface_entropy_bits": 1.0}, "reject", "IF-11 the network is unsure at the surface: 1.00 bits"),
        ({"off_edge_share": 0.9}, "reject", "IF-11 90% of the surface lies on no edge of the CT"),
        ({"metal_ml": 12.0}, "review", "IF-12 12.0 ml of metal in the scan"),
    ],
    ids=["IF-11-looks", "IF-11-entropy", "IF-11-edges", "IF-12"],
)
def test_each_signal_has_its_reason_with_number_and_bound(signals, word, says):
    found = judged(FEMUR, **signals)
    assert (found.word, len(found.reasons)) == (word, 1)
    assert found.reasons[0].startswith(says)
    assert ", expected " in found.reasons[0] or ", at most " in found.reasons[0]


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((slice(50, 70), *FEMUR[1:]), "long, a whole one at least"),
        ((slice(10, 110), slice(2, 78), slice(5, 100)), "mean section of"),
        ((slice(10, 110), slice(15, 18), slice(15, 18)), "mean section of 36 mm², at least"),
    ],
    ids=["IF-09-short", "IF-09-thick", "IF-09-thin"],
)
def test_what_no_femur_can_be_is_rejected(box, says):
    found = judged(box)
    assert found.word == "reject"
    assert any(says in reason for reason in found.reasons)


def test_a_femur_that_the_scan_cuts_off_may_be_short():
    for box in ((slice(0, 20), *FEMUR[1:]), (slice(100, 120), *FEMUR[1:])):
        assert judged(box).word == "usable"


def test_two_femora_beside_each_other_are_no_femur_in_pieces():
    other = (*FEMUR[:2], slice(80, 98))
    assert judged(FEMUR, other).reasons == ()
    found = judged(FEMUR, (slice(10, 52), *other[1:]), (slice(60, 110), *other[1:]))
    assert found.word == "review"
    assert "lies apart from it" in found.reasons[0]


def test_another_femur_that_can_be_none_asks_for_a_review_only():
    found = judged(FEMUR, (slice(50, 60), slice(15, 33), slice(80, 98)))
    assert found.word == "review"
    assert "a whole one at least" in found.reasons[0]


def test_a_doubt_about_left_and_right_is_a_reason_to_review_IF_10():
    femora = replace(femora_of(FEMUR), doubts=("IF-10 the side is not told",))
    signals = judged(FEMUR).signals
    assert verdict(signals, femora, MODEL).reasons == ("IF-10 the side is not told",)


def test_a_ct_unlike_those_of_the_training_is_a_reason_to_review_IF_04():
    seen = training_range([VoxelGrid(shape_zyx=GRID.shape_zyx, spacing_mm_zyx=(1.0, 1.0, 1.0))])
    found = judged(FEMUR, model=replace(MODEL, training_range=seen))
    assert found.word == "review"
    assert found.reasons[0].startswith("IF-04")


def test_the_gravest_reason_comes_first_and_decides():
    found = judged(FEMUR, metal_ml=12.0, agreement=0.1)
    assert found.word == "reject"
    assert found.expected_dice is None
    assert [reason[:5] for reason in found.reasons] == ["IF-11", "IF-12"]


def test_the_json_has_the_word_the_reasons_and_what_was_measured():
    plain = judged(FEMUR, metal_ml=2.0).plain()
    assert plain.keys() == {"word", "reasons", "expected_dice", "signals"}
    assert plain["signals"]["metal_ml"] == 2.0
    assert plain["signals"]["femora"]["left"]["cut_off"] == []
