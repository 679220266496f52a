"""The comparison report as files: Markdown, HTML, JSON and the paper's figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from femseg.comparison.disagreement import Disagreement, disagreement, ranked
from femseg.comparison.family import is_primary
from femseg.comparison.paired import PairedComparison
from femseg.files.durable import write_bytes_durably, write_json_durably
from femseg.metrics.overlap import dice_coefficient
from femseg.metrics.scorecard import summary
from femseg.reports.comparison.evidence import ComparisonEvidence, LoadPicture
from femseg.reports.comparison.figures import comparison_figures, page_place, worst_case_figures
from femseg.reports.comparison.page import PageSection, comparison_page
from femseg.reports.comparison.scatter import scatter_markdown, scatter_record, scatter_section, trainings_said
from femseg.reports.comparison.search_account import search_figures, search_markdown, search_record, search_section
from femseg.reports.comparison.search_evidence import SearchEvidence
from femseg.reports.comparison.table import dependence_said, grid_lines, headline, headline_comparisons, markdown


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
    labels = labels_to_look_at(evidence, load_picture)
    told = [*labels_markdown(labels), *scatter_markdown(evidence), *told]
    files["comparison.md"] = markdown(evidence, comparisons, (*worst, *figures), told, trained=trained).encode()
    # On the page the answer's own figures come first, then how it came about.
    shown = [figures[name] for name in sorted(figures, key=page_place)]
    scatter = scatter_section(evidence)
    sections = [
        *([labels_section(labels)] if labels else []),
        *([scatter] if scatter else []),
        *([search_section(search, searched)] if search else []),
    ]
    page = comparison_page(evidence, comparisons, shown, sections, worst=tuple(worst.values()), trained=trained)
    files["comparison.html"] = page.encode()
    for name, content in files.items():
        write_bytes_durably(folder / name, content)
    record = comparison_record(evidence, comparisons) | {
        "labels_to_look_at": [one.as_plain() for one in labels],
        "search": search_record(search) if search else None,
    }
    write_json_durably(folder / "comparison.json", record)
    return {name: folder / name for name in (*files, "comparison.json")}


_LABELS_TITLE = "Look at these labels first"
_LABELS_HEAD = ("case", "Dice", "input", "kind", "what is seen")
_LABELS_NOTE = (
    "Test cases in which annotation and prediction disagree most, by the input that agrees best with the annotation. "
    "Those that an error of the annotation would explain come first: mirrored, shifted, empty. Of a piece that one of "
    "the two lacks, the masks do not tell who is right. `femseg correct` brings a mended annotation into the cohort."
)
_LABELS_LOOKED_AT, _LABELS_SHOWN = 30, 10


def labels_to_look_at(evidence: ComparisonEvidence, load_picture: LoadPicture) -> tuple[Disagreement, ...]:
    """The cases whose annotation is most worth a look; none of them agrees in every voxel."""
    found = []
    for case_id in evidence.cases_worst_first()[:_LABELS_LOOKED_AT]:
        picture = load_picture(case_id)
        pairs = {mode: dice_coefficient(picture.reference_zyx, mask) for mode, mask in picture.predicted_zyx.items()}
        model = max(pairs, key=lambda mode: pairs[mode])
        masks = picture.reference_zyx, picture.predicted_zyx[model]
        found.append(disagreement(*masks, picture.spacing_mm_zyx, case_id=case_id, model=model))
    return ranked(one for one in found if one.dice < 1.0)[:_LABELS_SHOWN]


def labels_section(labels: Sequence[Disagreement]) -> PageSection:
    """The same for the page."""
    rows = [(one.case_id, f"{one.dice:.3f}", one.model, one.kind, one.words) for one in labels]
    return PageSection(title=_LABELS_TITLE, sentences=[_LABELS_NOTE], head=_LABELS_HEAD, rows=rows, figures=[])


def labels_markdown(labels: Sequence[Disagreement]) -> list[str]:
    """The same as lines of Markdown; none where every case agrees."""
    if not labels:
        return []
    section = labels_section(labels)
    return [f"## {section.title}", "", *section.sentences, "", *grid_lines(section.head, section.rows), ""]


def comparison_record(evidence: ComparisonEvidence, comparisons: Sequence[PairedComparison]) -> dict[str, Any]:
    """The report's numbers as JSON values, for programs."""
    return {
        "cohort": evidence.cohort,
        "split_sizes": dict(evidence.split_sizes),
        "models": {mode: summary(evidence.scores[mode]) for mode in evidence.modes},
        "threshold": {"threshold_hu": evidence.threshold_hu, **summary(evidence.threshold)},
        "comparisons": [{**comparison.as_plain(), "decides": is_primary(comparison)} for comparison in comparisons],
        "subgroups": {mode: [row.as_plain() for row in rows] for mode, rows in evidence.subgroups().items()},
        "headlines": [headline(comparison) for comparison in headline_comparisons(comparisons)],
        "trainings": scatter_record(evidence),
        "composition": [list(row) for row in evidence.composition],
        "provenance": dict(evidence.provenance),
    }
