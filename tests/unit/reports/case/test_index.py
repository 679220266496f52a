"""The index page: a line for each study, what was refused first, and nothing of it runs."""

from security.html_requests import requests_of

from femseg.errors import Fault
from femseg.reports.case.index import IndexLine, index_page

MARKUP = "x</title><script>document.title='ran'</script>"


def facts(word, reasons=(), caution="", **femora):
    return {
        "verdict": {"word": word, "reasons": list(reasons), "expected_dice": None, "caution": caution},
        "femora": {side: {"volume_ml": ml} for side, ml in femora.items()},
    }


LINES = (
    IndexLine(name="fine", link="fine/page.html", facts=facts("usable", left=410.0, right=402.25), picture=b"webp"),
    IndexLine(name="odd one", link="odd one/page.html", facts=facts("review", ["IF-09 too small"], unknown=40.0)),
    IndexLine(name="chest", link="chest/page.html", facts=facts("reject", ["IF-09 no femur"])),
    IndexLine(name=MARKUP, facts={}, faults=(Fault("IN-14", "b/ct.nii.gz", f"ends early {MARKUP}", "copy it again"),)),
)


def test_each_study_has_its_verdict_volumes_picture_link_or_faults():
    page = index_page(LINES, folder="studies", table="segmentations.csv")
    for words in (
        "4 studies",
        "left femur 410.0 ml, right femur 402.2 ml",
        "femur 40.0 ml",
        "no femur found",
        "IF-09 too small",
        "1 do not use",
        "<b>IN-14</b>",
        "copy it again",
        'src="data:image/webp;base64,',
    ):
        assert words in page, words
    assert requests_of(page) == ["chest/page.html", "odd%20one/page.html", "fine/page.html", "segmentations.csv"]


def test_what_must_be_said_beside_a_verdict_stands_beside_it():
    line = IndexLine(name="fine", facts=facts("usable", caution="learnt from no patient", left=410.0))
    page = index_page([line], folder="studies", table="segmentations.csv")
    assert '>usable</span><span class="caution">learnt from no patient</span>' in page
    assert '>1 usable</span><span class="caution">learnt from no patient</span>' in page


def test_what_needs_a_person_comes_first():
    page = index_page(LINES, folder="studies", table="segmentations.csv")
    places = [page.index(word) for word in ("IN-14", ">chest<", ">odd one<", ">fine<")]
    assert places == sorted(places)


def test_markup_in_names_and_faults_is_words():
    page = index_page(LINES, folder=MARKUP, table="segmentations.csv")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 3
