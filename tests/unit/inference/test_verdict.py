"""What a verdict says: the gravest of its reasons, each with a number and a bound."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_model import TINY_NETWORK, described

from femseg.faults import ExitCode
from femseg.inference.femora import Femora
from femseg.inference.shape import FemurShape
from femseg.inference.training_range import training_range
from femseg.inference.verdict import Signals, Verdict, verdict
from femseg.networks.package_files import TrainingMetrics
from femseg.networks.vnet import VNet
from femseg.volumes.grid import LabelVolume, VoxelGrid

GRID = VoxelGrid(shape_zyx=(120, 80, 120), spacing_mm_zyx=(4.0, 2.0, 2.0))
MODEL = described(VNet(TINY_NETWORK, 1))
FEMUR = FemurShape(
    volume_ml=500.0,
    stray_ml=0.0,
    length_mm=430.0,
    mean_mm2=1160.0,
    widest_mm2=4200.0,
    hip_width_mm=90.0,
    knee_width_mm=80.0,
    below_knee_mm=28.0,
    spur_ml=0.0,
    stray_mm_xyz=None,
    spur_mm_xyz=None,
    near_skin_share=0.0,
    rim_over_core_hu=600.0,
    cut_off=(),
)
NOTHING = Femora(labels=LabelVolume(labels_zyx=np.zeros(GRID.shape_zyx, np.uint8), grid=GRID), by_side={})


def judged(shape=FEMUR, *, right=None, femora=NOTHING, model=MODEL, **signals) -> Verdict:
    """Of a left femur and perhaps a right one; of all signals that are not given, the model is sure."""
    shapes = {side: one for side, one in (("left", shape), ("right", right)) if one}
    sure = {"agreement": 0.99, "surface_entropy_bits": 0.1, "off_edge_share": 0.05, "metal_ml": 0.0} | signals
    return verdict(Signals(femora=shapes, **sure), femora, model)


def test_a_femur_of_which_the_model_is_sure_is_usable():
    found = judged()
    assert (found.word, found.reasons, found.exit_code) == ("usable", (), ExitCode.DONE)
    assert str(found) == f"verdict: usable, expected Dice {found.expected_dice:.2f}"


@pytest.mark.parametrize("source", ["phantom", "synthetic", "dicom", ""])
def test_usable_of_a_model_that_learnt_from_no_patient_says_so_on_its_line(source):
    found = judged(model=replace(MODEL, cohort_source=source))
    said = " (learnt from no patient: look before use)" if source in ("phantom", "synthetic") else ""
    assert str(found) == f"verdict: usable{said}, expected Dice {found.expected_dice:.2f}"
    assert found.exit_code == ExitCode.DONE
    assert judged(model=replace(MODEL, cohort_source=source), metal_ml=12.0).caution == ""


@pytest.mark.parametrize(("source", "bound"), [("dicom", True), ("phantom", True), ("", True), ("synthetic", False)])
def test_a_validation_bounds_the_expected_dice_but_that_of_painted_people(source, bound):
    model = replace(MODEL, cohort_source=source, metrics=TrainingMetrics(validation_dice=0.7))
    assert (judged(model=model).expected_dice == 0.7) == bound


def test_nothing_found_is_rejected_IF_09():
    found = judged(None)
    assert found.exit_code == ExitCode.REJECT
    assert str(found) == "verdict: reject: do not use this mask — IF-09 no femur was found"


@pytest.mark.parametrize(
    ("signals", "word", "says"),
    [
        ({"agreement": 0.2}, "reject", "IF-11 two looks at the CT agree by a Dice of 0.200"),
        ({"surface_entropy_bits": 1.0}, "reject", "IF-11 the network is unsure at the surface: 1.000 bits"),
        ({"off_edge_share": 0.9}, "reject", "IF-11 90.0% of the surface lies on no edge of the CT"),
        ({"metal_ml": 12.0}, "review", "IF-12 12.0 ml of metal in the scan"),
        ({"left_out_ml": 23.7}, "review", "IF-11 23.7 ml that the finer network drew are left out"),
    ],
    ids=["IF-11-looks", "IF-11-entropy", "IF-11-edges", "IF-12", "IF-11-left-out"],
)
def test_each_signal_has_its_reason_with_number_and_bound(signals, word, says):
    found = judged(**signals)
    assert (found.word, len(found.reasons)) == (word, 1)
    assert found.reasons[0].startswith(says)
    assert ", expected " in found.reasons[0] or ", at most " in found.reasons[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"length_mm": 700.0}, "700 mm long, at most"),
        ({"length_mm": 100.0}, "100 mm long, a whole one at least"),
        ({"hip_width_mm": 50.0}, "the hip end of the left femur is 50 mm wide, at least"),
        ({"knee_width_mm": 40.0}, "the knee end of the left femur is 40 mm wide, at least"),
        ({"widest_mm2": 1000.0}, "no section of the left femur exceeds 1000 mm²"),
        ({"widest_mm2": 20000.0}, "a section of 20000 mm², at most"),
        ({"mean_mm2": 100.0}, "mean section of 100 mm², at least"),
        ({"stray_ml": 250.0}, "50% of the left femur lies apart from it"),
        ({"spur_ml": 30.0}, "30.0 ml stick out of the head of the left femur, at most"),
        ({"near_skin_share": 0.5}, "50% of the shaft of the left femur lies just under the skin"),
        ({"rim_over_core_hu": -20.0}, "the rim of the left femur is denser than its core by -20 HU"),
        ({"volume_ml": 5.0, "cut_off": ("inferior",)}, "5 ml of the left femur are in the scan"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "IF-09",
)
def test_what_no_femur_can_be_is_rejected_IF_09(change, says):
    found = judged(replace(FEMUR, **change))
    assert found.word == "reject"
    assert len(found.reasons) == 1
    assert says in found.reasons[0]


def test_a_femur_that_the_scan_cuts_off_may_be_short_and_small():
    hip = replace(FEMUR, volume_ml=60.0, length_mm=54.0, hip_width_mm=None, knee_width_mm=None, widest_mm2=1500.0)
    assert judged(replace(hip, cut_off=("inferior",))).word == "usable"
    assert judged(replace(hip, cut_off=("inferior", "superior"))).word == "reject"


@pytest.mark.parametrize(
    ("passes", "asks", "says"),
    [
        ({"spur_ml": 0.9}, {"spur_ml": 3.0}, "3.0 ml stick out of the head of the left femur, at most 1.0 ml"),
        (
            {"below_knee_mm": 42.0},
            {"below_knee_mm": 62.5},
            "the left femur reaches 62 mm below its condyles, at most 45 mm",
        ),
        ({"stray_ml": 0.9}, {"stray_ml": 9.4}, "9.4 ml of the left femur lie apart from it, at most 1.0 ml"),
    ],
    ids=["spur", "below the knee", "apart"],
)
def test_bone_grown_onto_a_femur_or_apart_from_it_asks_for_a_review_however_large_that_is(passes, asks, says):
    assert judged(replace(FEMUR, **passes)).word == "usable"
    found = judged(replace(FEMUR, **asks))
    assert (found.word, found.reasons) == ("review", (f"IF-09 {says}",))


def test_a_reason_that_lies_somewhere_says_where_and_the_gravest_is_looked_at_first():
    pieces = {"stray_ml": 2.0, "stray_mm_xyz": (-12.4, 7.0, 881.0)}
    found = judged(replace(FEMUR, **pieces), right=replace(FEMUR, stray_ml=0.4, stray_mm_xyz=(0.0, 0.0, 0.0)))
    assert found.reasons == (
        "IF-09 2.0 ml of the left femur lie apart from it, at most 1.0 ml, the largest part about (-12, 7, 881) mm LPS",
    )
    assert found.look_at_mm_xyz == {"left": (-12.4, 7.0, 881.0)}
    graver = judged(replace(FEMUR, **pieces, spur_ml=30.0, spur_mm_xyz=(1.0, 2.0, 3.0)))
    assert graver.look_at_mm_xyz == {"left": (1.0, 2.0, 3.0)}


def test_a_hip_end_without_a_head_asks_for_a_review_unless_the_scan_cuts_it():
    headless = replace(FEMUR, spur_ml=None)
    assert judged(headless).reasons == ("IF-09 no head is seen at the hip end of the left femur",)
    assert judged(replace(headless, cut_off=("right",))).word == "usable"
    assert judged(replace(headless, cut_off=("superior",), hip_width_mm=None)).word == "usable"


def test_what_lies_apart_makes_no_femur_larger():
    hip = replace(FEMUR, volume_ml=32.0, stray_ml=5.0, cut_off=("inferior",), knee_width_mm=None, widest_mm2=1500.0)
    assert any("27 ml of the left femur are in the scan" in reason for reason in judged(hip).reasons)


def test_shafts_alone_are_refused_for_a_spine_or_a_humerus_looks_like_one():
    shaft = replace(FEMUR, cut_off=("inferior", "superior"), hip_width_mm=None, knee_width_mm=None)
    for found in (judged(shaft), judged(shaft, right=shaft)):
        assert found.word == "reject"
        assert found.reasons[0].startswith("IF-09 the scan shows no end of a femur")
    assert judged(shaft, right=replace(FEMUR, volume_ml=0.3 * shaft.volume_ml)).word == "reject"
    assert judged(shaft, right=FEMUR).word == judged(FEMUR, right=shaft).word == "review"


def test_another_femur_that_can_be_none_asks_for_a_review_only():
    found = judged(right=replace(FEMUR, volume_ml=9.0, length_mm=30.0))
    assert found.word == "review"
    assert "the right femur is 30 mm long, a whole one at least" in found.reasons[0]


def test_where_the_largest_femur_shows_no_end_one_of_like_size_decides_as_well():
    shaft = replace(FEMUR, cut_off=("inferior", "superior"), hip_width_mm=None, knee_width_mm=None)
    arm = replace(FEMUR, volume_ml=400.0, cut_off=("inferior",), hip_width_mm=45.0, knee_width_mm=None)
    assert judged(shaft, right=arm).word == "reject"
    assert judged(FEMUR, right=arm).word == "review"


def test_a_doubt_about_left_and_right_is_a_reason_to_review_IF_10():
    found = judged(femora=replace(NOTHING, doubts=("IF-10 the side is not told",)))
    assert (found.word, found.reasons) == ("review", ("IF-10 the side is not told",))


def test_a_ct_unlike_those_of_the_training_is_a_reason_to_review_IF_04():
    seen = training_range([VoxelGrid(shape_zyx=GRID.shape_zyx, spacing_mm_zyx=(1.0, 1.0, 1.0))])
    found = judged(model=replace(MODEL, training_range=seen))
    assert found.word == "review"
    assert found.reasons[0].startswith("IF-04")


def test_the_gravest_reason_comes_first_and_decides():
    found = judged(metal_ml=12.0, agreement=0.1)
    assert found.word == "reject"
    assert found.expected_dice is None
    assert [reason[:5] for reason in found.reasons] == ["IF-11", "IF-12"]


def test_the_json_has_the_word_the_reasons_and_what_was_measured():
    plain = judged(metal_ml=2.0).plain()
    assert plain.keys() == {"word", "reasons", "expected_dice", "signals", "look_at_mm_xyz", "caution"}
    assert plain["signals"]["metal_ml"] == 2.0
    assert plain["signals"]["femora"]["left"]["cut_off"] == []
