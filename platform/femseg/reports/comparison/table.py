"""The paper's table for this cohort: each metric, raw beside the other inputs, with what the difference is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from femseg.comparison.bootstrap import ALL_RESAMPLES_UP_TO
from femseg.comparison.family import is_primary
from femseg.comparison.paired import PairedComparison
from femseg.comparison.wording import input_name, numbers, p_text, reach, signed, span, too_few, verdict_words
from femseg.metrics.definitions import METRICS, Metric, metric_named
from femseg.metrics.scorecard import Grid, summary
from femseg.reports.comparison.evidence import HEADLINE_GRID, HEADLINE_METRIC, ComparisonEvidence

_MANY_CASES = 20


def reading_note(evidence: ComparisonEvidence, comparisons: Sequence[PairedComparison]) -> str:
    """Below the tables: how differences, intervals and p-values were made; of what is rare, only what occurs here."""
    resamples = f"{evidence.resamples:,}".replace(",", "\u00a0")
    sentences = (
        f"Differences are paired by case, against {_baselines(evidence)}; intervals are "
        f"{evidence.confidence * 100:g} % bootstrap intervals of the mean difference (BCa, expanded for few cases, "
        f"{resamples} resamples of cases, seed {evidence.seed}; of up to {ALL_RESAMPLES_UP_TO} cases all there are); "
        f"{_alone(evidence)}.",
        f"p is of the two-sided Wilcoxon signed-rank test. Dice on {_where_it_decides(evidence)} was chosen "
        "beforehand and is tested alone; the p of every other row is adjusted by Holm for all of these rows together, "
        "and never below Dice's.",
        "Effect is the matched-pairs rank-biserial correlation (−1 to 1), and the mean difference in standard "
        "deviations of the differences (d_z).",
        "Equal cases are set aside in p and effect." if any(c.tied for c in comparisons) else "",
        "A case in which a mask is empty has no distance and is left out of that row, which favours the model that "
        "failed."
        if any(c.undefined_pairs for c in comparisons)
        else "",
        "80 % power is the mean difference that so many cases would have shown in four of five such studies, taking "
        "the scatter seen as the true one: of that Dice tested alone, of every other row at the level "
        "divided by the number of these rows (cautious: Holm asks less of later ones); – where so few cases would show "
        "none.",
        too_few_rows(comparisons),
        "With so few cases intervals still come out somewhat too narrow."
        if len(evidence.cases_worst_first()) < _MANY_CASES
        else "",
        dependence_said(evidence),
        "These intervals and tests are of the cases; where there are several trainings, their scatter is counted "
        "beside them.",
    )
    return " ".join(filter(None, sentences))


def too_few_rows(comparisons: Sequence[PairedComparison]) -> str:
    """What the dash in a row's verdict says; empty if no row has one."""
    few = [c for c in comparisons if not _has_a_verdict(c)]
    if not few:
        return ""
    return (
        f"– as a verdict: with so few cases, or unequal ones, and {few[0].tests} rows to adjust for, p of that row "
        "could not have fallen below the level whatever they showed."
    )


def _has_a_verdict(comparison: PairedComparison) -> bool:
    """Dice where it decides always has one: it is the page's answer."""
    return is_primary(comparison) or comparison.verdict != "too few cases"


def subgroup_note(evidence: ComparisonEvidence) -> str:
    """Below the table of subgroups."""
    return (
        f"Dice on {_where_it_decides(evidence)}. Groups are looked at to ask further, not to conclude: a group too "
        "small to reach the level gets no test, and a difference shown in one group and not in another is no "
        f"difference between the groups. {_alone(evidence).capitalize()}."
    )


def dependence_said(evidence: ComparisonEvidence) -> str:
    """That several cases of one patient are no independent cases; empty where each patient has one."""
    count = evidence.patients_with_several
    if not count:
        return ""
    who = f"{count} patient{' has' if count == 1 else 's have'} several cases"
    return f"{who}; cases are treated as independent, so intervals and p are too small."


def _baselines(evidence: ComparisonEvidence) -> str:
    """What the inputs are compared with: one baseline, or a second for the cascades."""
    own = [mode for mode in evidence.modes[1:] if evidence.baseline_of(mode) != evidence.modes[0]]
    more = f"; {' and '.join(map(input_name, own))} against {input_name(evidence.baseline_of(own[0]))}" if own else ""
    return input_name(evidence.modes[0]) + more


def _where_it_decides(evidence: ComparisonEvidence) -> str:
    """The grid on which Dice is the answer, or both of them."""
    between_cascades = any(evidence.grid_of(mode) != HEADLINE_GRID for mode in evidence.modes[1:])
    both = "the network grid (between cascades: the CT's own grid)"
    return both if between_cascades else GRID_WORDS[HEADLINE_GRID]


