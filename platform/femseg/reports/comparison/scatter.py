"""How many trainings stand behind a comparison, and how much of its scatter is theirs."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from femseg.comparison.paired import PairedComparison
from femseg.comparison.variance import VarianceComponents
from femseg.comparison.wording import span
from femseg.metrics.definitions import metric_named
from femseg.reports.comparison.evidence import HEADLINE_METRIC, ComparisonEvidence
from femseg.reports.comparison.page import PageSection
from femseg.reports.comparison.table import grid_lines

TITLE = "Cases, folds, seeds: where the difference scatters"
_HEAD = ("candidate", "scatter between", "standard deviation", "degrees of freedom")
_DECIMALS = metric_named(HEADLINE_METRIC).decimals


def trainings_said(evidence: ComparisonEvidence, comparison: PairedComparison) -> str:
    """How many trainings the verdict rests on, and whether it outlasts their scatter."""
    folds, seeds = evidence.folds, evidence.seeds
    if folds * seeds == 1:
        return "Behind this stands one training of each input; how much another would differ is not covered."
    over = " × ".join(f"{count} {word}" for count, word in ((folds, "folds by patient"), (seeds, "seeds")) if count > 1)
    averaged = "; each case counts once, by its mean over the seeds" if seeds > 1 else ""
    said = f"Behind this stand {folds * seeds} trainings of each input ({over}{averaged})."
    components = evidence.scatter()[comparison.candidate]
    if components is None:
        return f"{said} A fold tests a single case, so their scatter cannot be told from that of the cases."
    return f"{said} {_outlasts(components, comparison)}"


def _outlasts(components: VarianceComponents, comparison: PairedComparison) -> str:
    confidence = comparison.interval.confidence
    low_high = components.interval(confidence)
    if low_high is None:
        return "They differ nowhere, so no interval can count their scatter."
    low, high = low_high
    df = f"{components.standard_error_df:.1f}".removesuffix(".0")
    said = (
        f"With the scatter between trainings counted as well, the {confidence * 100:g} % interval is "
        f"{span(low, high, _DECIMALS)} (Student's t, {df} degree{'' if df == '1' else 's'} of freedom)"
    )
    shared = " Folds share training cases, so this is still too narrow." if components.folds > 1 else ""
    if comparison.verdict not in ("better", "worse"):
        return f"{said}.{shared}"
    if low <= 0 <= high:
        return f"{said}: that other trainings of these two inputs would show the same stays open.{shared}"
    return f"{said}: it excludes zero too.{shared}"


def scatter_section(evidence: ComparisonEvidence) -> PageSection | None:
    """The variance components, for the page; None if each input was trained once, or nothing could be separated."""
    rows = _rows(evidence.scatter())
    return PageSection(title=TITLE, sentences=[_note(evidence)], head=_HEAD, rows=rows, figures=[]) if rows else None


def scatter_markdown(evidence: ComparisonEvidence) -> list[str]:
    """The same as lines of Markdown; none where the page has no such section."""
    rows = _rows(evidence.scatter())
    return [f"## {TITLE}", "", _note(evidence), "", *grid_lines(_HEAD, rows), ""] if rows else []


def scatter_record(evidence: ComparisonEvidence) -> dict[str, Any]:
    """The same as JSON values, with the difference of every training and case."""
    return {
        "folds": evidence.folds,
        "seeds": evidence.seeds,
        "components": {
            candidate: None if components is None else asdict(components)
            for candidate, components in evidence.scatter().items()
        },
    }


def _note(evidence: ComparisonEvidence) -> str:
    several_folds = (
        " The training sets of folds overlap, so another cohort would scatter more than its folds do; seeds are "
        "nested in folds."
    )
    return (
        "Standard deviations of the paired difference in Dice, where it is the answer, by analysis of variance (method "
        "of moments); 0 says that a component is too small to be seen. What rests on few degrees of freedom is rough."
        + (several_folds if evidence.folds > 1 else "")
    )


def _rows(scatter: Mapping[str, VarianceComponents | None]) -> list[tuple[str, ...]]:
    return [
        (candidate, words, f"{sd:.{_DECIMALS + 1}f}", str(df))
        for candidate, found in scatter.items()
        if found is not None
        for words, sd, df in (
            ("cases", found.cases_sd, found.cases_df),
            ("folds (what was trained on)", found.folds_sd, found.folds_df),
            ("seeds (nothing else changed)", found.seeds_sd, found.seeds_df),
            ("the rest: one case with one seed and another", found.residual_sd, found.residual_df),
        )
        if sd is not None
    ]
