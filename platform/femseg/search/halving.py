"""Search settings, and successive halving over learning rate and input mode: which trials, how long, which go on.

The rungs are synchronous: a rung ends when all its trials have ended, so the same seed gives the same trial table
whatever the machine's speed (an asynchronous scheduler stops whom its clock happens to see first).
Source: Jamieson & Talwalkar 2016; the learning rates are stratified log-uniform draws, the same for every input mode,
so that the modes are compared at equal settings.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """The `search:` section of params.yaml.

    Attributes:
        enabled: False skips the search; `train.learning_rate` must then be a number.
        name: of the search's folder below runs/search; another name starts anew beside a search that has not ended.
        searcher: who chooses the learning rates: "halving" draws them all and lets the better ones train on, "tpe"
            proposes them wave after wave from what was found so far and trains each to the last rung.
        trials_per_mode: learning rates tried for each input mode.
        learning_rate: lowest and highest.
        rungs: iterations that a trial has had when it is judged; the last one is the longest any trial runs.
        keep: fraction of a mode's trials that goes on from a rung, at least one; "halving" only.
        wave: trials of each mode that are proposed, and can run, at once; "tpe" only.
        seed: of the learning rates, the initial weights and the order of cases.
        allow_failed: trials that may fail before the search is refused (SE-04).
        use_gpu: one GPU for each trial; otherwise one CPU core.
    """

    enabled: bool = True
    name: str = "search"
    searcher: Literal["halving", "tpe"] = "halving"
    trials_per_mode: int = 4
    learning_rate: tuple[float, float] = (1e-4, 1e-2)
    rungs: tuple[int, ...] = (30, 90)
    keep: float = 0.5
    wave: int = 1
    seed: int = 0
    allow_failed: int = 0
    use_gpu: bool = False

    def __post_init__(self) -> None:
        low, high = self.learning_rate
        if not 0.0 < low < high:
            raise ValueError(f"learning_rate: expected 0 < lowest < highest, got {self.learning_rate}")
        if not self.rungs or min(self.rungs) < 1 or list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(f"rungs: expected rising numbers of iterations, got {self.rungs}")
        if not 0.0 < self.keep <= 1.0:
            raise ValueError(f"keep: expected a fraction above 0 and up to 1, got {self.keep}")
        if self.trials_per_mode < 1 or self.wave < 1 or self.allow_failed < 0:
            raise ValueError("trials_per_mode and wave must be at least 1, allow_failed at least 0")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.name):
            raise ValueError(f"name: expected letters, digits, dots, dashes, up to 64, got {self.name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One learning rate for one input mode."""

    trial_id: str
    input_mode: str
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """A trial after its latest rung.

    Attributes:
        validation_dice: best mean Dice on the validation cases so far; None if the trial failed.
        iterations: optimiser steps that it has had.
        failure: one line that says why it failed.
    """

    trial: Trial
    validation_dice: float | None
    iterations: int
    failure: str | None = None


def first_trials(settings: SearchSettings, input_modes: Sequence[str]) -> list[Trial]:
    """The trials that are there before any result: one learning rate from each of as many equal log-strata.

    With "tpe" these are the first third, at least two (or all that there are): something to propose from.
    """
    count = settings.trials_per_mode
    if settings.searcher == "tpe":
        count = min(count, max(2, math.ceil(count / 3)))
    draws = np.random.default_rng(settings.seed).random(count)
    low, high = (math.log(rate) for rate in settings.learning_rate)
    rates = [math.exp(low + (high - low) * (i + u) / count) for i, u in enumerate(draws)]
    return [numbered_trial(settings, mode, index, rate) for mode in input_modes for index, rate in enumerate(rates)]


def numbered_trial(settings: SearchSettings, input_mode: str, index: int, rate: float) -> Trial:
    """A mode's trial number `index`, its learning rate cut to three digits; ids sort in this order."""
    digits = max(2, len(str(settings.trials_per_mode - 1)))
    low, high = settings.learning_rate
    rounded = min(max(float(f"{rate:.3g}"), low), high)
    return Trial(trial_id=f"{input_mode}-{index:0{digits}d}", input_mode=input_mode, learning_rate=rounded)


def usable(result: TrialResult) -> bool:
    """Only a finite Dice in [0, 1] can be compared; anything else is a failed trial (SE-03)."""
    dice = result.validation_dice
    return result.failure is None and dice is not None and math.isfinite(dice) and 0.0 <= dice <= 1.0


def _ranked(results: Sequence[TrialResult], input_mode: str) -> list[TrialResult]:
    """Usable results of a mode, best first; ties are broken by trial id."""
    mine = [result for result in results if result.trial.input_mode == input_mode and usable(result)]
    return sorted(mine, key=lambda result: (-(result.validation_dice or 0.0), result.trial.trial_id))


def survivors(results: Sequence[TrialResult], *, keep: float) -> list[Trial]:
    """The trials that go on to the next rung: the best fraction of each input mode, at least one of each."""
    chosen: list[Trial] = []
    for mode in sorted({result.trial.input_mode for result in results}):
        ranked = _ranked(results, mode)
        chosen += [result.trial for result in ranked[: max(1, math.ceil(keep * len(ranked)))]]
    return sorted(chosen, key=lambda trial: trial.trial_id)


def best_per_mode(results: Sequence[TrialResult]) -> dict[str, TrialResult]:
    """For each input mode the result that got furthest and there was best; modes whose trials all failed are absent."""
    best: dict[str, TrialResult] = {}
    for mode in sorted({result.trial.input_mode for result in results}):
        ranked = _ranked(results, mode)
        if ranked:
            furthest = max(result.iterations for result in ranked)
            best[mode] = next(result for result in ranked if result.iterations == furthest)
    return best
