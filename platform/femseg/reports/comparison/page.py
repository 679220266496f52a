"""One self-contained HTML page: no script, no request, readable on a phone, printable, light and dark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from femseg.comparison.paired import PairedComparison
from femseg.comparison.wording import column_name, input_name
from femseg.metrics.definitions import METRICS, metric_named
from femseg.metrics.scorecard import Grid, summary
from femseg.reports.comparison.evidence import HEADLINE_GRID, HEADLINE_METRIC, ComparisonEvidence
from femseg.reports.comparison.table import (
    GRID_TITLES,
    GRID_WORDS,
    HOW_TO_CHECK,
    SUBGROUP_HEAD,
    headline,
    headline_comparisons,
    in_full,
    mean_and_spread,
    reading_note,
    subgroup_lines,
    subgroup_note,
    table_rows,
)
from femseg.reports.pages import data_uri, templates
from femseg.reports.style import DARK, LIGHT, PIXELS_PER_INCH


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFigure:
    """A figure of the page.

    Attributes:
        title, caption: what stands above and below it.
        light: PNG for light pages and print; dark: for dark pages, the same for images on black.
        is_image: slices on black, shown without the page's paper behind them.
    """

    title: str
    caption: str
    light: bytes
    dark: bytes
    is_image: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSection:
    """A part of the page in words: sentences, a table of cells below its head, and figures."""

    title: str
    sentences: Sequence[str]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: Sequence[PageFigure]


def comparison_page(
    evidence: ComparisonEvidence,
    comparisons: Sequence[PairedComparison],
    figures: Sequence[PageFigure],
    sections: Sequence[PageSection] = (),
    *,
    worst: Sequence[PageFigure] = (),
    trained: Mapping[str, str] | None = None,
) -> str:
    """The report as HTML. Text from outside is escaped; pictures are inlined.

    Args:
        worst: the worst cases; come first.
        sections: come before the provenance.
        trained: by candidate, how many trainings the answer rests on.
    """
    environment = templates()
    environment.filters["data_uri"] = partial(data_uri, kind="png")
    environment.filters["width_in"] = width_in
    # no line of a heading starts with a unit: "95 %", "(mm)"
    environment.filters["unbroken"] = lambda heading: heading.replace(" %", "\u00a0%").replace(" (", "\u00a0(")
    deciding = headline_comparisons(comparisons)
    return environment.get_template("comparison.html.j2").render(
        evidence=evidence,
        column_name=column_name,
        answers=[(headline(c), in_full(c, trained), c.verdict) for c in deciding],
        tiles=_tiles(evidence),
        tables=[(GRID_TITLES[grid], table_rows(evidence, comparisons, grid)) for grid in evidence.grids],
        reading_note=reading_note(evidence, comparisons),
        subgroups=subgroup_lines(evidence),
        subgroup_head=SUBGROUP_HEAD,
        subgroup_note=subgroup_note(evidence),
        figures=figures,
        worst=worst,
        sections=sections,
        cases=_cases(evidence),
        cases_grid=_cases_grid(evidence),
        composition=evidence.composition,
        how_to_check=HOW_TO_CHECK,
        metrics=METRICS,
        light_modes=LIGHT.mode_colours(evidence.modes),
        dark_modes=DARK.mode_colours(evidence.modes),
    )


def width_in(png: bytes) -> str:
    """Width at which a figure was drawn, in inches: at this width its type has the size that it was given."""
    return f"{int.from_bytes(png[16:20], 'big') / PIXELS_PER_INCH:.2f}"  # PNG: the header's width, big-endian


def _tiles(evidence: ComparisonEvidence) -> list[dict[str, str]]:
    """The few numbers that stand at the top: mean Dice of each model and of the threshold, on the network grid."""
    dice = metric_named(HEADLINE_METRIC)
    tiles = []
    for mode in evidence.modes:
        values = _dice_of(evidence, mode, HEADLINE_GRID)
        mean, _, spread = mean_and_spread(values, dice).partition(" ")
        note = "" if mode == evidence.modes[0] else _gain(evidence, mode)
        tiles.append({"mode": mode, "label": input_name(mode), "mean": mean, "spread": spread, "note": note})
    threshold = summary(evidence.threshold).get(HEADLINE_GRID)
    if threshold:
        mean, _, spread = mean_and_spread(threshold["dice"], dice).partition(" ")
        label = f"plain threshold, {evidence.threshold_hu:g} HU"
        note = "largest connected component, no learning"
        tiles.append({"mode": "threshold", "label": label, "mean": mean, "spread": spread, "note": note})
    return tiles


def _dice_of(evidence: ComparisonEvidence, mode: str, grid: Grid) -> dict[str, Any]:
    return dict(summary(evidence.on_grid(mode, grid))[grid]["dice"])


def _gain(evidence: ComparisonEvidence, mode: str) -> str:
    """How much more a mode has than what it is compared with, where Dice decides."""
    grid, compared_with = evidence.grid_of(mode), evidence.baseline_of(mode)
    mean, baseline = (_dice_of(evidence, one, grid)["mean"] for one in (mode, compared_with))
    gain = f"{(mean - baseline) / baseline * 100 if baseline else 0.0:+.1f}".replace("-", "−")
    where = "" if grid == HEADLINE_GRID else f" on {GRID_WORDS[grid]}"
    return f"{gain} % relative to {column_name(compared_with)}{where}"


def _cases_grid(evidence: ComparisonEvidence) -> Grid:
    """The grid of the case table: the CT's own, where a mask is used, if it was measured there."""
    return "native" if "native" in evidence.grids else HEADLINE_GRID


def _cases(evidence: ComparisonEvidence) -> list[dict[str, Any]]:
    """One row per test case, worst first."""
    grid = _cases_grid(evidence)
    by_mode: Mapping[str, Any] = {m: {r.case_id: r for r in evidence.on_grid(m, grid)} for m in evidence.modes}
    threshold = {row.case_id: row for row in evidence.threshold if row.grid == grid}
    return [
        {
            "case_id": case,
            "scores": [(mode, by_mode[mode][case]) for mode in evidence.modes],
            "threshold": threshold.get(case),
        }
        for case in evidence.cases_worst_first()
        if all(case in rows for rows in by_mode.values())
    ]
