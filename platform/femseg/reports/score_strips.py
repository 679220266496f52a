"""Figure 4: both models on the test cases, metric by metric."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes

from femseg.metrics.definitions import Metric, metric_named
from femseg.metrics.scorecard import CaseScore
from femseg.reports.style import Theme, figure, png, styled

_SHOWN = tuple(
    metric_named(name)
    for name in (
        "dice",
        "average_hausdorff_mm",
        "average_surface_distance_mm",
        "hausdorff_95_mm",
        "volume_similarity",
    )
)


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
        made = figure(11.4, 4.1)
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
    axes.set_xticks(range(len(scores)), list(scores))
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
