"""Figure 3: Dice loss over the iterations, and Dice on the validation cases."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from femseg.reports.evidence import CurvePoint
from femseg.reports.style import Theme, figure, png, styled

_WINDOWS = 40  # the smoothed line averages over one such part of the training


def learning_curves(curves: Mapping[str, Sequence[CurvePoint]], *, theme: Theme) -> bytes:
    """PNG of training Dice loss (each iteration faint, running mean strong) above Dice on the validation cases."""
    with styled(theme):
        made = figure(8.4, 6.2)
        above, below = made.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for mode, colour in theme.mode_colours(tuple(curves)).items():
            _draw_loss(above, mode, curves[mode], colour)
            _draw_validation(below, mode, curves[mode], colour)
        above.set_yscale("log")
        above.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        above.yaxis.set_minor_formatter(NullFormatter())
        above.set_ylabel("training Dice loss (1 − DSC)")
        above.legend(loc="upper right", title="input", alignment="left")
        below.set_ylabel("validation Dice")
        below.set_ylim(top=1.0)
        below.set_xlabel("iteration")
        below.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        return png(made)


def running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Centred mean over `window` values, over fewer of them at the ends."""
    box = np.ones(min(window, len(values)))
    return np.asarray(np.convolve(values, box, "same") / np.convolve(np.ones(len(values)), box, "same"))


def _draw_loss(axes: Axes, mode: str, curve: Sequence[CurvePoint], colour: str) -> None:
    measured = [(p.iteration, p.train_dice_loss) for p in curve if p.train_dice_loss is not None]
    if not measured:
        return
    iterations, losses = np.array(measured, float).T
    axes.plot(iterations, losses, color=colour, alpha=0.22, linewidth=0.8)
    smooth = running_mean(losses, max(1, len(losses) // _WINDOWS))
    axes.plot(iterations, smooth, color=colour, linewidth=2, label=mode)


def _draw_validation(axes: Axes, mode: str, curve: Sequence[CurvePoint], colour: str) -> None:
    measured = [(p.iteration, p.validation_dice) for p in curve if p.validation_dice is not None]
    if not measured:
        return
    iterations, dice = np.array(measured, float).T
    axes.plot(iterations, dice, color=colour, linewidth=1.8, marker="o", markersize=4)
    best = int(dice.argmax())
    axes.plot(
        iterations[best], dice[best], "o", markersize=9, markerfacecolor="none", color=colour, markeredgewidth=1.6
    )