def _alone(evidence: ComparisonEvidence) -> str:
    return f"each interval is at {evidence.confidence * 100:g} % by itself, not adjusted for the number of rows"


GRID_WORDS: Mapping[Grid, str] = {"network": "the network grid", "native": "the CT's own grid"}
GRID_TITLES: Mapping[Grid, str] = {"network": "On the network grid, as in the paper", "native": "On the CT's own grid"}
NOTHING = "–"
HOW_TO_CHECK = (
    "To check this: femseg lineage reports/comparison.html follows these hashes from this page to the packages, the "
    "MLflow runs that trained them (their tag package_sha256 is the package's hash), the commit, the split and each CT "
    "series, and says which link does not hold."
)


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
    """A paired comparison, as table cells: `p` is Wilcoxon's own, `adjusted_p` what is left of it in its family."""

    candidate: str
    mean: str
    interval: str
    p: str
    adjusted_p: str
    effect: str
    standardised: str
    detectable: str
    counts: str
    verdict: str


def table_rows(
    evidence: ComparisonEvidence, comparisons: Sequence[PairedComparison], grid: Grid
) -> tuple[TableRow, ...]:
    """The table of one grid."""
    by_mode = {mode: summary(evidence.on_grid(mode, grid))[grid] for mode in evidence.modes}
    threshold = summary(evidence.threshold).get(grid, {})
    surface_dice = [(r.surface_dice_1mm, r.surface_dice_2mm) for m in evidence.modes for r in evidence.on_grid(m, grid)]
    shown = {metric.name: metric for metric in METRICS}
    if all(at_1mm == at_2mm for at_1mm, at_2mm in surface_dice):  # no voxel edge is that short: one number twice
        del shown["surface_dice_2mm"]
        shown["surface_dice_1mm"] = replace(shown["surface_dice_1mm"], title="Surface Dice at 1 and 2 mm")
    return tuple(
        TableRow(
            metric=metric,
            models={mode: mean_and_spread(by_mode[mode][metric.name], metric) for mode in evidence.modes},
            threshold=mean_and_spread(threshold[metric.name], metric) if threshold else NOTHING,
            differences=[_difference(c, metric) for c in comparisons if (c.metric, c.grid) == (metric.name, grid)],
        )
        for metric in shown.values()
    )


def mean_and_spread(values: Mapping[str, Any], metric: Metric) -> str:
    """0.944 ± 0.011, with a note of cases in which the metric is undefined."""
    if values["mean"] is None:
        return "undefined"
    text = f"{values['mean']:.{metric.decimals}f}".replace("-", "−")
    if values["standard_deviation"] is not None:
        text += f" ± {values['standard_deviation']:.{metric.decimals}f}"
    return text + (f" ({values['undefined']} undefined)" if values["undefined"] else "")


def headline_comparisons(comparisons: Sequence[PairedComparison]) -> tuple[PairedComparison, ...]:
    """Those that decide the page's first sentences."""
    return tuple(c for c in comparisons if is_primary(c))


def headline(comparison: PairedComparison) -> str:
    """The answer to "does this input help here?" in a few words."""
    candidate, baseline = input_name(comparison.candidate), input_name(comparison.baseline)
    between_cascades = comparison.grid != HEADLINE_GRID
    match comparison.verdict:
        case "better":
            than = f" than {baseline}" if between_cascades else ""
            return f"{candidate.capitalize()} scored higher{than} on these test cases"
        case "worse":
            return f"{candidate.capitalize()} scored lower than {baseline} on these test cases"
        case "no difference shown":
            return f"No difference shown between {candidate} and {baseline}"
        case "too few cases":
            few = too_few(comparison).replace("cases", "test cases")
            than = f" more than {baseline}" if between_cascades else ""
            return f"{few.capitalize()} to tell whether {candidate} helps{than}"


def in_full(comparison: PairedComparison, trained: Mapping[str, str] | None) -> str:
    """What stands below a headline: numbers, reach, and by candidate how many trainings this rests on."""
    said = numbers(comparison)
    if comparison.grid != HEADLINE_GRID:
        said = f"On {GRID_WORDS[comparison.grid]}: {said[0].lower()}{said[1:]}"
    return " ".join(filter(None, (said, reach(comparison), (trained or {}).get(comparison.candidate))))


