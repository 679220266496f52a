"""`femseg segment … --page --sheet`: one page that opens without a network, and what was measured, of one CT."""

import csv
import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from page_case import case
from security.html_requests import requests_of
from study_maker import ct_hu, write_nifti
from tiny_model import JUDGED, write_tiny_package
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.faults import ExitCode
from femseg.measurements.definitions import DEFINITIONS
from femseg.reports.case.index import IndexLine, index_page
from femseg.reports.case.page import case_page

CAUTION = "learnt from no patient: look before use"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A CT with markup for a name, and a model."""
    folder = tmp_path_factory.mktemp("page")
    write_nifti(folder / "<script>document.title='ran'.nii.gz", ct_hu())
    write_tiny_package(folder / "package")
    return folder


def ct_in(place: Path) -> Path:
    return next(place.glob("*.nii.gz"))


def segment(place: Path, *words, written=("--write-rejected",)):
    words = ("segment", ct_in(place), "--model", place / "package", *written, *words)
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture(scope="module")
def done(place, tmp_path_factory):
    out = tmp_path_factory.mktemp("done")
    words = ("--page", out / "femur.html", "--sheet", out / "sheet.csv")
    return out, segment(place, "-o", out / "mask.nii.gz", *words, "--json")


def test_the_page_is_of_the_mask_beside_it_and_of_this_model(done, place):
    out, command = done
    assert command.exit_code in JUDGED, command.output
    told = json.loads(command.stdout)
    page = (out / "femur.html").read_text()
    assert told["page"] == str(out / "femur.html")
    assert hashlib.sha256((out / "mask.nii.gz").read_bytes()).hexdigest() in page
    assert told["model_sha256"] in page
    assert {"usable": "Usable", "review": "Review before use", "reject": "Do not use"}[
        told["verdict"]["word"]
    ] in re.search(r"<h1>(.*)</h1>", page)[1]
    assert str(place) not in page
    assert requests_of(page) == []
    assert len(page) < 8e6


def test_the_sheet_has_each_value_of_each_femur_as_on_the_page(done):
    out, command = done
    told = json.loads(command.stdout)
    assert told["sheet"] == str(out / "sheet.csv")
    rows = list(csv.DictReader((out / "sheet.csv").read_text().splitlines()))
    assert [row["key"] for row in rows] == len(told["femora"]) * list(DEFINITIONS)
    page = html.unescape((out / "femur.html").read_text())
    assert all(row["refused"] in page if row["refused"] else f"{float(row['value']):z.1f}" in page for row in rows)


def test_the_cts_name_is_words(done):
    page = (done[0] / "femur.html").read_text()
    assert "<script>document.title" not in page
    assert "&lt;script&gt;document.title=&#39;ran&#39;.nii.gz" in page


def test_another_run_gives_the_same_bytes_and_replaces_a_page_only_when_asked_IF_08(done, place, tmp_path):
    out, _ = done
    shutil.copy(out / "femur.html", tmp_path / "femur.html")
    refused = segment(place, "-o", tmp_path / "mask.nii.gz", "--page", tmp_path / "femur.html")
    assert refused.exit_code == ExitCode.USAGE
    assert "IF-08" in refused.stderr
    assert not (tmp_path / "mask.nii.gz").exists()
    (tmp_path / "femur.html").write_text("mine")
    again = segment(place, "-o", tmp_path / "mask.nii.gz", "--page", tmp_path / "femur.html", "--overwrite")
    assert again.exit_code in JUDGED
    assert (tmp_path / "femur.html").read_bytes() == (out / "femur.html").read_bytes()


@pytest.mark.parametrize(("option", "suffix"), [("--page", ".html"), ("--sheet", ".csv")])
def test_another_suffix_is_refused_before_the_work(place, tmp_path, option, suffix):
    refused = segment(place, "-o", tmp_path / "mask.nii.gz", option, tmp_path / "femur.pdf")
    assert refused.exit_code == ExitCode.USAGE
    assert f"is written as {suffix}" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_of_a_mask_that_is_not_written_the_page_shows_why(place, tmp_path):
    found = segment(place, "-o", tmp_path / "mask.nii.gz", "--page", tmp_path / "femur.html", written=())
    assert found.exit_code == ExitCode.REJECT
    assert [path.name for path in tmp_path.iterdir()] == ["femur.html"]
    page = (tmp_path / "femur.html").read_text()
    assert "None is made of a mask that is not written." in page
    assert "Measurement sheet" not in page


def test_without_the_extra_the_page_says_so_and_has_all_the_rest(place, tmp_path):
    """In a process of its own, where the import fails as it does without the package."""
    code = "import sys; sys.modules['skimage'] = None; from femseg.cli.main import main; main()"
    words = ["segment", ct_in(place), "--model", place / "package", "--write-rejected", "-o", tmp_path / "mask.nii.gz"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--page", tmp_path / "femur.html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in JUDGED, done.stderr
    page = (tmp_path / "femur.html").read_text()
    assert "which is not installed here: pip install &#39;femseg[mesh]&#39;." in page
    assert "Measurement sheet" in page


CHROMIUM = (
    *("chromium", "--headless", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"),
    *("--enable-unsafe-swiftshader", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000"),
)


def opened(page: Path, folder: Path) -> tuple[str, list[str]]:
    """The page's elements once its scripts have run, and what it asked the network for."""
    words = (f"--user-data-dir={folder / 'profile'}", f"--log-net-log={folder / 'net.json'}", "--dump-dom")
    done = subprocess.run([*CHROMIUM, *words, page.as_uri()], capture_output=True, text=True, timeout=400, check=True)
    log = (folder / "net.json").read_text()  # also of the browser's own errands, which are of no file
    asked = re.findall(r'\{site=file://[^}]*\}","url":"(https?:[^"]*)"', log)
    return done.stdout, asked


