"""How well a model does, for whom, and where it fails: the parts of its card that its scores fill."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.case import Case
from femseg.comparison.bootstrap import ALL_RESAMPLES_UP_TO, fewest_values, mean_interval
from femseg.comparison.repeats import CompareSettings
from femseg.comparison.subgroups import case_groups
from femseg.metrics.definitions import METRICS, Metric, metric_named
from femseg.metrics.scorecard import CaseScore, Grid
from femseg.reports.card.facts import METAL_ML, SCORES_FIGURE, WORST_CASES, WORST_FIGURE, CardFacts, Section, Table
from femseg.reports.comparison.table import GRID_TITLES, NOTHING

_GRIDS: tuple[Grid, ...] = ("native", "network")
_FAILURES_HEAD = ("case", "Dice", "Hausdorff 95 % (mm)", "surface (mm)", "volume (ml)", "what is known of it")


def performance(facts: CardFacts) -> Section:
    """Every metric on both grids, with intervals."""
    statistics = facts.statistics
    resamples = f"{statistics.resamples:,}".replace(",", "\u00a0")
    tables = {
        GRID_TITLES[grid]: Table(
            head=("metric", "mean ± sd", f"{statistics.confidence * 100:g} % interval", "worst", "cases"),
            rows=tuple(_metric_row(metric, facts.on_grid(grid), statistics) for metric in METRICS),
        )
        for grid in _GRIDS
        if facts.on_grid(grid)
    }
    return Section(
        title="How well it does",
        sentences=(f"On {len(facts.split.test)} test cases that had no part in training or choosing it.",),
        tables=tables,
        figures=(SCORES_FIGURE,),
        note="Intervals are bootstrap intervals of the mean (BCa, expanded for few cases, "
        f"{resamples} resamples of cases, seed {statistics.seed}; of up to {ALL_RESAMPLES_UP_TO} cases all there are). "
        "They tell how the mean would vary over "
        "other cases of the same kind, not over other scanners or another training run. "
        f"{_too_few_for_an_interval('Metrics', statistics)}",
    )


def _metric_row(metric: Metric, scores: Sequence[CaseScore], statistics: CompareSettings) -> tuple[str, ...]:
    values = np.array([value for row in scores if (value := getattr(row, metric.name)) is not None], dtype=np.float64)
    undefined = len(scores) - len(values)
    count = f"{len(values)}" + (f", {undefined} undefined" if undefined else "")
    if not len(values):
        return (metric.heading, NOTHING, NOTHING, NOTHING, count)
    spread = f" ± {values.std(ddof=1):.{metric.decimals}f}" if len(values) > 1 else ""
    worst = min(values, key=lambda value: metric.gain(metric.compared(float(value))))
    return (
        f"{metric.heading} {metric.arrow}",
        _number(float(values.mean()), metric) + spread,
        _interval(values, metric, statistics),
        _number(float(worst), metric),
        count,
    )


def _too_few_for_an_interval(what: str, statistics: CompareSettings) -> str:
    fewest = fewest_values(statistics.confidence)
    return (
        f"{what} with fewer than {fewest} cases get no interval: "
        f"of so few none can cover at {statistics.confidence * 100:g} %."
    )


def _number(value: float, metric: Metric) -> str:
    return f"{value:.{metric.decimals}f}".replace("-", "−")


def _interval(values: NDArray[np.float64], metric: Metric, statistics: CompareSettings) -> str:
    interval = mean_interval(
        values, confidence=statistics.confidence, resamples=statistics.resamples, seed=statistics.seed
    )
    if interval.low is None or interval.high is None:
        return NOTHING
    return f"{_number(interval.low, metric)} to {_number(interval.high, metric)}"


def failures(facts: CardFacts) -> Section:
    """The worst test cases, with what is known of them."""
    by_id = {case.case_id: case for case in facts.cases}
    rows = []
    for row in facts.on_grid("native")[:WORST_CASES]:
        case = by_id.get(row.case_id)
        rows.append(
            (
                row.case_id,
                f"{row.dice:.3f}",
                NOTHING if row.hausdorff_95_mm is None else f"{row.hausdorff_95_mm:.1f}",
                NOTHING if row.average_surface_distance_mm is None else f"{row.average_surface_distance_mm:.2f}",
                f"{row.volume_difference_ml:+.0f}".replace("-", "−"),
                "; ".join(_oddities(case)) if case else "",
            )
        )
    lowest = f" The lowest Dice is {rows[0][1]}." if rows else ""
    return Section(
        title="Known failures",
        sentences=(
            f"The test cases with the lowest Dice on the CT's own grid, worst first.{lowest} "
            "Expect cases like these in use, and worse ones.",
        ),
        tables={"": Table(head=_FAILURES_HEAD, rows=tuple(rows), last_is_text=True)},
        figures=(WORST_FIGURE,),
        note="femseg segment rejects what it finds, or asks for a review, where size or form is no femur's (IF-09), or "
        "two looks at the CT disagree (IF-11); a wrong mask of plausible form of which it is sure is not noticed.",
    )


def _oddities(case: Case) -> list[str]:
    facts = case.facts
    found = [f"{facts.side} side"] if facts.side else []
    if facts.metal_ml >= METAL_ML:
        found.append(f"{facts.metal_ml:.1f} ml of metal")
    if facts.cut_off:
        found.append(f"cut off at the {' and '.join(facts.cut_off)} end")
    ids = sorted({remark.partition(":")[0].partition(" ")[0] for remark in case.remarks} - {"FACT"})
    return [*found, *([f"intake remarked {', '.join(ids)}"] if ids else [])]  # the remarks may quote a header


def subgroups(facts: CardFacts) -> Section:
    """Dice within groups of test cases."""
    tested = [case for case in facts.cases if case.case_id in facts.split.test]
    dice = {row.case_id: row.dice for row in facts.on_grid("native")}
    rows = [
        _group_row(f"{trait}: {group}", np.array(values), facts.statistics)
        for trait, groups in case_groups(tested).items()
        for group in sorted(set(groups.values()))
        if (values := [dice[case] for case, of in groups.items() if of == group and case in dice])
    ]
    if not rows:
        sentence = "All test cases are alike in side, sex, implants and cut-off bone, as far as it is known."
        return Section(title="Subgroups", sentences=(sentence,))
    head = ("group", "Dice, mean ± sd", f"{facts.statistics.confidence * 100:g} % interval", "worst", "cases")
    return Section(
        title="Subgroups",
        sentences=("Dice on the CT's own grid.",),
        tables={"": Table(head=head, rows=tuple(rows))},
        note="Small groups: where to look next, not what to believe. "
        f"{_too_few_for_an_interval('Groups', facts.statistics)}",
    )


def _group_row(group: str, dice: NDArray[np.float64], statistics: CompareSettings) -> tuple[str, ...]:
    spread = f" ± {dice.std(ddof=1):.3f}" if len(dice) > 1 else ""
    interval = _interval(dice, metric_named("dice"), statistics)
    return (group, f"{dice.mean():.3f}{spread}", interval, f"{dice.min():.3f}", str(len(dice)))
