"""The comparison report as files: Markdown, HTML, JSON and the paper's figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from femseg.comparison.paired import PairedComparison
from femseg.files.durable import write_bytes_durably, write_json_durably
from femseg.metrics.scorecard import summary
from femseg.reports.comparison.evidence import ComparisonEvidence, LoadPicture
from femseg.reports.comparison.figures import comparison_figures, page_place, worst_case_figures
from femseg.reports.comparison.page import comparison_page
from femseg.reports.comparison.scatter import scatter_markdown, scatter_record, scatter_section, trainings_said
from femseg.reports.comparison.search_account import search_figures, search_markdown, search_record, search_section
from femseg.reports.comparison.search_evidence import SearchEvidence
from femseg.reports.comparison.table import dependence_said, headline, headline_comparisons, markdown


def write_comparison_report(
    evidence: ComparisonEvidence, folder: Path, *, load_picture: LoadPicture, search: SearchEvidence | None = None
) -> dict[str, Path]:
    """Write comparison.md, comparison.html, comparison.json and figures/*.png; the same evidence gives the same bytes.

    Args:
        evidence: what the stages measured.
        folder: where to write; files of these names are replaced, others stay.
        load_picture: gives the arrays of a case; called for the cases that are shown, one at a time.
        search: how the learning rates were found; None if they were given.
    Returns: file name (relative to `folder`) → path.
    """
    comparisons = evidence.comparisons()
    worst, figures = worst_case_figures(evidence, load_picture), comparison_figures(evidence, comparisons, load_picture)
    searched = search_figures(search) if search else {}
    drawn = {**worst, **figures, **searched}
    files: dict[str, bytes] = {f"figures/{name}": figure.light for name, figure in drawn.items()}
    told = search_markdown(search, {f.title: f"figures/{name}" for name, f in searched.items()}) if search else []
    dependence = dependence_said(evidence)
    trained = {
        c.candidate: " ".join(filter(None, (dependence, trainings_said(evidence, c))))
        for c in headline_comparisons(comparisons)
    }
    told = [*scatter_markdown(evidence), *told]
    files["comparison.md"] = markdown(evidence, comparisons, (*worst, *figures), told, trained=trained).encode()
    # On the page the answer's own figures come first, then how it came about.
    shown = [figures[name] for name in sorted(figures, key=page_place)]
    scatter = scatter_section(evidence)
    sections = [*([scatter] if scatter else []), *([search_section(search, searched)] if search else [])]
    page = comparison_page(evidence, comparisons, shown, sections, worst=tuple(worst.values()), trained=trained)
    files["comparison.html"] = page.encode()
    for name, content in files.items():
        write_bytes_durably(folder / name, content)
    record = comparison_record(evidence, comparisons) | {"search": search_record(search) if search else None}
    write_json_durably(folder / "comparison.json", record)
    return {name: folder / name for name in (*files, "comparison.json")}


def comparison_record(evidence: ComparisonEvidence, comparisons: Sequence[PairedComparison]) -> dict[str, Any]:
    """The report's numbers as JSON values, for programs."""
    return {
        "cohort": evidence.cohort,
        "split_sizes": dict(evidence.split_sizes),
        "models": {mode: summary(evidence.scores[mode]) for mode in evidence.modes},
        "threshold": {"threshold_hu": evidence.threshold_hu, **summary(evidence.threshold)},
        "comparisons": [comparison.as_plain() for comparison in comparisons],
        "subgroups": {mode: [row.as_plain() for row in rows] for mode, rows in evidence.subgroups().items()},
        "headlines": [headline(comparison) for comparison in headline_comparisons(comparisons)],
        "trainings": scatter_record(evidence),
        "composition": [list(row) for row in evidence.composition],
        "provenance": dict(evidence.provenance),
    }
