"""Every test case's paired difference, beside their mean, its interval and the difference that matters."""

from collections.abc import Mapping, Sequence

from femseg.comparison.paired import PairedComparison
from femseg.comparison.wording import signed
from femseg.metrics.definitions import metric_named
from femseg.metrics.scorecard import CaseScore
from femseg.reports.style import Theme, figure, png, styled

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
        axes.set_xlabel(f"{dice.heading}: {comparison.candidate} − {comparison.baseline}")
        axes.set_title(
            f"mean {signed(comparison.mean_difference, dice.decimals)}", fontsize=10, color=better, loc="left"
        )
        return png(made)
