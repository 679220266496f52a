"""Which trials run, which go on, which is best."""

import pytest

from femseg.search.halving import SearchSettings, Trial, TrialResult, best_per_mode, first_trials, survivors

MODES = ("raw", "gradient")


def result(trial_id: str, dice: float | None, *, iterations: int = 30, failure: str | None = None) -> TrialResult:
    trial = Trial(trial_id=trial_id, input_mode=trial_id.split("-")[0], learning_rate=1e-3)
    return TrialResult(trial=trial, validation_dice=dice, iterations=iterations, failure=failure)


def test_each_log_stratum_gives_one_learning_rate_and_all_modes_share_them():
    settings = SearchSettings(trials_per_mode=4, learning_rate=(1e-4, 1.0))
    trials = first_trials(settings, MODES)
    raw, gradient = ([t.learning_rate for t in trials if t.input_mode == mode] for mode in MODES)
    assert raw == gradient
    assert all(10.0 ** (i - 4) <= rate <= 10.0 ** (i - 3) for i, rate in enumerate(raw))
    assert trials == first_trials(settings, MODES)
    assert trials != first_trials(SearchSettings(trials_per_mode=4, learning_rate=(1e-4, 1.0), seed=1), MODES)


def test_the_better_half_of_each_mode_goes_on_even_if_the_other_mode_is_better_throughout():
    results = [result("raw-0", 0.1), result("raw-1", 0.2), result("gradient-0", 0.8), result("gradient-1", 0.9)]
    assert [trial.trial_id for trial in survivors(results, keep=0.5)] == ["gradient-1", "raw-1"]


@pytest.mark.parametrize("dice", [None, float("nan"), float("inf"), 1.2, -0.1], ids=str)
def test_a_trial_without_a_dice_between_0_and_1_is_never_best_and_never_goes_on(dice):  # SE-03
    results = [result("raw-0", dice), result("raw-1", 0.2)]
    assert [trial.trial_id for trial in survivors(results, keep=1.0)] == ["raw-1"]
    assert best_per_mode(results)["raw"].trial.trial_id == "raw-1"


def test_a_failed_trial_is_out_whatever_its_dice_was():
    assert best_per_mode([result("raw-0", 0.9, failure="diverged")]) == {}


def test_ties_go_to_the_lower_trial_id_and_longer_training_beats_a_lucky_short_one():
    tied = [result("raw-1", 0.5), result("raw-0", 0.5)]
    assert best_per_mode(tied)["raw"].trial.trial_id == "raw-0"
    lucky = [result("raw-0", 0.9, iterations=30), result("raw-1", 0.8, iterations=90)]
    assert best_per_mode(lucky)["raw"].trial.trial_id == "raw-1"


@pytest.mark.parametrize(
    "wrong",
    [{"learning_rate": (1e-2, 1e-4)}, {"rungs": (90, 30)}, {"rungs": ()}, {"keep": 0.0}, {"trials_per_mode": 0}],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected|must be"):
        SearchSettings(**wrong)
