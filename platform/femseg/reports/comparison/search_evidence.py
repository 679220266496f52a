"""What the report tells of the search, read from the files that the stage left."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from femseg.comparison.variance import VarianceShares, variance_shares
from femseg.errors import Refusal
from femseg.files.durable import read_json
from femseg.reports.comparison.evidence import CurvePoint


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedTrial:
    """One trial, as it ended.

    Attributes:
        iterations: the rung that it reached.
        validation_dice: best mean Dice on the validation cases; None if the trial failed.
        curve: one point per iteration; empty if nothing was trained.
    """

    trial_id: str
    input_mode: str
    learning_rate: float
    iterations: int
    validation_dice: float | None
    failure: str
    curve: tuple[CurvePoint, ...]

    def dice_at(self, iteration: int) -> float | None:
        """Best validation Dice up to an iteration; None if the trial failed or did not come so far."""
        if self.failure or self.iterations < iteration:
            return None
        dice = [p.validation_dice for p in self.curve if p.iteration <= iteration and p.validation_dice is not None]
        return max(dice, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RungSpent:
    """What one rung took: `trials` that came to it, `failed` on the way, and the iterations trained for it."""

    last_iteration: int
    trials: int
    failed: int
    iterations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchEvidence:
    """A whole search.

    Attributes:
        searcher: "halving" or "tpe".
        learning_rate: lowest and highest that could be tried.
        rungs: iterations at which trials were judged; with "tpe" the last one alone.
        chosen: input mode → id of the trial whose learning rate was taken; modes without one are absent.
    """

    searcher: str
    learning_rate: tuple[float, float]
    rungs: tuple[int, ...]
    trials: tuple[SearchedTrial, ...]
    chosen: Mapping[str, str]

    @property
    def modes(self) -> tuple[str, ...]:
        """Input modes, in the order of the settings."""
        return tuple(dict.fromkeys(trial.input_mode for trial in self.trials))

    def of_mode(self, mode: str) -> tuple[SearchedTrial, ...]:
        """One mode's trials."""
        return tuple(trial for trial in self.trials if trial.input_mode == mode)

    def best(self, mode: str) -> SearchedTrial | None:
        """The trial that was chosen for a mode."""
        return next((trial for trial in self.trials if trial.trial_id == self.chosen.get(mode)), None)

    def at_an_end(self, mode: str) -> bool:
        """Whether the chosen rate is the lowest or highest of several tried: a better one may lie outside."""
        rates, best = sorted({trial.learning_rate for trial in self.of_mode(mode)}), self.best(mode)
        return best is not None and len(rates) > 1 and best.learning_rate in (rates[0], rates[-1])

    def spent(self) -> tuple[RungSpent, ...]:
        """The budget, rung by rung."""
        rungs, before = [], 0
        for last in self.rungs:
            here = [trial for trial in self.trials if trial.iterations >= last]
            trained = sum(max(0, min(len(trial.curve), last) - before) for trial in self.trials)
            failed = sum(bool(trial.failure) and trial.iterations == last for trial in here)
            rungs.append(RungSpent(last_iteration=last, trials=len(here), failed=failed, iterations=trained))
            before = last
        return tuple(rungs)

    def importance(self) -> VarianceShares | None:
        """What explains the trials' Dice at the first rung, which all have reached; None if they are too few."""
        dice = [(trial, trial.dice_at(self.rungs[0])) for trial in self.trials]
        known = [(t.input_mode, math.log10(t.learning_rate), d) for t, d in dice if d is not None]
        return variance_shares(*zip(*known, strict=True)) if known else None


def read_search(folder: Path) -> SearchEvidence | None:
    """Read what the stage `search` left; None if the search was disabled.

    Raises: Refusal (exit 4) that names the file if one is missing or torn.
    """
    settings = read_json(folder / "search.json")
    best = read_json(folder / "best.json")
    if not settings["enabled"]:
        return None
    curves: dict[str, list[CurvePoint]] = {}
    for row in _rows(folder / "curves.csv"):
        point = CurvePoint(
            iteration=int(row["iteration"]),
            train_dice_loss=_number(row["train_dice_loss"]),
            validation_dice=_number(row["validation_dice"]),
        )
        curves.setdefault(row["trial_id"], []).append(point)
    low, high = settings["learning_rate"]
    return SearchEvidence(
        searcher=settings["searcher"],
        learning_rate=(low, high),
        rungs=tuple(settings["rungs"]) if settings["searcher"] == "halving" else (settings["rungs"][-1],),
        trials=tuple(
            SearchedTrial(
                trial_id=row["trial_id"],
                input_mode=row["input_mode"],
                learning_rate=float(row["learning_rate"]),
                iterations=int(row["iterations"]),
                validation_dice=_number(row["validation_dice"]),
                failure=row["failure"],
                curve=tuple(curves.get(row["trial_id"], ())),
            )
            for row in sorted(
                _rows(folder / "trials.csv"),
                key=lambda row: (settings["input_modes"].index(row["input_mode"]), row["trial_id"]),
            )
        ),
        chosen={mode: found["trial_id"] for mode, found in best["best"].items()},
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problem = "is missing" if isinstance(error, FileNotFoundError) else f"is no table ({error!r})"
        fix = "run the `search` stage again (`dvc repro search`), or `dvc pull`"
        raise Refusal.of("ST-02", path, problem, fix) from error


def _number(cell: str) -> float | None:
    return None if cell == "" else float(cell)
