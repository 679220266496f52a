"""How much of the scatter of a search's Dice the learning rate explains, and how much the input mode."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAST_BEYOND_THE_MODEL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceShares:
    """Shares of the variance of Dice over trials; together 1.

    Attributes:
        learning_rate: explained by a parabola in the logarithm of the learning rate, the same for all modes.
        input_mode: explained by a level of its own for each mode.
        learning_rate_by_noise, input_mode_by_noise: what each would explain on average of Dice that is noise alone.
        rest: neither: how the two act together, and chance.
        trials: that were looked at.
    """

    learning_rate: float
    input_mode: float
    learning_rate_by_noise: float
    input_mode_by_noise: float
    rest: float
    trials: int


def variance_shares(modes: Sequence[str], log_rates: Sequence[float], dice: Sequence[float]) -> VarianceShares | None:
    """Split the variance of Dice; what both explain (in trials that are not balanced) is shared evenly.

    Args:
        modes, log_rates, dice: of each trial, all trained equally long.
    Returns: None with too few trials for the model, or if all have the same Dice.
    Of pure noise k columns explain k / (trials − 1) on average, in whatever order they enter.

    Source: Lindeman, Merenda & Gold 1980: mean gain in R² over the orders in which the two can enter.
    """
    named = sorted(set(modes))
    if len(dice) < len(named) + 2 + _LEAST_BEYOND_THE_MODEL or np.ptp(dice) == 0.0:
        return None
    values, x = np.asarray(dice, float), np.asarray(log_rates, float)
    levels = np.array([[mode == name for name in named[1:]] for mode in modes], float)
    parabola = np.stack([x - x.mean(), (x - x.mean()) ** 2], axis=1)
    of_mode, of_rate = _r_squared(levels, values), _r_squared(parabola, values)
    of_both = _r_squared(np.hstack([levels, parabola]), values)
    return VarianceShares(
        learning_rate=max(0.0, (of_rate + of_both - of_mode) / 2),
        input_mode=max(0.0, (of_mode + of_both - of_rate) / 2),
        learning_rate_by_noise=parabola.shape[1] / (len(values) - 1),
        input_mode_by_noise=levels.shape[1] / (len(values) - 1),
        rest=1.0 - of_both,
        trials=len(values),
    )


def _r_squared(columns: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Of the least-squares fit with a constant."""
    design = np.hstack([np.ones((len(values), 1)), columns])
    fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    centred = values - values.mean()
    return float(1.0 - np.sum((values - fitted) ** 2) / np.sum(centred**2))