@pytest.mark.slow
def test_a_browser_without_a_network_shows_the_viewer_and_asks_for_nothing(done, tmp_path):
    (tmp_path / "live.html").write_text('<title>live</title><img src="http://pictures.invalid/a.png">')
    assert opened(tmp_path / "live.html", tmp_path)[1] == ["http://pictures.invalid/a.png"]
    shown, asked = opened(done[0] / "femur.html", tmp_path)
    assert 'data-viewer="shown"' in shown[:500]
    assert asked == []
    assert "<title>ran" not in shown


def of_two_measured_femora() -> str:
    """A page whose sheet has the longest values that a femur gives."""

    def wide(sheet):
        return replace(sheet, values=tuple(replace(v, value=-1190.8, off_by=900.0, refused="") for v in sheet.values))

    made = case(verdict="usable", reasons=(), caution=CAUTION, meshes=False)
    return case_page(replace(made, femora=tuple(replace(femur, sheet=wide(femur.sheet)) for femur in made.femora)))


def of_a_folder() -> str:
    verdict = {"word": "usable", "reasons": [], "expected_dice": 0.9, "caution": CAUTION}
    facts = {"verdict": verdict, "femora": {"left": {"volume_ml": 410.0}, "right": {"volume_ml": 402.2}}}
    name = "patient_0004_both_legs_venous_phase_reconstruction_B70s_2024-11-03"
    return index_page([IndexLine(name=name, link="page.html", facts=facts)], folder=name, table="segmentations.csv")


MEASURE = """
<body><iframe style="border: 0; width: 390px; height: 9000px" srcdoc="PAGE"></iframe><script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument;
  const beyond = [...page.querySelectorAll("h1, h2, p, li, span, td, th, a, img:not(.taken img)")]
    .filter((part) => part.getBoundingClientRect().right > 390).map((part) => part.outerHTML.slice(0, 60));
  document.title = JSON.stringify([page.body.scrollWidth, beyond]);
};
</script>"""


@pytest.mark.slow
@pytest.mark.parametrize("page", [of_two_measured_femora, of_a_folder])
def test_nothing_is_cut_off_on_a_telephone(page, tmp_path):
    """Words are seen without scrolling sideways; the policy goes from this copy, so that it can be measured."""
    seen = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>|<script.*?</script>', "", page(), flags=re.DOTALL)
    (tmp_path / "telephone.html").write_text(MEASURE.replace("PAGE", html.escape(seen)))
    shown, _ = opened(tmp_path / "telephone.html", tmp_path)
    assert json.loads(html.unescape(re.search(r"<title>(.*?)</title>", shown)[1])) == [390, []]
