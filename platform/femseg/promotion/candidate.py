"""Which of the trained models is proposed: the best on the validation cases; the test cases have no say."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from femseg.errors import ExitCode, Fault, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The proposed model and why it, not another.

    Attributes:
        input_mode: of the chosen model.
        validation_dice: by input mode, of every model that was considered.
        reason: one sentence.
    """

    input_mode: str
    validation_dice: dict[str, float]
    reason: str


def best_by_validation(validation_dice: Mapping[str, float]) -> Candidate:
    """Choose the model with the highest finite Dice in [0, 1]; ties go to the mode that is named first.

    Raises: Refusal RG-02 (exit 8) if no model has such a Dice.
    """
    usable = {mode: dice for mode, dice in validation_dice.items() if math.isfinite(dice) and 0.0 <= dice <= 1.0}
    if not usable:
        fault = Fault(
            id="RG-02",
            file="models",
            problem=f"no model has a validation Dice between 0 and 1: {dict(validation_dice)}",
            fix="train again; nothing was registered",
            exit_code=ExitCode.GATE_REFUSED,
        )
        raise Refusal(fault)
    best = max(usable, key=lambda mode: usable[mode])
    others = ", ".join(f"{mode} {dice:.4f}" for mode, dice in usable.items() if mode != best)
    reason = f"validation Dice {usable[best]:.4f}" + (f" against {others}" if others else "")
    return Candidate(input_mode=best, validation_dice=dict(usable), reason=reason)
