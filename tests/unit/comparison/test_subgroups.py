from dataclasses import replace

import pytest
from scores import case_score

from femseg.cohorts.case import Case, CaseFacts, Source
from femseg.comparison.subgroups import case_groups, patients_with_several, subgroup_table
from femseg.volumes.grid import VoxelGrid


def case(number, **facts):
    grid = VoxelGrid(shape_zyx=(1, 1, 1), spacing_mm_zyx=(1, 1, 1))
    ct = Source(kind="volume", files=())
    return Case(
        case_id=f"c{number:02d}", patient_id=f"p{number}", ct=ct, mask=None, grid=grid, facts=CaseFacts(**facts)
    )


def test_cases_are_grouped_by_side_sex_scanner_implant_and_cut_off_bone_and_by_nothing_unknown():
    groups = case_groups(
        [
            case(1, side="left", sex="F", scanner="GE Revolution", metal_ml=3.0),
            case(2, side="right", scanner="Siemens SOMATOM", cut_off=("superior",)),
            case(3, sex="M"),
        ]
    )
    assert groups == {
        "side": {"c01": "left", "c02": "right"},
        "sex": {"c01": "female", "c03": "male"},
        "scanner": {"c01": "GE Revolution", "c02": "Siemens SOMATOM"},
        "implant": {"c01": "metal", "c02": "no metal", "c03": "no metal"},
        "femur": {"c01": "whole", "c02": "cut off", "c03": "whole"},
    }


def test_patients_with_several_of_the_cases_are_counted():
    both_femurs = replace(case(3), patient_id="p1")
    assert patients_with_several([case(1), case(2)]) == 0
    assert patients_with_several([case(1), case(2), both_femurs]) == 1


def test_a_trait_that_all_cases_share_divides_nothing():
    assert case_groups([case(1, side="left"), case(2, side="left")]) == {}


GAIN = [0.01 + i / 1000 for i in range(12)]
BASELINE = [case_score(f"c{i:02d}", dice=0.9) for i in range(12)]
CANDIDATE = [case_score(f"c{i:02d}", dice=0.9 + gain) for i, gain in enumerate(GAIN)]


def table(groups):
    return subgroup_table(BASELINE, CANDIDATE, groups, metric="dice", grid="network", resamples=500)


def test_each_group_has_its_own_difference_count_and_interval_and_p_is_adjusted_over_the_table():
    halves = {f"c{i:02d}": "first" if i < 6 else "second" for i in range(12)}
    first, second = table({"half": halves})
    assert (first.trait, first.group, first.n, second.group, second.n) == ("half", "first", 6, "second", 6)
    assert first.mean_difference == pytest.approx(sum(GAIN[:6]) / 6)
    assert first.low < first.mean_difference < first.high
    assert first.adjusted_p == second.adjusted_p == pytest.approx(2 * 2 / 64)


def test_a_group_that_cannot_reach_the_level_is_counted_and_not_tested():
    few = {f"c{i:02d}": "few" if i < 5 else "many" for i in range(12)}
    small, large = table({"size": few})
    assert (small.n, small.low, small.high, small.adjusted_p) == (5, None, None, None)
    assert small.mean_difference == pytest.approx(sum(GAIN[:5]) / 5)
    assert small.no_interval == "5 cases, at least 6 needed at 95 %"
    assert large.no_interval == ""
    assert large.adjusted_p == pytest.approx(2 / 2**7)


def test_a_group_says_its_own_reason_why_it_has_no_interval():
    same = [case_score(f"c{i:02d}", dice=0.95 if i < 6 else 0.9 + GAIN[i] * (i < 11)) for i in range(12)]
    halves = {"half": {f"c{i:02d}": "first" if i < 6 else "second" for i in range(12)}}
    first, second = subgroup_table(BASELINE, same, halves, metric="dice", grid="network", resamples=500)
    assert first.no_interval == "the difference is 0.05 in every case"
    assert (second.no_interval, second.low) == ("too few unequal pairs", None)


def test_cases_in_no_group_are_left_out():
    (only,) = table({"sex": {f"c{i:02d}": "female" for i in range(8)}})
    assert only.n == 8
