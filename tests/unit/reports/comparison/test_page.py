"""The HTML page by itself, with stand-in pictures."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest
from scores import case_score

from femseg.comparison.wording import signed
from femseg.metrics.definitions import METRICS
from femseg.reports.comparison.page import PageFigure, comparison_page
from femseg.reports.comparison.table import markdown
from femseg.reports.style import figure, png

FIGURES = [
    PageFigure(title="Chart", caption="A chart.", light=b"light", dark=b"dark", is_image=False),
    PageFigure(title="Slices", caption="Slices.", light=b"slices", dark=b"slices", is_image=True),
]
VOID = {"meta", "br", "img", "source"}


class Reader(HTMLParser):
    """Tags must close in order; collects text, tags and attributes."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def page_of(evidence):
    return comparison_page(evidence, evidence.comparisons(), FIGURES)


@pytest.fixture(scope="module")
def page(evidence_of):
    return page_of(evidence_of()[0])


def test_the_page_is_one_file_that_asks_nothing_of_the_network(page):
    reader = Reader(page)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", page)
    assert not {"script", "link", "iframe", "object", "form"} & set(reader.tags)
    for name, value in reader.attributes:
        assert not name.startswith("on")
        if name in ("src", "srcset", "href"):
            assert value.startswith("data:image/png;base64,")
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in reader.attributes


def test_the_page_is_well_formed(page):
    assert Reader(page).open == []


def test_the_page_gives_the_answer_the_tables_the_definitions_and_the_warning(page):
    text = Reader(page).text
    assert "Too few test cases to tell whether gradient input helps" in text
    assert "On the network grid, as in the paper" in text
    assert "On the CT's own grid" in text
    for metric in METRICS:
        in_tables_too = not metric.name.startswith("surface_dice")  # on voxels of 4 mm one row for both
        assert text.count(metric.heading) >= (3 if in_tables_too else 1)
        assert metric.definition in text
    assert text.count("Surface Dice at 1 and 2 mm") == 2
    assert "plain threshold, 200 HU" in text
    assert "not for clinical use without validation" in text
    assert "by patient" in text
    assert "With so few cases intervals still come out somewhat too narrow." in text
    assert "where there are several trainings, their scatter is counted" in text


@pytest.mark.parametrize("modes", [("raw", "gradient"), ("raw", "gradient", "cascade-raw", "cascade-gradient")])
def test_every_row_is_as_wide_as_its_head_and_holds_its_own_difference(evidence_of, modes):
    evidence = evidence_of(modes)[0]
    tables = [
        [re.findall(r"<t[hd][ >]", row) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)]
        for table in re.findall(r"<table.*?</table>", page_of(evidence), re.DOTALL)
    ]
    assert all(len({len(row) for row in table}) == 1 for table in tables)
    text = Reader(page_of(evidence)).text
    dice = [c for c in evidence.comparisons() if c.metric == "dice"]
    dice.sort(key=lambda c: (evidence.grids.index(c.grid), modes.index(c.candidate)))
    found = re.findall(r"Dice \(DSC\) ↑ [^↑]*?([−+]0\.\d{3}) – ", text)
    assert found == [signed(one.mean_difference, 3) for one in dice]
    assert len(found) == 2 * (len(modes) - 1)


def test_dark_pages_get_the_dark_chart_and_images_stay_the_same(page):
    assert page.count("<source media=") == 1
    assert page.count("<img ") == 2


def test_cases_stand_worst_first(evidence_of):
    evidence, _ = evidence_of(cases=4)
    text = Reader(page_of(evidence)).text
    places = [text.index(case) for case in evidence.cases_worst_first()]
    assert places == sorted(places)


def test_the_provenance_says_who_is_in_each_part_and_how_to_check_it(evidence_of):
    evidence, _ = evidence_of(composition=(("", "training", "test"), ("sex", "5 female", "3 male")))
    provenance = Reader(page_of(evidence)).text.partition("Where this comes from")[2]
    for words in ("training", "5 female", "3 male", "ab12", "femseg lineage reports/comparison.html"):
        assert words in provenance
    assert "| sex | 5 female | 3 male |" in markdown(evidence, evidence.comparisons(), [])


def test_on_a_phone_a_figure_keeps_the_width_at_which_its_type_is_legible(evidence_of):
    evidence, _ = evidence_of()
    chart = dataclasses.replace(FIGURES[0], light=png(figure(8.4, 1.0)))
    page = comparison_page(evidence, evidence.comparisons(), [chart])
    assert re.search(r"max-width: 640px.*figure\.chart img[^}]*width: max\(100%, var\(--drawn\)\)", page, re.DOTALL)
    assert "--drawn: 8.40in" in page


def test_words_from_outside_cannot_become_markup(evidence_of):
    hostile = "<script>alert(1)</script>"
    evidence, _ = evidence_of(cohort=hostile, provenance={hostile: hostile})
    page = page_of(evidence)
    assert hostile not in page
    assert page.count("&lt;script&gt;alert(1)") >= 3


def test_an_empty_prediction_is_shown_as_undefined_and_counted(evidence_of):
    evidence, _ = evidence_of()
    empty = case_score("case00", "native", 0.0, None, reference_volume_ml=30.0, predicted_volume_ml=0.0)
    rows = [row for row in evidence.scores["gradient"] if (row.case_id, row.grid) != ("case00", "native")]
    failed, _ = evidence_of(scores={"raw": evidence.scores["raw"], "gradient": [*rows, empty]})
    text = Reader(page_of(failed)).text
    assert "(1 undefined)" in text
    assert " undefined 0 " in text


def test_a_single_input_is_reported_without_a_comparison(evidence_of):
    assert "One input, nothing to compare it with" in Reader(page_of(evidence_of(("raw",))[0])).text
