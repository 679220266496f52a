"""The paper's table for this cohort: each metric, raw beside the other inputs, with what the difference is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from femseg.comparison.paired import PairedComparison
from femseg.comparison.wording import input_name, numbers, p_text, signed, span
from femseg.metrics.definitions import METRICS, Metric
from femseg.metrics.scorecard import Grid, summary
from femseg.reports.evidence import HEADLINE_GRID, HEADLINE_METRIC, ComparisonEvidence

GRID_TITLES: Mapping[Grid, str] = {"network": "On the network grid, as in the paper", "native": "On the CT's own grid"}
NOTHING = "–"
_MANY_CASES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One metric on one grid, in words.

    Attributes:
        metric: what the row is about.
        models: mean ± sd by input mode.
        threshold: the same for the plain threshold.
        differences: what each other mode differs by, in the order of the modes.
    """

    metric: Metric
    models: Mapping[str, str]
    threshold: str
    differences: Sequence["Difference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A paired comparison, as table cells."""

    candidate: str
    mean: str
    interval: str
    p: str
    counts: str
    verdict: str


def table_rows(
    evidence: ComparisonEvidence, comparisons: Sequence[PairedComparison], grid: Grid
) -> tuple[TableRow, ...]:
    """The table of one grid."""
    by_mode = {mode: summary(evidence.on_grid(mode, grid))[grid] for mode in evidence.modes}
    threshold = summary(evidence.threshold).get(grid, {})
    return tuple(
        TableRow(
            metric=metric,
            models={mode: mean_and_spread(by_mode[mode][metric.name], metric) for mode in evidence.modes},
            threshold=mean_and_spread(threshold[metric.name], metric) if threshold else NOTHING,
            differences=[_difference(c, metric) for c in comparisons if (c.metric, c.grid) == (metric.name, grid)],
        )
        for metric in METRICS
    )


def mean_and_spread(values: Mapping[str, Any], metric: Metric) -> str:
    """0.944 ± 0.011, with a note of cases in which the metric is undefined."""
    if values["mean"] is None:
        return "undefined"
    text = f"{values['mean']:.{metric.decimals}f}"
    if values["standard_deviation"] is not None:
        text += f" ± {values['standard_deviation']:.{metric.decimals}f}"
    return text + (f" ({values['undefined']} undefined)" if values["undefined"] else "")


def headline_comparisons(comparisons: Sequence[PairedComparison]) -> tuple[PairedComparison, ...]:
    """Those that decide the page's first sentence: Dice on the network grid."""
    return tuple(c for c in comparisons if (c.metric, c.grid) == (HEADLINE_METRIC, HEADLINE_GRID))


def headline(comparison: PairedComparison) -> str:
    """The answer to "does this input help here?" in a few words."""
    candidate, baseline = input_name(comparison.candidate), input_name(comparison.baseline)
    match comparison.verdict:
        case "better":
            return f"{candidate.capitalize()} scored higher on these test cases"
        case "worse":
            return f"{candidate.capitalize()} scored lower than {baseline} on these test cases"
        case "no difference shown":
            return f"No difference shown between {candidate} and {baseline}"
        case "too few cases":
            return f"Too few test cases to tell whether {candidate} helps"


def markdown(evidence: ComparisonEvidence, comparisons: Sequence[PairedComparison], figures: Sequence[str]) -> str:
    """The report as Markdown: verdict, a table per grid, links to the figures, provenance."""
    lines = [f"# Does the gradient help? {evidence.cohort}", ""]
    for comparison in headline_comparisons(comparisons):
        lines += [f"**{headline(comparison)}.** {numbers(comparison)}", ""]
    sizes = ", ".join(f"{count} {part}" for part, count in evidence.split_sizes.items())
    lines += [f"Cases: {sizes}. Mean ± standard deviation over the test cases. {reading_note(evidence)}", ""]
    for grid in evidence.grids:
        lines += [f"## {GRID_TITLES[grid]}", "", *_markdown_table(evidence, comparisons, grid), ""]
    lines += ["## Figures", ""] + [f"![{name}](figures/{name})" for name in figures]
    lines += ["", "## Provenance", "", *_grid_lines(("what", "value"), evidence.provenance.items()), ""]
    lines += ["## Definitions", ""]
    lines += [f"- **{m.heading}**: {m.definition} {m.when_empty} ({m.source})" for m in METRICS]
    return "\n".join(lines) + "\n\nResearch software: not for clinical use without validation.\n"


def reading_note(evidence: ComparisonEvidence) -> str:
    """What a reader must know to read differences, intervals and p-values, and what they do not cover."""
    resamples = f"{evidence.resamples:,}".replace(",", " ")
    few = len(evidence.cases_worst_first()) < _MANY_CASES
    return (
        f"Differences are paired by case, against {input_name(evidence.modes[0])}; intervals are "
        f"{evidence.confidence * 100:g} % bootstrap intervals of the mean difference ({resamples} resamples of cases, "
        f"seed {evidence.seed}); p is of the two-sided Wilcoxon signed-rank test. The headline rests on Dice on the "
        "network grid; the other rows are read beside it, their p-values not adjusted for their number. "
        + ("With so few cases bootstrap intervals come out too narrow. " if few else "")
        + "Each input was trained once: how much another training run would differ is not covered."
    )


def _difference(comparison: PairedComparison, metric: Metric) -> Difference:
    low, high, p_value = comparison.interval.low, comparison.interval.high, comparison.test.p_value
    return Difference(
        candidate=comparison.candidate,
        mean=signed(comparison.mean_difference, metric.decimals),
        interval=NOTHING if low is None or high is None else span(low, high, metric.decimals),
        p=NOTHING if p_value is None else p_text(p_value).removeprefix("= "),
        counts=f"{comparison.improved} of {comparison.n}",
        verdict=comparison.verdict,
    )


def _markdown_table(evidence: ComparisonEvidence, comparisons: Sequence[PairedComparison], grid: Grid) -> list[str]:
    head = ["metric", *evidence.modes, f"threshold {evidence.threshold_hu:g} HU"]
    for mode in evidence.modes[1:]:
        head += [f"{mode} − {evidence.modes[0]}", "interval", "p", "better in", "verdict"]
    body = [
        [
            row.metric.heading,
            *row.models.values(),
            row.threshold,
            *(cell for d in row.differences for cell in (d.mean, d.interval, d.p, d.counts, d.verdict)),
        ]
        for row in table_rows(evidence, comparisons, grid)
    ]
    return _grid_lines(head, body)


def _grid_lines(head: Sequence[str], rows: Any) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
