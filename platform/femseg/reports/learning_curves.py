"""Figure 3: Dice loss over the iterations, and Dice on the validation cases."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from femseg.reports.evidence import CurvePoint
from femseg.reports.style import Theme, figure, png, styled

_WINDOWS = 40  # the smoothed line averages over one such part of the training


def learning_curves(curves: Mapping[str, Sequence[Sequence[CurvePoint]]], *, theme: Theme) -> bytes:
    """PNG of training Dice loss above Dice on the validation cases.

    Of a mode that was trained once, each iteration is faint and the running mean strong; of several trainings each has
    its own running mean, without single iterations.
    """
    with styled(theme):
        made = figure(8.4, 6.2)
        above, below = made.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for mode, colour in theme.mode_colours(tuple(curves)).items():
            for place, curve in enumerate(curves[mode]):
                alone = len(curves[mode]) == 1
                _draw_loss(above, curve, colour, alone=alone, label=mode if place == 0 else None)
                _draw_validation(below, curve, colour, alone=alone)
        above.set_yscale("log")
        low, high = above.get_ylim()
        # A short training stays within one decade, which has no power of ten to be labelled.
        above.yaxis.set_major_locator(LogLocator(subs=range(1, 10) if high / low < 4 else (1, 2, 5)))
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


def _draw_loss(axes: Axes, curve: Sequence[CurvePoint], colour: str, *, alone: bool, label: str | None) -> None:
    measured = [(p.iteration, p.train_dice_loss) for p in curve if p.train_dice_loss is not None]
    if not measured:
        return
    iterations, losses = np.array(measured, float).T
    if alone:
        axes.plot(iterations, losses, color=colour, alpha=0.22, linewidth=0.8)
    smooth = running_mean(losses, max(1, len(losses) // _WINDOWS))
    axes.plot(iterations, smooth, color=colour, linewidth=2 if alone else 1.2, alpha=1 if alone else 0.8, label=label)


def _draw_validation(axes: Axes, curve: Sequence[CurvePoint], colour: str, *, alone: bool) -> None:
    measured = [(p.iteration, p.validation_dice) for p in curve if p.validation_dice is not None]
    if not measured:
        return
    iterations, dice = np.array(measured, float).T
    width, size = (1.8, 4) if alone else (1.1, 2.5)
    axes.plot(iterations, dice, color=colour, linewidth=width, marker="o", markersize=size)
    best = int(dice.argmax())
    axes.plot(
        iterations[best], dice[best], "o", markersize=9, markerfacecolor="none", color=colour, markeredgewidth=1.6
    )
