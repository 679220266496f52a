import pytest
from scores import case_score

from femseg.cohorts.split import SplitSettings
from femseg.comparison.repeats import (
    RepeatSettings,
    ScoredTraining,
    compared_means,
    mean_over_seeds,
    refuse_unfit,
    repeated_differences,
)
from femseg.errors import Refusal
from femseg.settings import checked

TWO_BY_TWO = RepeatSettings(folds=(0, 1), seeds=(0, 7))
SPLIT = SplitSettings(folds=2)
RATE = "train.learning_rate"


def training(fold, seed, **dice):
    rows = tuple(case_score(case, dice=value) for case, value in dice.items())
    return ScoredTraining(fold=fold, seed=seed, scores=rows)


def test_every_fold_is_trained_with_every_seed_and_by_default_nothing_is():
    assert TWO_BY_TWO.trainings == ((0, 0), (0, 7), (1, 0), (1, 7))
    assert RepeatSettings().trainings == ()
    assert refuse_unfit(RepeatSettings(), SplitSettings(), seeds={"train.seed": 3}, searched=[RATE]) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"folds": [0, 0], "seeds": [1]}, "each once"),
        ({"folds": [-1], "seeds": [1]}, "whole numbers from 0"),
        ({"folds": [0]}, "folds and seeds, or neither"),
    ],
)
def test_unfit_lists_are_refused_by_name(given, words):
    with pytest.raises(Refusal, match=words):
        checked(RepeatSettings, given, where="repeats")


@pytest.mark.parametrize(
    ("repeats", "split", "seed", "searched", "words"),
    [
        (RepeatSettings(folds=(0, 2), seeds=(0,)), SPLIT, 0, False, "split.folds is 2"),
        (TWO_BY_TWO, SPLIT, 3, False, "not among the repeats"),
        (RepeatSettings(folds=(1,), seeds=(0,)), SPLIT, 0, False, "not among the repeats"),
        (TWO_BY_TWO, SPLIT, 0, True, "the search has seen cases that other folds test on"),
    ],
)
def test_what_does_not_fit_the_split_the_training_or_the_search_is_refused(repeats, split, seed, searched, words):
    with pytest.raises(Refusal, match=words):
        refuse_unfit(repeats, split, seeds={"train.seed": seed}, searched=[RATE] * searched)


def test_scales_that_start_from_different_seeds_cannot_be_repeated_with_one():
    seeds = {"train.seed": 0, "refine.train.seed": 7}
    with pytest.raises(Refusal, match=r"train\.seed 0 and refine\.train\.seed 7 differ"):
        refuse_unfit(TWO_BY_TWO, SPLIT, seeds=seeds, searched=[])
    assert refuse_unfit(TWO_BY_TWO, SPLIT, seeds=dict.fromkeys(seeds, 7), searched=[]) is None


def test_seeds_of_the_searched_fold_may_be_repeated():
    given = {"seeds": {"train.seed": 0}, "searched": [RATE]}
    assert refuse_unfit(RepeatSettings(folds=(0,), seeds=(0, 1)), SplitSettings(), **given) is None
    with pytest.raises(Refusal, match="the search has seen"):
        refuse_unfit(RepeatSettings(folds=(0, 1), seeds=(0, 1)), SPLIT, **given)


def test_a_case_counts_by_its_mean_over_the_seeds_of_its_fold():
    means = mean_over_seeds(
        [training(0, 0, a=0.8, b=0.6), training(0, 7, a=0.9, b=0.7), training(1, 0, c=0.5), training(1, 7, c=0.7)]
    )
    assert {row.case_id: row.dice for row in means} == pytest.approx({"a": 0.85, "b": 0.65, "c": 0.6})


def test_volume_differences_of_either_sign_do_not_cancel_in_what_is_compared():
    trainings = [
        ScoredTraining(fold=0, seed=seed, scores=(case_score("a", dice=dice, volume_difference_ml=ml),))
        for seed, dice, ml in ((0, 0.8, -30.0), (1, 0.9, 30.0))
    ]
    (shown,), (taken,) = mean_over_seeds(trainings), compared_means(trainings)
    assert (shown.volume_difference_ml, taken.volume_difference_ml) == (0.0, 30.0)
    assert shown.dice == taken.dice == pytest.approx(0.85)


def test_a_case_that_was_tested_less_often_has_no_mean_of_the_same_kind():
    with pytest.raises(ValueError, match="as many trainings"):
        mean_over_seeds([training(0, 0, a=0.8, b=0.6), training(0, 7, a=0.9)])


def test_differences_are_taken_training_by_training():
    raw, gradient = [training(0, 0, a=0.8), training(0, 7, a=0.6)], [training(0, 0, a=0.9), training(0, 7, a=0.5)]
    found = repeated_differences(raw, gradient, metric="dice", grid="network")
    assert [(d.seed, round(d.difference, 6)) for d in found] == [(0, 0.1), (7, -0.1)]
    with pytest.raises(ValueError, match="both sides"):
        repeated_differences(raw, gradient[:1], metric="dice", grid="network")
