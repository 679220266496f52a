from dataclasses import replace

import pytest
from scores import case_score

from femseg.comparison.family import as_one_family, baseline_of, is_primary
from femseg.comparison.paired import detectable_shift_sd, paired_comparison

GAINS = [0.02, 0.021, 0.03, 0.013, 0.025, 0.05, 0.015, 0.01, 0.024, 0.031]


def scores(gains, distance_gains):
    return [
        case_score(f"c{i}", dice=0.9 + gain, distance_mm=2.0 - less)
        for i, (gain, less) in enumerate(zip(gains, distance_gains, strict=True))
    ]


def family(gains, distance_gains=(0.0,) * 10, metrics=("dice", "hausdorff_mm", "iou", "volume_similarity")):
    baseline, candidate = scores([0.0] * len(gains), [0.0] * len(gains)), scores(gains, distance_gains[: len(gains)])
    return {
        c.metric: c
        for c in as_one_family(
            [paired_comparison(baseline, candidate, metric=m, grid="network", resamples=500) for m in metrics]
        )
    }


def test_dice_on_the_network_grid_keeps_its_own_p_and_the_others_share_theirs_after_holm():
    tested = family(GAINS, [1.0 + i / 100 for i in range(10)])
    alone = 2 / 2**10
    assert (tested["dice"].tests, tested["dice"].adjusted_p) == (1, pytest.approx(alone))
    assert [tested[m].adjusted_p for m in ("hausdorff_mm", "iou", "volume_similarity")] == pytest.approx(
        [3 * alone] * 3
    )
    assert {c.verdict for c in tested.values()} == {"better"}


def test_the_detectable_difference_of_a_row_is_that_at_its_share_of_the_level():
    alone, among = (
        family(GAINS, [1.0 + i / 100 for i in range(10)], metrics=m)["iou"]
        for m in (("dice", "iou"), ("dice", "iou", "hausdorff_mm", "volume_similarity"))
    )
    assert alone.detectable_difference == pytest.approx(alone.differences_sd * detectable_shift_sd(10, 0.05))
    assert among.detectable_difference == pytest.approx(alone.differences_sd * detectable_shift_sd(10, 0.05 / 3))
    assert among.detectable_difference > alone.detectable_difference
    assert family(GAINS[:6])["iou"].detectable_difference is None


def test_nothing_is_shown_behind_a_dice_that_shows_nothing():
    mixed = [g if i % 2 else -g for i, g in enumerate(GAINS)]
    tested = family(mixed, [1.0 + i / 100 for i in range(10)])
    assert tested["dice"].verdict == tested["hausdorff_mm"].verdict == "no difference shown"
    assert tested["hausdorff_mm"].adjusted_p == tested["dice"].adjusted_p
    assert tested["hausdorff_mm"].test.p_value < 0.05


def test_six_cases_are_enough_for_dice_alone_and_too_few_for_its_company():
    tested = family(GAINS[:6], metrics=("dice", "iou", "volume_similarity"))
    assert tested["dice"].verdict == "better"
    assert tested["iou"].verdict == "too few cases"


def test_a_metric_without_any_difference_is_no_test_and_costs_the_others_nothing():
    tested = family(GAINS)  # distances equal throughout
    assert (tested["hausdorff_mm"].adjusted_p, tested["hausdorff_mm"].verdict) == (None, "no difference shown")
    assert tested["iou"].tests == 2


def test_between_cascades_dice_on_the_cts_own_grid_is_tested_alone():
    before = [case_score(f"c{i}", grid=grid, dice=0.9) for grid in ("network", "native") for i in range(10)]
    after = [replace(row, dice=row.dice + GAINS[int(row.case_id[1:])]) for row in before]
    names = ("cascade-raw", "cascade-gradient")
    compared = [
        paired_comparison(before, after, metric="dice", grid=grid, names=names, resamples=500)
        for grid in ("network", "native")
    ]
    assert [is_primary(c) for c in as_one_family(compared)] == [False, True]


@pytest.mark.parametrize(
    ("candidate", "models", "baseline"),
    [
        ("gradient", ("raw", "gradient", "cascade-raw", "cascade-gradient"), "raw"),
        ("cascade-raw", ("raw", "gradient", "cascade-raw", "cascade-gradient"), "raw"),
        ("cascade-gradient", ("raw", "gradient", "cascade-raw", "cascade-gradient"), "cascade-raw"),
        ("cascade-gradient", ("raw", "gradient", "cascade-gradient"), "raw"),
        ("cascade-best", ("raw", "gradient", "cascade-best"), "raw"),
        ("cascade-raw", ("gradient", "raw", "cascade-raw", "cascade-gradient"), "cascade-gradient"),
    ],
)
def test_a_cascade_is_compared_with_the_cascade_with_the_first_input_and_all_else_with_that_input(
    candidate, models, baseline
):
    assert baseline_of(candidate, models) == baseline


def test_a_family_is_one_candidate_and_one_primary_comparison():
    dice, iou = (family(GAINS)[m] for m in ("dice", "iou"))
    for wrong in ([iou], [dice, dice], [dice, replace(iou, candidate="both")]):
        with pytest.raises(ValueError, match="one candidate against one baseline"):
            as_one_family(wrong)
