"""Good enough means every case and every group; no worse means that the interval says so."""

from pathlib import Path

import pytest
from scores import case_score

from femseg.cohorts.split import Split
from femseg.gate.rules import Acceptable, NonInferiority, PromotionRules
from femseg.gate.score_checks import acceptable_checks, non_inferiority_check, recorded_checks
from femseg.gate.test_set import FrozenTestSet

DICES = (0.92, 0.9, 0.94, 0.91, 0.93, 0.95)
RULES = PromotionRules(acceptable={"dice": Acceptable(mean=0.9, worst_case=0.85, subgroup_mean=0.88)})
ALL_FEMALE = {f"c{number}": "female" for number in range(3)}
TEST_SET = FrozenTestSet(
    cases=(),
    root=Path(),
    split=Split(train=("a",), validation=("b",), test=("c",)),
    manifest_sha256="",
    groups={"sex": {**ALL_FEMALE, "c3": "male", "c4": "male"}},
)


def scores(dices=DICES, **changed):
    return [case_score(f"c{number}", "native", dice, **changed) for number, dice in enumerate(dices)]


def failed(checks) -> list[str]:
    return [check.name for check in checks if not check.passed]


def test_a_good_scorecard_passes_every_bound():
    checks = list(acceptable_checks(scores(), TEST_SET, RULES))
    assert failed(checks) == []
    assert [check.name for check in checks] == [
        "test cases",
        "mean Dice (DSC)",
        "worst Dice (DSC) (c1)",
        "mean Dice (DSC) of sex female (3 cases)",
    ]  # two men are too few to be judged as a group


@pytest.mark.parametrize(
    ("dices", "names"),
    [
        ((0.92, 0.9, 0.94, 0.91, 0.93, 0.84), ["worst Dice (DSC) (c5)"]),
        ((0.87, 0.87, 0.87, 0.99, 0.99, 0.99), ["mean Dice (DSC) of sex female (3 cases)"]),
        ((0.89,) * 6, ["mean Dice (DSC)"]),
        ((0.92,) * 4, ["test cases"]),
    ],
)
def test_each_bound_fails_alone_with_what_was_found_and_expected_RG_02(dices, names):
    checks = [check for check in acceptable_checks(scores(dices), TEST_SET, RULES) if not check.passed]
    assert failed(checks) == names
    assert {check.id for check in checks} == {"RG-02"}
    assert all(any(digit in check.found for digit in "0123456789") for check in checks)


def test_a_bound_is_met_by_the_very_number():
    rules = PromotionRules(acceptable={"dice": Acceptable(mean=0.5, worst_case=0.5, subgroup_mean=0.5)})
    assert failed(acceptable_checks(scores((0.5,) * 6), TEST_SET, rules)) == []


def test_where_lower_is_better_the_bound_is_a_most_and_no_distance_is_none():
    rules = PromotionRules(acceptable={"hausdorff_95_mm": Acceptable(mean=2.0, worst_case=2.0, subgroup_mean=2.0)})
    assert failed(acceptable_checks(scores(distance_mm=1.25), TEST_SET, rules)) == []
    assert len(failed(acceptable_checks(scores(distance_mm=2.25), TEST_SET, rules))) == 3
    empty = [*scores()[:5], case_score("c5", "native", 0.0, None)]
    (mean, worst) = (check for check in acceptable_checks(empty, TEST_SET, rules) if not check.passed)
    assert mean.found == "undefined in 1 of 6 cases"
    assert worst.name.endswith("(c5)")


@pytest.mark.parametrize(
    ("recorded", "passed"), [(0.925, True), (0.99, False), (float("inf"), False), (float("nan"), False), (None, False)]
)
def test_what_mlflow_says_must_be_what_the_masks_say_RG_03(recorded, passed):
    metrics = {} if recorded is None else {"test/native/dice": recorded}
    _, in_mlflow, _ = recorded_checks(scores(), scores(), metrics)
    assert (in_mlflow.id, in_mlflow.passed) == ("RG-03", passed)


@pytest.mark.parametrize("older", [0.925, 0.99])
def test_the_names_of_a_version_of_femseg_0_1_are_read_and_held_too_RG_03(older):
    _, alone, _ = recorded_checks(scores(), scores(), {"test.native.dice.mean": older})
    _, beside, means = recorded_checks(scores(), scores(), {"test/native/dice": 0.925, "test.native.dice.mean": older})
    assert [alone.passed, beside.passed, means.passed] == [older == 0.925] * 3


def test_a_scorecard_that_flatters_one_case_or_lacks_it_is_found_RG_03():
    for reported in (scores((0.92, 0.99, *DICES[2:])), scores()[1:]):
        card, *_ = recorded_checks(scores(), reported, {"test/native/dice": 0.925})
        assert (card.id, card.passed) == ("RG-03", False)
        assert "1 of 6" in card.found


def against(champion, challenger, **rule):
    return non_inferiority_check(scores(champion), scores(challenger), NonInferiority(**rule), version=7)


def test_the_same_scores_are_no_worse():
    assert against(DICES, DICES).passed


def test_a_constant_loss_within_the_margin_passes_and_beyond_it_fails_RG_02():
    assert against(DICES, [dice - 0.009 for dice in DICES]).passed
    lost = against(DICES, [dice - 0.011 for dice in DICES])
    assert not lost.passed
    assert "0.9140 against 0.9250" in lost.found


def test_a_better_mean_that_the_cases_do_not_bear_out_is_not_shown_to_be_no_worse_RG_02():
    champion, challenger = (0.9,) * 6, (0.96, 0.97, 0.8, 0.97, 0.96, 0.9)
    unsure = against(champion, challenger)
    assert sum(challenger) > sum(champion)
    assert not unsure.passed


def test_a_wider_margin_lets_more_through():
    challenger = (0.91, 0.9, 0.9, 0.91, 0.91, 0.93)
    assert not against(DICES, challenger, margin=0.01).passed
    assert against(DICES, challenger, margin=0.1).passed


def test_a_distance_that_shrinks_is_a_gain():
    rule = NonInferiority(metric="hausdorff_95_mm", margin=0.5)
    near, far = scores(distance_mm=1.0), scores(distance_mm=3.0)
    assert non_inferiority_check(far, near, rule, version=1).passed
    assert not non_inferiority_check(near, far, rule, version=1).passed


def test_other_cases_or_one_without_a_value_are_not_compared_RG_02():
    rule = NonInferiority(metric="hausdorff_95_mm")
    fewer = non_inferiority_check(scores(), scores()[:5], rule, version=1)
    empty = non_inferiority_check(scores(), [*scores()[:5], case_score("c5", "native", 0.0, None)], rule, version=1)
    assert (fewer.passed, empty.passed) == (False, False)
    assert "5 of 6 cases" in fewer.found
    assert "5 of 6 cases" in empty.found
