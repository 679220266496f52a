"""Two figures of the search: learning rate against Dice, and how each trial learned."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from femseg.reports.comparison.score_strips import running_mean
from femseg.reports.comparison.search_evidence import SearchedTrial, SearchEvidence
from femseg.reports.style import LIGHT, Theme, figure, png, styled

_WINDOWS = 20  # the smoothed line averages over one such part of the longest trial


def rates_against_dice(search: SearchEvidence, *, theme: Theme) -> bytes:
    """PNG, one panel per input mode: each trial at its learning rate, with its Dice at every rung that it reached.

    Hollow: it ended there; filled: it reached the last rung; a ring: its learning rate was taken; ×: it failed.
    """
    with styled(theme):
        made = figure(8.4, 3.9)
        made.set_layout_engine("constrained", wspace=0.05)  # outer tick labels keep apart
        panels = made.subplots(1, len(search.modes), sharey=True, squeeze=False)[0]
        for axes, (mode, colour) in zip(panels, theme.mode_colours(search.modes).items(), strict=True):
            axes.set_title(mode, color=colour, loc="left")
            _rate_axis(axes, search)
            for trial in search.of_mode(mode):
                _draw_trial(axes, trial, search, colour, theme)
            axes.margins(y=0.12)  # room for the ring and its number
        panels[0].set_ylabel("best validation Dice")
        made.supxlabel("learning rate", fontsize=10)
        _legend(made, search, theme)
        return png(made)


def _rate_axis(axes: Axes, search: SearchEvidence) -> None:
    low, high = search.learning_rate
    axes.set_xscale("log")
    margin = (high / low) ** 0.05
    axes.set_xlim(low / margin, high * margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 100 else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_trial(axes: Axes, trial: SearchedTrial, search: SearchEvidence, colour: str, theme: Theme) -> None:
    if trial.failure or trial.validation_dice is None:
        axes.plot(trial.learning_rate, 0.04, "x", color=theme.muted, markersize=8, transform=axes.get_xaxis_transform())
        return
    reached = [(rung, trial.dice_at(rung)) for rung in search.rungs if rung <= trial.iterations]
    dice = [value for _, value in reached if value is not None]
    rate = [trial.learning_rate] * len(dice)
    finished, taken = trial.iterations == search.rungs[-1], trial.trial_id in search.chosen.values()
    axes.plot(rate, dice, color=colour, linewidth=1.2, alpha=0.5)
    axes.plot(rate[:-1], dice[:-1], "o", color=colour, markersize=3, alpha=0.5)
    end = (rate[-1:], dice[-1:])
    axes.plot(*end, "o", color=colour, markersize=7, markerfacecolor=colour if finished else theme.paper)
    if taken:
        axes.plot(*end, "o", color=theme.ink, markersize=13, markerfacecolor="none", markeredgewidth=1.6)
        axes.annotate(
            f"{trial.learning_rate:g}",
            (rate[-1], dice[-1]),
            xytext=(0, 11),
            textcoords="offset points",
            ha="center",
            color=theme.ink,
        )


def _legend(made: Figure, search: SearchEvidence, theme: Theme) -> None:
    def mark(shape: str, size: float, face: str, said: str) -> Line2D:
        return Line2D([], [], linestyle="", marker=shape, markersize=size, color=theme.ink, mfc=face, label=said)

    marks = [mark("o", 13, "none", "taken"), mark("o", 7, theme.ink, f"trained for {search.rungs[-1]} iterations")]
    if len(search.rungs) > 1:
        marks.append(mark("o", 7, theme.paper, "stopped earlier"))
        marks.append(Line2D([], [], marker="o", markersize=3, color=theme.ink, alpha=0.5, label="at earlier rungs"))
    if any(trial.failure for trial in search.trials):
        marks.append(mark("x", 8, theme.muted, "failed"))
    made.legend(handles=marks, loc="outside upper center", ncols=len(marks), handletextpad=0.3)


def trial_curves(search: SearchEvidence, *, theme: Theme) -> bytes:
    """PNG, one panel per input mode: the training loss of each trial, its colour the learning rate."""
    with styled(theme):
        made = figure(8.4, 3.7)
        panels = made.subplots(1, len(search.modes), sharey=True, squeeze=False)[0]
        colours, scale = _rate_colours(theme), LogNorm(*search.learning_rate)
        for axes, (mode, colour) in zip(panels, theme.mode_colours(search.modes).items(), strict=True):
            axes.set_title(mode, color=colour, loc="left")
            for trial in search.of_mode(mode):
                _draw_curve(axes, trial, search, colours(scale(trial.learning_rate)), theme)
            for rung in search.rungs[:-1]:
                axes.axvline(rung, color=theme.muted, linewidth=1, linestyle=(0, (2, 3)))
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0, 7.0)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], nbins=6))
        panels[0].set_ylabel("training loss")
        made.supxlabel("iteration", fontsize=10)
        bar = made.colorbar(ScalarMappable(norm=scale, cmap=colours), ax=list(panels), pad=0.02, aspect=28)
        bar.set_label("learning rate")
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.ax.minorticks_off()
        bar.outline.set_visible(False)
        return png(made)


def _rate_colours(theme: Theme) -> Colormap:
    """Low to high learning rates; every one stands off the theme's paper."""
    ends = ("#9ecae1", "#2171b5", "#08264d") if theme.paper == LIGHT.paper else ("#2f6fae", "#7fc4f0", "#f3e9c9")
    return LinearSegmentedColormap.from_list("rates", ends)


def _draw_curve(
    axes: Axes, trial: SearchedTrial, search: SearchEvidence, colour: tuple[float, ...], theme: Theme
) -> None:
    measured = [(p.iteration, p.train_dice_loss) for p in trial.curve if p.train_dice_loss is not None]
    if not measured:
        return
    iterations, losses = np.array(measured, float).T
    smooth = running_mean(losses, max(1, search.rungs[-1] // _WINDOWS))
    taken = trial.trial_id in search.chosen.values()
    axes.plot(iterations, smooth, color=colour, linewidth=2.6 if taken else 1.4)
    if taken:
        axes.plot(
            iterations[-1], smooth[-1], "o", color=theme.ink, markersize=11, markerfacecolor="none", markeredgewidth=1.6
        )
