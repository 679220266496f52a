"""A model's card as files: Markdown for the registry and pull requests, one self-contained HTML page for people."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from femseg.comparison.wording import input_name
from femseg.files.durable import write_bytes_durably
from femseg.reports.card.card import card_sections
from femseg.reports.card.facts import SCORES_FIGURE, WORST_FIGURE, CardFacts, Section, Table
from femseg.reports.comparison.evidence import CasePicture
from femseg.reports.comparison.overlays import overlays
from femseg.reports.comparison.page import PageFigure, width_in
from femseg.reports.comparison.score_strips import score_strips
from femseg.reports.pages import data_uri, templates
from femseg.reports.style import DARK, LIGHT, Theme

CARD_HTML, CARD_MARKDOWN = "model_card.html", "model_card.md"
_CLAUSE = "Research software: not for clinical use without validation."


def write_card(facts: CardFacts, folder: Path, pictures: Sequence[CasePicture]) -> list[str]:
    """Write the card and its figures; the same facts give the same bytes.

    Args:
        pictures: arrays of the worst cases, worst first; may be empty, the card then has no picture of them.
    Returns: the names of the files in `folder`.
    """
    figures = _figures(facts, pictures)
    sections = card_sections(facts)
    files = {f"figures/{name}": figure.light for name, figure in figures.items()}
    files[CARD_MARKDOWN] = card_markdown(facts, sections, figures).encode()
    files[CARD_HTML] = card_html(facts, sections, figures).encode()
    for name, content in files.items():
        write_bytes_durably(folder / name, content)
    return list(files)


def card_summary(facts: CardFacts) -> str:
    """The card in two sentences, for the registry's list of versions."""
    dice = [row.dice for row in facts.on_grid("native")]
    return (
        f"{_what(facts)}. Dice {sum(dice) / len(dice):.3f} on {len(dice)} test cases on the CT's own "
        f"grid, lowest {min(dice):.3f}. The model card is among the run's artefacts, and `femseg card {facts.version}` "
        f"writes it. {_CLAUSE}"
    )


def card_title(facts: CardFacts) -> str:
    """The card's heading."""
    return f"femseg, version {facts.version}: f{_what(facts)[1:]}"


def _what(facts: CardFacts) -> str:
    return f"Femur in {'phantom CTs' if facts.model.of_phantoms else 'CT'}, {input_name(facts.mode)}"


def card_markdown(facts: CardFacts, sections: Sequence[Section], figures: Mapping[str, PageFigure]) -> str:
    """The card as Markdown."""
    lines = [f"# {card_title(facts)}", "", f"Model card of package {facts.package_sha256}.", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for sentence in section.sentences:
            lines += [sentence, ""]
        for title, table in section.tables.items():
            lines += [*([f"### {title}", ""] if title else []), *_markdown_table(table), ""]
        lines += [f"- **{what}**: {value}" for what, value in section.pairs.items()]
        lines += [""] if section.pairs else []
        for name in section.figures:
            lines += [f"![{figures[name].title}](figures/{name})", ""] if name in figures else []
        lines += [section.note, ""] if section.note else []
    return "\n".join([*lines, _CLAUSE, ""])


def _markdown_table(table: Table) -> list[str]:
    rows = [table.head, tuple("---" if place == 0 else "---:" for place in range(len(table.head))), *table.rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def card_html(facts: CardFacts, sections: Sequence[Section], figures: Mapping[str, PageFigure]) -> str:
    """The card as one page without script or request. Text from outside is escaped; pictures are inlined."""
    environment = templates()
    environment.filters["data_uri"] = partial(data_uri, kind="png")
    environment.filters["width_in"] = width_in
    dice = [row.dice for row in facts.on_grid("native")]
    return environment.get_template("card.html.j2").render(
        title=card_title(facts),
        package=facts.package_sha256,
        sections=sections,
        figures=figures,
        tiles=(
            ("mean Dice, CT's own grid", f"{sum(dice) / len(dice):.3f}"),
            ("lowest Dice", f"{min(dice):.3f}"),
            ("test cases", str(len(dice))),
            ("training phantoms" if facts.model.of_phantoms else "training cases", str(len(facts.split.train))),
        ),
        clause=_CLAUSE,
    )


def _figures(facts: CardFacts, pictures: Sequence[CasePicture]) -> dict[str, PageFigure]:
    rows = {facts.mode: facts.on_grid("native")}

    def strips(theme: Theme) -> bytes:
        return score_strips(rows, threshold_dice=None, threshold_hu=facts.statistics.threshold_hu, theme=theme)

    figures = {
        SCORES_FIGURE: PageFigure(
            title="Every test case",
            caption=f"Scores of n = {len(rows[facts.mode])} test cases on the CT's own grid: each dot is a case; "
            "beside the dots mean ± standard deviation.",
            light=strips(LIGHT),
            dark=strips(DARK),
            is_image=False,
        )
    }
    if pictures:
        dice = {row.case_id: {facts.mode: row.dice} for row in facts.on_grid("network")}
        names = ("worst", "second worst", "third worst")
        drawn = overlays(dict(zip(names, pictures, strict=False)), modes=[facts.mode], dice=dice)
        figures[WORST_FIGURE] = PageFigure(
            title="The worst test cases",
            caption="From left to right, lowest Dice on the CT's own grid first: annotation in yellow, the prediction "
            "in colour over it, and its Dice, on the network grid; the slices with most annotated femur.",
            light=drawn,
            dark=drawn,
            is_image=True,
        )
    return figures
