"""A case's page holds all that there is to say, asks nobody for anything, and runs no script but its two."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from page_case import GRID, case
from security.html_requests import requests_of

from femseg.measurements.definitions import DEFINITIONS
from femseg.reports.case.page import case_page
from femseg.reports.sheet_page import sheet_rows

MARKUP = "x</style></title></script>\"'><script>document.title='ran'</script><img src=x onerror=\"ran()\">"


class Parts(HTMLParser):
    """Elements with their attributes, words outside of scripts and styles, and scripts by their type."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements, self.words, self.scripts, self.images, self.policy = set(), [], [], [], ""
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements |= {(tag, ""), *((tag, name) for name, _ in attrs)}
        self._inside = tag
        named = dict(attrs)
        if tag == "script":
            self.scripts.append([named.get("type", "run"), ""])
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"]
        self.images += [value for value in (named.get("src"), named.get("href")) if value]

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1][1] += data
        elif self._inside != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page():
    return case_page(case())


@pytest.fixture(scope="module")
def parts(page):
    return Parts(page)


def test_the_page_says_what_there_is_to_say(parts):
    for words in (
        "Review before use",
        "IF-09 the mask touches the inferior end of the volume",
        "seen no patient",
        "study7.nii.gz",
        "expected Dice 0.93",
        *(f"{femur.name} {femur.volume_ml:.1f} ml" for femur in case().femora),
        "side told by place",
        "60 × 24 × 40 voxels of 2 × 2 × 3 mm",
        "measured of the left one",
        "mm or more",
        "phantoms alone: no patient",
        "ab" * 32,
        "cd" * 32,
        "No diagnosis, no operation and no implant may rest on it",
        *(definition.title for definition in DEFINITIONS.values()),
        *(definition.words for definition in DEFINITIONS.values()),
    ):
        assert words in parts.text, words


def test_three_planes_of_each_femur_and_the_mesh_are_there_without_a_script(page):
    for plane, times in (("coronal", 2), ("sagittal", 2), ("axial", 6)):
        assert page.count(f'aria-label="{plane} plane"') == times
    assert page.count('class="outline"') == 10
    assert [view for view in ("from the front", "from the back") if f'alt="the mesh {view}"' in page]


def test_a_place_that_the_verdict_names_is_ringed_in_three_planes_and_shown_first_by_the_viewer(page):
    right, left = case(meshes=False).femora
    named = replace(left, look_at_mm_xyz=tuple(GRID.position_mm_xyz((50, 11, 30)).tolist()))
    shown = case_page(case(meshes=False, femora=(right, named)))
    assert (page.count('class="ring"'), shown.count('class="ring"')) == (0, 3)
    assert ("Ringed in blue" in page, "Ringed in blue" in shown) == (False, True)
    assert (shown.count('aria-label="coronal plane"'), shown.count('aria-label="axial plane"')) == (3, 7)  # a row more
    assert f'data-at="{",".join(f"{mm:.1f}" for mm in named.look_at_mm_xyz)}"' in shown


def test_no_part_of_the_page_comes_from_anywhere_else(page, parts):
    assert requests_of(page) == []
    assert parts.images
    assert all(address.startswith("data:") for address in parts.images)
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_policy_lets_the_two_scripts_run_and_nothing_be_fetched(parts):
    run = [body for kind, body in parts.scripts if kind == "run"]
    hashes = ["'sha256-" + base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() + "'" for body in run]
    assert len(run) == 2
    assert parts.policy == (
        f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src {' '.join(hashes)}"
    )


def test_markup_from_outside_stands_there_as_words(parts):
    clean = case()
    femora = tuple(replace(femur, told_by=(MARKUP,)) for femur in clean.femora)
    spoiled = Parts(
        case_page(
            case(
                name=MARKUP,
                reasons=(MARKUP,),
                remarks=(MARKUP,),
                model={MARKUP: MARKUP},
                lineage={MARKUP: MARKUP},
                femora=femora,
            )
        )
    )
    assert spoiled.elements <= parts.elements
    assert len([kind for kind, _ in spoiled.scripts if kind == "run"]) == 2
    assert spoiled.policy == parts.policy
    assert spoiled.text.count(" ".join(MARKUP.split())) >= 8


def test_the_same_case_gives_the_same_bytes(page):
    assert case_page(case()) == page


def test_without_meshes_a_sentence_stands_in_their_place():
    page = case_page(case(meshes=False))
    assert "It needs skimage, which is not installed here." in Parts(page).text
    assert 'id="mesh-screen"' not in page
    assert 'id="data-mesh-0"' not in page
    assert 'id="data-ct"' in page


def test_of_a_mask_that_was_rejected_nothing_is_measured():
    femora = tuple(replace(femur, sheet=None, solid=None) for femur in case(meshes=False).femora)
    page = Parts(case_page(case(verdict="reject", expected_dice=None, femora=femora, no_mesh="none")))
    assert "Do not use" in page.text
    assert "expected Dice" not in page.text
    assert "Measurement sheet" not in page.text


def test_of_a_model_that_learnt_from_no_patient_the_headline_and_every_printed_sheet_say_so():
    page = case_page(case(verdict="usable", reasons=(), caution="learnt from no patient", meshes=False))
    assert "Usable learnt from no patient Nothing odd was noticed" in Parts(page).text
    assert '@bottom-left { content: "Usable (learnt from no patient)"' in page


def test_a_ct_without_a_femur_has_a_page_without_scripts():
    page = Parts(case_page(case(verdict="reject", femora=(), expected_dice=None, reasons=("IF-09 the mask is empty",))))
    assert "none found" in page.text
    assert page.scripts == []
    assert page.policy.endswith("script-src 'none'")


def test_a_value_that_could_not_be_measured_gives_its_reason_and_no_difference():
    sheets = tuple(femur.sheet for femur in case().femora)
    rows = {row.title: row for row in sheet_rows(sheets)}
    refused = rows[DEFINITIONS["mechanical_length"].title]
    assert [missing for _, missing in refused.cells] == [True, True]
    assert [said for said, _ in refused.cells] == [
        value.refused for sheet in sheets for value in sheet.values if value.key == "mechanical_length"
    ]
    assert refused.difference == ""


def test_left_less_right_is_told_where_both_are_known():
    left, right = (femur.sheet for femur in case().femora)
    known = {"head_diameter": (48.0, 50.5), "version": (12.04, 12.0), "condylar_angle": (-3.0, -0.01)}

    def told(sheet, place):
        values = tuple(
            replace(value, value=known[value.key][place], off_by=0.5, refused="") if value.key in known else value
            for value in sheet.values
        )
        return replace(sheet, values=values)

    rows = {row.title: row for row in sheet_rows((told(left, 0), told(right, 1)))}
    assert rows["Head diameter"].difference == "−2.5 mm"
    assert rows["Version"].difference == "+0.0°"
    assert rows["Head diameter"].cells == (("48.0 ± 0.5 mm", False), ("50.5 ± 0.5 mm", False))
    assert rows["Posterior condylar angle"].cells == (("−3.0 ± 0.5°", False), ("0.0 ± 0.5°", False))