def markdown(
    evidence: ComparisonEvidence,
    comparisons: Sequence[PairedComparison],
    figures: Sequence[str],
    more: Sequence[str] = (),
    *,
    trained: Mapping[str, str] | None = None,
) -> str:
    """The report as Markdown: verdict, a table per grid, links to the figures, `more` lines, provenance.

    Args:
        trained: by candidate, how many trainings the verdict rests on.
    """
    lines = [f"# Does the gradient help? {evidence.cohort}", ""]
    for comparison in headline_comparisons(comparisons):
        lines += [f"**{headline(comparison)}.** {in_full(comparison, trained)}", ""]
    sizes = ", ".join(f"{count} {part}" for part, count in evidence.split_sizes.items())
    note = reading_note(evidence, comparisons)
    lines += [f"Cases: {sizes}. Mean ± standard deviation over the test cases. {note}", ""]
    for grid in evidence.grids:
        lines += [f"## {GRID_TITLES[grid]}", "", *_markdown_table(evidence, comparisons, grid), ""]
    for candidate, cells in subgroup_lines(evidence).items():
        lines += [f"## Subgroups, {candidate} − {evidence.baseline_of(candidate)}", "", subgroup_note(evidence), ""]
        lines += [*grid_lines(SUBGROUP_HEAD, cells), ""]
    lines += ["## Figures", ""] + [f"![{name}](figures/{name})" for name in figures]
    lines += ["", *more, "## Provenance", ""]
    lines += [*grid_lines(evidence.composition[0], evidence.composition[1:]), ""] if evidence.composition else []
    lines += [*grid_lines(("what", "value"), evidence.provenance.items()), "", HOW_TO_CHECK, ""]
    lines += ["## Definitions", ""]
    lines += [f"- **{m.heading}**: {m.definition} {m.when_empty} ({m.source})" for m in METRICS]
    return "\n".join(lines) + "\n\nResearch software: not for clinical use without validation.\n"


def _difference(comparison: PairedComparison, metric: Metric) -> Difference:
    low, high = comparison.interval.low, comparison.interval.high
    return Difference(
        candidate=comparison.candidate,
        mean=_mean_cell(comparison, metric),
        interval=NOTHING if low is None or high is None else span(low, high, metric.decimals),
        p=_p_cell(comparison.test.p_value),
        adjusted_p=_p_cell(comparison.adjusted_p),
        effect=_signed_cell(comparison.test.rank_biserial),
        standardised=_signed_cell(comparison.standardised_difference),
        detectable=NOTHING
        if comparison.detectable_difference is None
        else f"{comparison.detectable_difference:.{metric.decimals}f}",
        counts=_counts(comparison),
        verdict=verdict_words(comparison) if _has_a_verdict(comparison) else NOTHING,
    )


def _mean_cell(comparison: PairedComparison, metric: Metric) -> str:
    """The models' own columns show signed means, whose difference may be another."""
    of_sizes = metric.better == "nearer to zero" and comparison.mean_difference is not None
    return signed(comparison.mean_difference, metric.decimals) + (" (of sizes)" if of_sizes else "")


def _counts(comparison: PairedComparison) -> str:
    """In how many of the pairs the candidate is better; 3 of 6, 3 equal (1 undefined)."""
    equal = f", {comparison.tied} equal" if comparison.tied else ""
    undefined = f" ({len(comparison.undefined_pairs)} undefined)" if comparison.undefined_pairs else ""
    return f"{comparison.improved} of {comparison.n}{equal}{undefined}"


def _p_cell(p_value: float | None) -> str:
    return NOTHING if p_value is None else p_text(p_value).removeprefix("= ")


def _signed_cell(value: float | None) -> str:
    return NOTHING if value is None else signed(value, 2)


def subgroup_lines(evidence: ComparisonEvidence) -> dict[str, list[tuple[str, ...]]]:
    """Cells of the subgroup tables by candidate: trait, group, cases, mean difference, interval, adjusted p."""
    decimals = metric_named(HEADLINE_METRIC).decimals
    return {
        candidate: [
            (
                row.trait,
                row.group,
                str(row.n),
                signed(row.mean_difference, decimals),
                row.no_interval if row.low is None or row.high is None else span(row.low, row.high, decimals),
                _p_cell(row.adjusted_p),
            )
            for row in rows
        ]
        for candidate, rows in evidence.subgroups().items()
    }


SUBGROUP_HEAD = ("trait", "group", "cases", "Dice difference", "interval", "p after Holm")


def _markdown_table(evidence: ComparisonEvidence, comparisons: Sequence[PairedComparison], grid: Grid) -> list[str]:
    head = ["metric", *evidence.modes, f"threshold {evidence.threshold_hu:g} HU"]
    for mode in evidence.modes[1:]:
        head += [f"{mode} − {evidence.baseline_of(mode)}", "interval", "p", "p adjusted", "effect", "d_z"]
        head += ["80 % power", "better in", "verdict"]
    body = [
        [
            row.metric.heading,
            *row.models.values(),
            row.threshold,
            *(
                cell
                for d in row.differences
                for cell in (
                    *(d.mean, d.interval, d.p, d.adjusted_p, d.effect),
                    *(d.standardised, d.detectable, d.counts, d.verdict),
                )
            ),
        ]
        for row in table_rows(evidence, comparisons, grid)
    ]
    return grid_lines(head, body)


def grid_lines(head: Sequence[str], rows: Any) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
