"""Figure 4: both models on the test cases, metric by metric."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from femseg.comparison.paired import PairedComparison
from femseg.comparison.wording import column_name, signed
from femseg.metrics.definitions import Metric, metric_named
from femseg.metrics.scorecard import CaseScore
from femseg.reports.comparison.evidence import CurvePoint
from femseg.reports.style import Theme, figure, png, styled

_SHOWN = tuple(
    metric_named(name)
    for name in ("dice", "average_hausdorff_mm", "average_surface_distance_mm", "hausdorff_95_mm", "volume_similarity")
)
_SIDE_BY_SIDE = 3  # so many names of inputs stand beside each other below a panel


def score_strips(
    scores: Mapping[str, Sequence[CaseScore]], *, threshold_dice: float | None, threshold_hu: float, theme: Theme
) -> bytes:
    """PNG with a panel for each of five metrics: every test case a dot, a line joining its dots, beside them mean ± sd.

    The paper's three and the two that say most beside them; the tables hold all.

    Args:
        scores: one grid's scores by input mode.
        threshold_dice: mean Dice of the plain threshold, marked in the first panel; None leaves it out.
        threshold_hu: the threshold.
    """
    with styled(theme):
        made = figure(11.4, 4.1 if len(scores) <= _SIDE_BY_SIDE else 5.0)
        panels = made.subplots(1, len(_SHOWN))
        for axes, metric in zip(panels, _SHOWN, strict=True):
            _draw_panel(axes, metric, scores, theme)
        if threshold_dice is not None:
            _mark_threshold(panels[0], threshold_dice, threshold_hu, theme)
        return png(made)


def _draw_panel(axes: Axes, metric: Metric, scores: Mapping[str, Sequence[CaseScore]], theme: Theme) -> None:
    by_case: dict[str, list[tuple[int, float]]] = {}
    for place, (mode, colour) in enumerate(theme.mode_colours(tuple(scores)).items()):
        rows = [(row.case_id, getattr(row, metric.name)) for row in scores[mode]]
        defined = [(case, value) for case, value in rows if value is not None]
        for case, value in defined:
            by_case.setdefault(case, []).append((place, value))
        values = np.array([value for _, value in defined])
        axes.scatter(np.full(len(values), place), values, s=34, color=colour, alpha=0.75, linewidths=0, zorder=3)
        if len(values):
            spread = float(values.std(ddof=1)) if len(values) > 1 else None
            axes.errorbar(
                place + 0.2, values.mean(), yerr=spread, fmt="_", color=colour, markersize=13, markeredgewidth=2.6,
                elinewidth=1.5, capsize=0, zorder=4,
            )  # fmt: skip
    for points in by_case.values():
        axes.plot(*zip(*points, strict=True), color=theme.muted, alpha=0.45, linewidth=0.9, zorder=2)
    axes.set_title(f"{fill(metric.heading, 20)}\n", fontsize=10)
    axes.text(
        0.5,
        1.02,
        f"{metric.better} is better",
        transform=axes.transAxes,
        ha="center",
        va="bottom",
        fontsize=8.5,
        color=theme.muted,
    )
    axes.set_xticks(range(len(scores)), [column_name(mode) for mode in scores])
    if len(scores) > _SIDE_BY_SIDE:
        for label in axes.get_xticklabels():
            label.set(rotation=35, rotation_mode="anchor", horizontalalignment="right")
    axes.set_xlim(-0.45, len(scores) - 0.4)
    axes.grid(axis="x", visible=False)
    if metric.better == "higher":
        axes.set_ylim(top=min(axes.get_ylim()[1], 1.004))  # a whisker may pass 1, the scores cannot
    else:
        axes.set_ylim(bottom=0)


def _mark_threshold(axes: Axes, dice: float, threshold_hu: float, theme: Theme) -> None:
    words = f"threshold {threshold_hu:g} HU: {dice:.2f}"
    place = "dashed"
    if dice >= axes.get_ylim()[0]:
        axes.axhline(dice, color=theme.muted, linestyle=(0, (4, 3)), linewidth=1.2)
    else:
        place = "off scale"
    axes.set_xlabel(f"{words} ({place})", fontsize=8.5, color=theme.muted)


_WINDOWS = 40  # the smoothed line averages over one such part of the training


def learning_curves(curves: Mapping[str, Sequence[Sequence[CurvePoint]]], *, theme: Theme) -> bytes:
    """PNG of the training loss above Dice on the validation cases.

    Of a mode that was trained once, each iteration is faint and the running mean strong; of several trainings each has
    its own running mean, without single iterations.
    """
    with styled(theme):
        made = figure(8.4, 6.2)
        above, below = made.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for mode, colour in theme.mode_colours(tuple(curves)).items():
            for place, curve in enumerate(curves[mode]):
                alone = len(curves[mode]) == 1
                _draw_loss(above, curve, colour, alone=alone, label=column_name(mode) if place == 0 else None)
                _draw_validation(below, curve, colour, alone=alone)
        above.set_yscale("log")
        low, high = above.get_ylim()
        # A short training stays within one decade, which has no power of ten to be labelled.
        above.yaxis.set_major_locator(LogLocator(subs=range(1, 10) if high / low < 4 else (1, 2, 5)))
        above.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        above.yaxis.set_minor_formatter(NullFormatter())
        above.set_ylabel("training loss")
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


_NAMED_CASES = 30


def paired_differences(
    scores: Mapping[str, Sequence[CaseScore]],
    comparison: PairedComparison,
    *,
    single: Sequence[Mapping[str, float]],
    theme: Theme,
) -> bytes:
    """PNG: a row for each case, ordered by its difference; a band for the interval of the mean.

    Args:
        scores: one grid's scores by input mode.
        comparison: of Dice on that grid.
        single: case id → difference of each training by itself, drawn small; empty with one training.
    """
    dice = metric_named(comparison.metric)
    before, after = (
        {row.case_id: getattr(row, comparison.metric) for row in scores[mode]}
        for mode in (comparison.baseline, comparison.candidate)
    )
    differences = sorted((after[case] - before[case], case) for case in before)
    better, worse = (theme.mode_colours(tuple(scores))[mode] for mode in (comparison.candidate, comparison.baseline))
    with styled(theme):
        made = figure(8.4, 1.7 + 0.27 * min(len(differences), _NAMED_CASES))
        axes = made.subplots()
        interval = comparison.interval
        if interval.low is not None and interval.high is not None:
            axes.axvspan(interval.low, interval.high, color=better, alpha=0.14, linewidth=0)
        if comparison.margin:
            for edge in (-comparison.margin, comparison.margin):
                axes.axvline(edge, color=theme.muted, linestyle=(0, (2, 3)), linewidth=1)
        axes.axvline(0.0, color=theme.ink, linewidth=1)
        if comparison.mean_difference is not None:
            axes.axvline(comparison.mean_difference, color=better, linewidth=2)
        for row, (difference, case) in enumerate(differences):
            colour = better if difference > 0 else worse
            axes.plot([0, difference], [row, row], color=colour, linewidth=1.4, alpha=0.6)
            axes.plot(difference, row, "o", color=colour, markersize=6)
            for training in single:
                if case in training:
                    axes.plot(training[case], row, "|", color=colour, markersize=8, alpha=0.8)
        named = len(differences) <= _NAMED_CASES
        axes.set_yticks(range(len(differences)) if named else [], [case for _, case in differences] if named else [])
        axes.grid(axis="y", visible=False)
        axes.set_ylim(-0.7, len(differences) - 0.3)
        axes.set_xlabel(f"{dice.heading}: {column_name(comparison.candidate)} − {column_name(comparison.baseline)}")
        mean = signed(comparison.mean_difference, dice.decimals)
        axes.set_title(f"mean {mean}", fontsize=10, color=better, loc="left")
        return png(made)
