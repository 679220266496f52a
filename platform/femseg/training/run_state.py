"""How far a run has come, what of it a checkpoint holds, and what it leaves at its end."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from femseg.errors import Refusal
from femseg.training.curves import CurveRow, rows_as_plain, rows_from_plain

_PLAIN = ("refused_in_a_row", "finished", "best_dice", "best_iteration", "best_weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What a run leaves; the network then holds the best weights, in float32 on its device.

    Attributes:
        validation_dice: best mean Dice over the validation cases, on the network grid.
        best_iteration: after which it was reached; the earliest of equals.
        iterations: that the run made.
        curve: one row per iteration.
        already_complete: nothing was trained, a finished run was found.
    """

    validation_dice: float
    best_iteration: int
    iterations: int
    curve: list[CurveRow]
    already_complete: bool


@dataclass(slots=True, kw_only=True)
class RunState:
    """With weights and optimiser, all that a run's checkpoints hold."""

    iteration: int = 0
    refused_in_a_row: int = 0
    finished: bool = False
    best_dice: float = -1.0
    best_iteration: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    rows: list[CurveRow] = field(default_factory=list)

    @classmethod
    def restored(cls, iteration: int, plain: dict[str, Any]) -> Self:
        """The inverse of `as_plain`."""
        return cls(iteration=iteration, rows=rows_from_plain(plain["rows"]), **{name: plain[name] for name in _PLAIN})

    def as_plain(self) -> dict[str, Any]:
        """For a checkpoint, which knows its iteration."""
        return {"rows": rows_as_plain(self.rows), **{name: getattr(self, name) for name in _PLAIN}}

    def result(self, folder: Path, *, already_complete: bool) -> FitResult:
        """Of a run that has ended. Raises: Refusal (TR-09, exit 7) if no validation gave a finite Dice."""
        if not self.best_iteration:
            problem = f"no validation in {self.iteration} iterations gave a finite Dice"
            fix = "lower train.learning_rate, or check the validation cases with `femseg check`"
            raise Refusal.of("TR-09", folder, problem, fix)
        return FitResult(
            validation_dice=self.best_dice,
            best_iteration=self.best_iteration,
            iterations=self.iteration,
            curve=self.rows,
            already_complete=already_complete,
        )
