"""The comparison report as files: Markdown, HTML, JSON and the paper's figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from femseg.comparison.paired import PairedComparison
from femseg.durable import write_bytes_durably, write_json_durably
from femseg.metrics.scorecard import summary
from femseg.reports.evidence import HEADLINE_GRID, ComparisonEvidence, LoadPicture
from femseg.reports.input_slices import input_slices
from femseg.reports.learning_curves import learning_curves
from femseg.reports.overlays import overlays
from femseg.reports.page import PageFigure, comparison_page
from femseg.reports.scatter import scatter_markdown, scatter_record, scatter_section, trainings_said
from femseg.reports.score_strips import score_strips
from femseg.reports.search_account import search_figures, search_markdown, search_record, search_section
from femseg.reports.search_evidence import SearchEvidence
from femseg.reports.style import DARK, LIGHT, Theme
from femseg.reports.table import headline, headline_comparisons, markdown


def write_comparison_report(
    evidence: ComparisonEvidence, folder: Path, *, load_picture: LoadPicture, search: SearchEvidence | None = None
) -> dict[str, Path]:
    """Write comparison.md, comparison.html, comparison.json and figures/*.png; the same evidence gives the same bytes.

    Args:
        evidence: what the stages measured.
        folder: where to write; files of these names are replaced, others stay.
        load_picture: gives the arrays of a case; called for the three cases that are shown, one at a time.
        search: how the learning rates were found; None if they were given.
    Returns: file name (relative to `folder`) → path.
    """
    comparisons = evidence.comparisons()
    figures = _figures(evidence, load_picture)
    searched = search_figures(search) if search else {}
    files: dict[str, bytes] = {f"figures/{name}": figure.light for name, figure in {**figures, **searched}.items()}
    told = search_markdown(search, {f.title: f"figures/{name}" for name, f in searched.items()}) if search else []
    trained = {c.candidate: trainings_said(evidence, c) for c in headline_comparisons(comparisons)}
    told = [*scatter_markdown(evidence), *told]
    files["comparison.md"] = markdown(evidence, comparisons, tuple(figures), told, trained=trained).encode()
    # On the page the answer's own figures come first, then how it came about.
    shown = [figures[name] for name in sorted(figures, key=_PAGE_ORDER.index)]
    scatter = scatter_section(evidence)
    sections = [*([scatter] if scatter else []), *([search_section(search, searched)] if search else [])]
    files["comparison.html"] = comparison_page(evidence, comparisons, shown, sections, trained=trained).encode()
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
        "provenance": dict(evidence.provenance),
    }


_INPUTS, _CURVES, _SCORES, _OVERLAYS = (
    "figure_2_inputs.png",
    "figure_3_learning_curves.png",
    "figure_4_scores.png",
    "figure_5_overlays.png",
)
_PAGE_ORDER = (_SCORES, _OVERLAYS, _CURVES, _INPUTS)


def _figures(evidence: ComparisonEvidence, load_picture: LoadPicture) -> Mapping[str, PageFigure]:
    cases = {label: load_picture(case) for label, case in evidence.pictured_cases().items()}
    shown = cases.get("median") or next(iter(cases.values()))
    scores = {mode: evidence.on_grid(mode, HEADLINE_GRID) for mode in evidence.modes}
    dice = {
        case.case_id: {mode: next(r.dice for r in scores[mode] if r.case_id == case.case_id) for mode in evidence.modes}
        for case in cases.values()
    }
    threshold = summary(evidence.threshold).get(HEADLINE_GRID)

    def strips(theme: Theme) -> bytes:
        mean_dice = threshold["dice"]["mean"] if threshold else None
        return score_strips(scores, threshold_dice=mean_dice, threshold_hu=evidence.threshold_hu, theme=theme)

    inputs, outlined = input_slices(shown), overlays(cases, modes=evidence.modes, dice=dice)
    return {
        _INPUTS: PageFigure(
            title="What the networks see",
            caption=f"Case {shown.case_id} on the network grid, true to scale: coronal above, axial below; the slices "
            "with most annotated femur. Figure 2 of the paper.",
            light=inputs,
            dark=inputs,
            is_image=True,
        ),
        _CURVES: PageFigure(
            title="How they learned",
            caption="Above: Dice loss of each training iteration, faint, and its running mean over a fortieth of the "
            "training; logarithmic scale. Below: Dice on the validation cases; a ring marks the best. "
            "Figure 3 of the paper.",
            light=learning_curves(evidence.curves, theme=LIGHT),
            dark=learning_curves(evidence.curves, theme=DARK),
            is_image=False,
        ),
        _SCORES: PageFigure(
            title="Every test case",
            caption="Each dot is a test case on the network grid, a line joins the same case; beside the dots mean ± "
            "standard deviation. Figure 4 of the paper.",
            light=strips(LIGHT),
            dark=strips(DARK),
            is_image=False,
        ),
        _OVERLAYS: PageFigure(
            title="Where they are right and wrong",
            caption=f"{', '.join(cases).capitalize()} by Dice averaged over the inputs: annotation in yellow, the "
            "prediction in colour over it, so yellow shows where they part. One scale for all; the slices with most "
            "annotated femur. Figure 5 of the paper.",
            light=outlined,
            dark=outlined,
            is_image=True,
        ),
    }
