"""Whose study it is where files hold no PatientID, and a split that was given: no patient on two sides."""

import json
from pathlib import Path

import pytest
from study_maker import write_dicom_study, write_volume_study

from femseg.cohorts.settings import CohortSettings
from femseg.cohorts.split import SplitSettings, part_sizes, split_by_patient
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.intake.check import check_cohort
from femseg.intake.cohort import gathered
from femseg.intake.leakage import read_split_file
from femseg.intake.result import CheckedCohort
from femseg.layouts.detect import studies_of
from femseg.layouts.patients import with_patients


def cohort_of(folder: Path, names: list[str]) -> Path:
    for seed, name in enumerate(names):
        write_volume_study(folder / name, seed=seed)
    return folder


def checked(folder: Path, **settings: str) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source="volumes", **settings), id_key=b"key")


def patients_of(folder: Path, **settings: str) -> list[set[str]]:
    """The studies of each patient, as the user names both."""
    cohort = checked(folder, **settings)
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    of: dict[str, set[str]] = {}
    for case in cohort.cases:
        of.setdefault(case.patient_id, set()).add(Path(case.ct.files[0].path).parts[0])
    return sorted(of.values(), key=min)


TWICE = ["P01_pre", "P01_post", "P02_pre", "P02_post", "P03_pre", "P03_post", "P04_pre", "P04_post"]


def test_two_scans_of_one_patient_stand_in_one_part_of_every_split_IN_23(tmp_path):
    cohort = checked(cohort_of(tmp_path, TWICE))
    assert cohort.patients == 4
    assert all("named alike but for the visit are one patient's" in " ".join(case.remarks) for case in cohort.cases)
    assert [finding.id for finding in cohort.findings if finding.id != "FACT"] == ["IN-23"] * 4
    for seed in range(10):
        split = split_by_patient(cohort.cases, SplitSettings(validation=1, test=1, seed=seed))
        assert sorted(map(len, (split.train, split.validation, split.test))) == [2, 2, 4]


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["anna before", "anna after"], 1),
        (["7-baseline", "7-followup2", "8-baseline"], 2),
        (["P1", "P1_post"], 1),
        (["P1_v1", "P1_V2", "p2_v1"], 2),
        (["P1_left", "P1_right"], 1),
        (["P1_ses-01", "P1_ses-02"], 1),
        (["case_001", "case_002"], 2),
        (["left", "right"], 2),
        (["P1_pre", "P2_post"], 2),
    ],
)
def test_names_that_differ_by_the_visit_alone_are_one_patients(tmp_path, names, patients):
    assert len(patients_of(cohort_of(tmp_path, names))) == patients


def test_names_that_share_a_stem_but_for_a_number_are_remarked_with_the_line_to_write_IN_06(tmp_path):
    names = ["P01_1", "P01_2", "P02_1", "P03_20240131", "P03_20250131"]
    cohort = checked(cohort_of(tmp_path, names))
    (finding,) = cohort.findings
    assert (finding.id, cohort.patients) == ("IN-06", 5)
    assert "2 stems are shared by names that count as a patient each, such as P01_1, P01_2" in finding.problem
    pattern = finding.advice.partition("`cohort.patients: '")[2].partition("'`")[0]
    assert patients_of(tmp_path, patients=pattern) == [{"P01_1", "P01_2"}, {"P02_1"}, {"P03_20240131", "P03_20250131"}]


def test_numbered_cases_are_not_remarked(tmp_path):
    assert checked(cohort_of(tmp_path, ["case_001", "case_002", "femur_1", "femur_2"])).findings == ()


@pytest.mark.parametrize("pattern", ["P\\d+", "(P\\d+).*", "([^_]+)_"])
def test_a_pattern_says_whose_a_study_is(tmp_path, pattern):
    folder = cohort_of(tmp_path, ["P1_x", "P1_y", "P2_x"])
    assert patients_of(folder, patients=pattern) == [{"P1_x", "P1_y"}, {"P2_x"}]


@pytest.mark.parametrize(
    "content", ["study,patient\na,1\nb,1\nc,2\n", "a;1\nb;1\nc;2\n", "\ufeffa\t1\r\nb\t1\r\nc\t2\r\n"]
)
def test_a_list_says_whose_a_study_is(tmp_path, content):
    folder = cohort_of(tmp_path / "cohort", ["a", "b", "c"])
    (tmp_path / "cohort" / "patients.csv").write_text(content, encoding="utf-8", newline="")
    assert patients_of(folder, patients=str(tmp_path / "cohort" / "patients.csv")) == [{"a", "b"}, {"c"}]


def test_a_list_goes_before_the_patient_id_of_dicom(tmp_path):
    """Anonymised apart: two PatientIDs of one person."""
    write_dicom_study(tmp_path / "a", patient="X1", seed=1)
    write_dicom_study(tmp_path / "b", patient="X2", seed=2)
    cohort = check_cohort(tmp_path, CohortSettings(source="dicom", patients="."), id_key=b"key")
    assert cohort.patients == 2
    (tmp_path / "whose.csv").write_text("a,1\nb,1\n")
    settings = CohortSettings(source="dicom", patients=str(tmp_path / "whose.csv"))
    assert check_cohort(tmp_path, settings, id_key=b"key").patients == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,1\n", "names no patient for b"),
        ("a,1\nb\n", "expected a line `study,patient`"),
        ("a,1\na,2\nb,1\n", "names a twice"),
        ("", "is no list of patients"),
    ],
)
def test_a_list_that_leaves_a_study_without_patient_is_refused_with_exit_2(tmp_path, content, says):
    folder = cohort_of(tmp_path / "cohort", ["a", "b"])
    (tmp_path / "whose.csv").write_text(content)
    with pytest.raises(Refusal, match=f"CFG-01: .*{says}") as caught:
        studies_of(folder, CohortSettings(source="volumes", patients=str(tmp_path / "whose.csv")))
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_pattern_that_is_none_or_names_nobody_is_refused():
    with pytest.raises(ValueError, match=r"patients: expected a \.csv file or a pattern"):
        CohortSettings(patients="(P")
    assert with_patients([], "P") == []


