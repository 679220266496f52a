"""Every figure that the documentation states as measured stands in a JSON of benchmarks/results, to the digits printed.

`stated_figures.py` has for each page the results and the words that they make. These must stand on the page, and what
they do not cover of its measured part may hold no number.
"""

import re

import pytest
from tiny_project import ROOT

from .result_words import result
from .stated_figures import PAGES

NUMBER = re.compile(r"\d[\d.]*")
SCANS = "4.0 1.8 1.8 3 12 6 6 1 3 1.8 300 444 444"  # voxels, how many masks were moved, and the large CT


def plain(text: str) -> str:
    """On one line: words without emphasis, links without their targets, no code and no comments."""
    text = re.sub(r"\]\([^)]*\)|<!--.*?-->|`[^`]*`", "]", text, flags=re.DOTALL)
    return " ".join(text.replace("**", "").split())


def of_results(page: str) -> dict[str, str]:
    """The words that results make, with the result's name; the longest first."""
    made = {plain(words(result(name))): name for name, words in PAGES[page]}
    return dict(sorted(made.items(), key=lambda item: -len(item[0])))


def section(page: str, title: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8").partition(f"\n## {title}")[2].partition("\n## ")[0]


def last_cells_and_prose(page: str) -> str:
    """What a page says outside of its tables, and the last column of these."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    return "\n".join(line.rstrip("| ").rpartition("|")[2] if line.startswith("|") else line for line in lines)


def uncovered(measured: str, page: str) -> list[str]:
    """Numbers of a measured part that no result stands for."""
    text = plain(measured)
    for words in of_results(page):
        text = text.replace(words.strip("| "), " … ")
    return [number.strip(".") for number in NUMBER.findall(text)]


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_states_as_measured_is_in_the_json_to_the_digits_printed(page):
    text = plain((ROOT / page).read_text(encoding="utf-8"))
    missing = [f"{name}.json: {words}" for words, name in of_results(page).items() if words not in text]
    assert missing == [], f"{page} does not say what the results are"


@pytest.mark.parametrize(
    ("page", "title", "of_settings"),
    [
        pytest.param("README.md", "What the demo shows", "36", id="demo"),
        pytest.param("docs/explanation/where-a-mask-lies.md", "What was measured", SCANS, id="moved masks"),
        pytest.param("docs/explanation/bounds.md", "What was measured", "", id="damaged files"),
        pytest.param("docs/explanation/bounds.md", "What is accepted although it changed", "256", id="accepted files"),
    ],
)
def test_a_measured_section_holds_no_number_but_of_results_and_settings(page, title, of_settings):
    assert uncovered(section(page, title), page) == of_settings.split()


def test_no_figure_of_what_was_measured_is_without_a_result():
    page = "docs/explanation/measured.md"
    assert uncovered(last_cells_and_prose(page), page) == ["2"]  # cores
