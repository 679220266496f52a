import json

import pytest

from femseg.cohorts.case import Case, Source
from femseg.cohorts.split import Split, SplitSettings, folds, read_split, split_by_patient, write_split
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.settings import checked
from femseg.volumes.grid import VoxelGrid


def _cases(patients, legs=("left", "right")):
    grid = VoxelGrid(shape_zyx=(1, 1, 1), spacing_mm_zyx=(1, 1, 1))
    ct = Source(kind="volume", files=())
    return [
        Case(case_id=f"case-{p:03}-{leg}", patient_id=f"patient-{p:03}", ct=ct, mask=None, grid=grid)
        for p in range(patients)
        for leg in legs
    ]


def _patients(part):
    return {case_id.rsplit("-", 1)[0] for case_id in part}


@pytest.mark.parametrize("seed", range(5))
def test_in_23_both_legs_of_a_patient_stay_on_one_side(seed):
    split = split_by_patient(_cases(20), SplitSettings(validation=4, test=0.25, seed=seed))
    train, validation, test = (_patients(part) for part in (split.train, split.validation, split.test))
    assert train.isdisjoint(validation)
    assert test.isdisjoint(train | validation)
    assert (len(train), len(validation), len(test)) == (11, 4, 5)
    assert len(split.train) + len(split.validation) + len(split.test) == 40


def test_the_split_does_not_depend_on_the_order_of_the_cases():
    settings = SplitSettings(validation=2, test=3)
    assert split_by_patient(_cases(12), settings) == split_by_patient(_cases(12)[::-1], settings)


def test_another_seed_gives_another_split():
    splits = {split_by_patient(_cases(12), SplitSettings(validation=2, test=3, seed=seed)).sha256 for seed in range(5)}
    assert len(splits) == 5


@pytest.mark.parametrize("seed", range(5))
def test_a_new_patient_moves_at_most_one_other_out_of_each_held_out_part(seed):
    settings = SplitSettings(validation=4, test=5, seed=seed)
    before, after = (split_by_patient(_cases(n, legs=("left",)), settings) for n in (20, 21))
    assert len(set(before.test) - set(after.test)) <= 1
    assert len(set(before.validation) - set(after.validation)) <= 1


@pytest.mark.parametrize(
    ("patients", "amounts"), [(2, {}), (3, {"test": 2, "validation": 1}), (4, {"test": 0.1}), (0, {}), (1, {"test": 5})]
)
def test_too_small_a_cohort_is_refused_with_the_numbers(patients, amounts):
    with pytest.raises(Refusal, match=f"{patients} patients give") as caught:
        split_by_patient(_cases(patients), SplitSettings(**amounts))
    assert (caught.value.faults[0].id, caught.value.exit_code) == ("CFG-03", ExitCode.USAGE)


@pytest.mark.parametrize("amount", [0, -1, 0.0, 1.0, 1.5, True, float("nan")])
def test_settings_outside_their_range_are_refused(amount):
    with pytest.raises(ValueError, match="test: expected"):
        SplitSettings(test=amount)


def test_counts_stay_counts_and_fractions_fractions_on_the_way_from_params():
    settings = checked(SplitSettings, {"validation": 2, "test": 0.25, "seed": 7}, where="split")
    assert settings == SplitSettings(validation=2, test=0.25, seed=7)
    assert isinstance(settings.validation, int)


@pytest.mark.parametrize(
    "parts",
    [
        {"train": ("a",), "validation": ("b",), "test": ()},
        {"train": ("a",), "validation": ("a",), "test": ("c",)},
        {"train": ("b", "a"), "validation": ("c",), "test": ("d",)},
    ],
)
def test_an_impossible_split_cannot_be_made(parts):
    with pytest.raises(ValueError, match="expected"):
        Split(**parts)


def test_a_split_comes_back_from_its_file_and_an_altered_one_is_refused(tmp_path):
    path = tmp_path / "split.json"
    split = split_by_patient(_cases(6), SplitSettings(validation=1, test=2))
    assert write_split(split, path) == write_split(split, path)
    assert read_split(path) == split
    plain = json.loads(path.read_text())
    plain["parts"]["train"].append(plain["parts"]["test"].pop())
    plain["parts"]["train"].sort()
    path.write_text(json.dumps(plain))
    with pytest.raises(Refusal, match="fingerprint") as caught:
        read_split(path)
    assert caught.value.exit_code == ExitCode.INTEGRITY


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "parts": {"train": ["a"]}}'])
def test_a_file_that_is_no_split_is_refused(tmp_path, content):
    path = tmp_path / "split.json"
    path.write_text(content)
    with pytest.raises(Refusal, match=r"split\.json") as caught:
        read_split(path)
    assert caught.value.exit_code == ExitCode.INTEGRITY


@pytest.mark.parametrize("seed", range(3))
def test_every_patient_is_tested_in_exactly_one_fold_and_never_trained_on_there(seed):
    cases = _cases(17)
    made = folds(cases, SplitSettings(validation=2, folds=5, seed=seed))
    tested = [patient for split in made for patient in _patients(split.test)]
    assert sorted(tested) == sorted({case.patient_id.replace("patient", "case") for case in cases})
    assert sorted(len(_patients(split.test)) for split in made) == [3, 3, 3, 4, 4]
    for split in made:
        train, validation, test = (_patients(part) for part in (split.train, split.validation, split.test))
        assert len(validation) == 2
        assert len(train | validation | test) == len(train) + len(validation) + len(test) == 17


def test_the_settings_choose_one_fold_and_one_fold_is_the_plain_split():
    cases, settings = _cases(12), {"validation": 2, "test": 3, "seed": 4}
    made = folds(cases, SplitSettings(**settings, folds=4))
    assert [split_by_patient(cases, SplitSettings(**settings, folds=4, fold=f)) for f in range(4)] == list(made)
    assert len({split.validation for split in made}) == 4
    assert len(split_by_patient(cases, SplitSettings(**settings)).test) == 6  # 3 patients, two legs each


def test_more_folds_than_patients_are_refused_with_the_numbers():
    with pytest.raises(Refusal, match=r"4 patients give .* 0 to test"):
        folds(_cases(4), SplitSettings(validation=1, folds=5))


@pytest.mark.parametrize(("folds_", "fold"), [(0, 0), (3, 3), (3, -1)])
def test_a_fold_that_does_not_exist_cannot_be_set(folds_, fold):
    with pytest.raises(ValueError, match=r"folds?: expected"):
        SplitSettings(folds=folds_, fold=fold)