def given(folder: Path, parts: object, fold: int | None = None) -> CheckedCohort:
    path = folder.parent / "split.json"
    path.write_text(json.dumps(parts))
    settings = CohortSettings(source="volumes", split=str(path), split_fold=fold)
    studies = checked(folder).studies
    return gathered(studies, folder, settings, read_split_file(path))


def test_a_given_split_is_taken_as_it_is_and_validation_comes_out_of_train_where_it_names_none(tmp_path):
    folder = cohort_of(tmp_path / "cohort", list("abcdef"))
    cohort = given(folder, {"train": ["a", "b"], "val": ["c"], "test": ["d", "e", "f"]})
    name = {case.case_id: Path(case.ct.files[0].path).parts[0] for case in cohort.cases}
    split = split_by_patient(cohort.cases, SplitSettings(validation=4, test=4))
    named = [sorted(name[case] for case in part) for part in (split.train, split.validation, split.test)]
    assert named == [["a", "b"], ["c"], ["d", "e", "f"]]
    cohort = given(folder, {"training": ["a", "b", "c"], "test": ["d", "e", "f"]})
    split = split_by_patient(cohort.cases, SplitSettings(validation=1, test=1))
    assert {name[case] for case in split.test} == {"d", "e", "f"}
    assert (len(split.train), len(split.validation)) == (2, 1)


def test_a_given_split_with_a_patient_on_two_sides_is_refused_IN_23(tmp_path):
    folder = cohort_of(tmp_path / "cohort", ["P1_pre", "P1_post", "P2_pre"])
    cohort = given(folder, {"train": ["P1_pre", "P2_pre"], "test": ["P1_post"]})
    assert [fault.id for fault in cohort.faults] == ["IN-23"]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"train": ["a"], "val": ["b"]}, "has the parts train, val; expected train, test"),
        ({"train": ["a"], "test": []}, "names no part for b"),
        ([{"train": ["a"], "val": ["b"]}] * 5, "holds 5 folds, and cohort.split_fold is not set.* 0 to 4"),
    ],
)
def test_a_given_split_that_leaves_something_open_is_refused_with_exit_2(tmp_path, parts, says):
    with pytest.raises(Refusal, match=f"CFG-01: .*{says}") as caught:
        given(cohort_of(tmp_path / "cohort", ["a", "b"]), parts)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("fold", [0, 3])
def test_a_fold_of_nnunets_five_is_taken_with_its_val_as_the_test_part(tmp_path, fold):
    names = list("abcdefghij")
    folder = cohort_of(tmp_path / "cohort", names)
    folds = [{"train": [n for n in names if n not in held], "val": held} for held in (names[k::5] for k in range(5))]
    cohort = given(folder, folds, fold)
    name = {case.case_id: Path(case.ct.files[0].path).parts[0] for case in cohort.cases}
    split = split_by_patient(cohort.cases, SplitSettings(validation=2))
    assert sorted(name[case] for case in split.test) == names[fold::5]
    assert (len(split.train), len(split.validation)) == (6, 2)


@pytest.mark.parametrize("fold", [-1, 5])
def test_a_fold_that_the_file_does_not_hold_is_refused_with_exit_2(tmp_path, fold):
    folds = [{"train": ["a"], "val": ["b"]}] * 5
    with pytest.raises(Refusal, match=rf"CFG-01: .*holds 5 folds, and cohort\.split_fold is {fold}\."):
        given(cohort_of(tmp_path / "cohort", ["a", "b"]), folds, fold)


def test_a_given_split_and_folds_are_refused_together(tmp_path):
    cohort = given(cohort_of(tmp_path / "cohort", ["a", "b", "c"]), {"train": ["a", "b"], "test": ["c"]})
    with pytest.raises(Refusal, match=r"CFG-02: split: split\.folds is 3"):
        split_by_patient(cohort.cases, SplitSettings(validation=1, folds=3))


@pytest.mark.parametrize(("patients", "sizes"), [(6, (4, 1, 1)), (7, (5, 1, 1)), (10, (6, 2, 2)), (60, (36, 12, 12))])
def test_the_default_split_by_shares_fits_any_cohort_from_6_patients(patients, sizes):
    assert part_sizes(patients, SplitSettings()) == sizes


def test_counts_that_do_not_fit_say_the_shares_that_do():
    with pytest.raises(Refusal, match=r"CFG-03: split: 10 patients give 0 to train.*`split\.validation: 0\.2`"):
        part_sizes(10, SplitSettings(validation=4, test=6))
    with pytest.raises(Refusal, match=r"CFG-03: split: 3 patients give .* Fix: add patients: from 6 on"):
        part_sizes(3, SplitSettings(validation=4, test=6))
