"""Names of structures and what they mean."""

import pytest

from femseg.cohorts.settings import CohortSettings, LabelMap, StructureNames
from femseg.errors import Fault, Refusal
from femseg.faults import ExitCode
from femseg.layouts.structures import label_map


def settings(**chosen: tuple[str, ...]) -> CohortSettings:
    return CohortSettings(structures=StructureNames(**chosen))


def refused(found: dict[str, int], given: CohortSettings) -> Fault:
    with pytest.raises(Refusal) as refusal:
        label_map(found, given, "study/seg.dcm")
    (fault,) = refusal.value.faults
    assert (fault.id, fault.file, fault.exit_code) == ("IN-22", "study/seg.dcm", ExitCode.INPUT_REFUSED)
    return fault


def test_a_structure_that_is_alone_is_femur_whatever_its_name():
    assert label_map({"Segment_1": 3}, CohortSettings(), "f") == LabelMap(femur=(3,))


def test_chosen_names_give_the_sides_and_what_is_not_chosen_is_other():
    found = {"femur_left": 1, "femur_right": 2, "hip_left": 5, "hip_right": 4}
    labels = label_map(found, settings(left=("femur_left",), right=("femur_right",)), "f")
    assert labels == LabelMap(left=(1,), right=(2,), other=(4, 5))
    assert label_map(found, settings(femur=("femur_left", "femur_right")), "f").femur == (1, 2)


@pytest.mark.parametrize("name", ["FEMUR_LEFT", "Femur_Left", " femur_left "])
def test_case_and_space_round_a_name_do_not_matter(name):
    assert label_map({name: 7, "x": 8}, settings(left=("femur_left",)), "f").left == (7,)


def test_several_structures_without_a_choice_are_refused_with_the_setting_to_write_IN_22():
    fault = refused({"hip_left": 1, "femur_left": 2, "femur_right": 3}, CohortSettings())
    assert 'holds 3 structures and none is chosen: "femur_left", "femur_right", "hip_left"' in fault.problem
    assert "`cohort.structures.left: [femur_left]` and `cohort.structures.right: [femur_right]`" in fault.fix


@pytest.mark.parametrize(
    ("names", "setting"),
    [
        (("Femur L", "Pelvis"), "`cohort.structures.left: [Femur L]`"),
        (("Femur, proximal", "Pelvis"), '`cohort.structures.femur: ["Femur, proximal"]`'),
        (("Femora", "Pelvis"), "`cohort.structures.femur: [Femora]`"),
        (("1", "2"), "`cohort.structures.femur: [NAME]`, or left or right"),
    ],
)
def test_the_setting_to_write_is_valid_yaml_with_the_likeliest_name_IN_22(names, setting):
    assert setting in refused({name: k for k, name in enumerate(names, start=1)}, CohortSettings()).fix


def test_a_choice_that_the_study_does_not_hold_is_refused_even_of_one_structure_IN_22():
    fault = refused({"femur_right": 1}, settings(left=("femur_left",)))
    assert 'holds none of the structures chosen: "femur_right"' in fault.problem


def test_a_long_list_of_names_is_cut_IN_22():
    assert " and 92 more" in refused({f"s{k:03d}": k for k in range(1, 105)}, CohortSettings()).problem


def test_a_mask_without_structures_is_refused_IN_22():
    assert "names no structure" in refused({}, CohortSettings()).problem


def test_two_structures_of_one_value_are_refused_IN_22():
    assert '"a": 1, "b": 1' in refused({"a": 1, "b": 1}, settings(left=("a",))).problem


def test_values_in_the_settings_hold_where_no_name_is_chosen():
    given = CohortSettings(labels=LabelMap(left=(1,), other=(9,)))
    assert label_map({"a": 1, "b": 2}, given, "f") == LabelMap(left=(1,), other=(9, 2))
    assert "none of the structures chosen" in refused({"b": 2}, given).problem
