"""Learning rates that Optuna proposes."""

import math
import statistics
import sys

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.search.halving import SearchSettings, Trial, TrialResult
from femseg.services.search.trial import proposed_rates, require_optuna

SETTINGS = SearchSettings(searcher="tpe", trials_per_mode=30, learning_rate=(1e-5, 1.0))


def ended(*pairs: tuple[float, float | None]) -> list[TrialResult]:
    return [
        TrialResult(
            trial=Trial(trial_id=f"raw-{n:02d}", input_mode="raw", learning_rate=rate),
            validation_dice=dice,
            iterations=4,
            failure=None if dice is not None else "diverged",
        )
        for n, (rate, dice) in enumerate(pairs)
    ]


FOUND = ended((1e-4, 0.4), (1e-3, 0.9), (1e-2, 0.3), (0.5, None))


def test_the_same_results_give_the_same_proposals_and_others_give_others():
    first = proposed_rates(SETTINGS, FOUND, 3)
    assert first == proposed_rates(SETTINGS, FOUND, 3)
    assert len(set(first)) == 3
    assert all(1e-5 <= rate <= 1.0 for rate in first)
    assert first != proposed_rates(SETTINGS, FOUND[:3], 3)


def test_proposals_gather_where_dice_was_high():
    found: list[TrialResult] = ended((1e-5, 0.2), (1e-2, 0.8), (1.0, 0.2))
    for number in range(3, 27):
        (rate,) = proposed_rates(SETTINGS, found, 1)
        dice = max(0.0, 0.95 - 0.2 * abs(math.log10(rate) + 3))  # best at 1e-3
        trial = Trial(trial_id=f"raw-{number:02d}", input_mode="raw", learning_rate=rate)
        found.append(TrialResult(trial=trial, validation_dice=dice, iterations=4))
    late = [abs(math.log10(result.trial.learning_rate) + 3) for result in found[-12:]]
    assert statistics.median(late) < 0.9  # decades; drawn evenly it would be 1.25


def test_without_optuna_the_setting_is_refused_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(Refusal) as refused:
        require_optuna()
    assert (refused.value.faults[0].id, refused.value.exit_code) == ("CFG-02", ExitCode.USAGE)
    assert "femseg[search]" in str(refused.value)
