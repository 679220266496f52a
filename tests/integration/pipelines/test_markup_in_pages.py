"""Markup in settings, packages, tables and tags: on the report's and the card's page it is words (G11)."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from security.html_requests import requests_of
from security.payloads import signed_anew
from tiny_project import changed, environment

from femseg.services.registry.model_name import MODEL_NAME

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself
PAGES = ("report", "card")
TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)


def markup(place: str) -> str:
    """Ends whatever it stands in, and would change the page's title in a browser that runs it."""
    run = f"document.title='ran in {place}'"
    return f"""{place}</style></title>"'><script>{run}</script><img src=x onerror="{run}"><a href="javascript:{run}">"""


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {(tag, ""), *((tag, name) for name, _ in attrs)}
        self.found |= {(tag, "javascript:") for _, value in attrs if "javascript:" in (value or "")}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def elements(page: str) -> _Elements:
    parser = _Elements()
    parser.feed(page)
    parser.close()
    return parser


def title_in_chromium(page: Path, profile: Path) -> str:
    """What a browser calls the page once its scripts have run."""
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run(
        [*words, f"--user-data-dir={profile}", page.as_uri()], capture_output=True, text=True, timeout=240, check=True
    )
    return TITLE.search(done.stdout)[1]


def stage(project: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, *words], cwd=project, env=environment(project), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def put_in(project: Path) -> None:
    """Markup wherever free text reaches a page."""
    changed(project / "params.yaml", {"compare": {"cohort_name": markup("cohort")}})
    trials = project / "results/search/trials.csv"
    rows = list(csv.DictReader(io.StringIO(trials.read_text())))
    rows[0]["failure"] = markup("failure")
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _write(trials, out.getvalue())
    for mode in ("raw", "gradient"):
        package = project / "models" / mode
        model, lineage = (json.loads((package / name).read_text()) for name in ("model.json", "lineage.json"))
        model["versions"]["torch"] = markup("software")
        lineage["git"]["commit"] = markup("commit")
        lineage["dvc_md5"]["data/cohort"] = markup("dvc")
        _write(package / "model.json", json.dumps(model))
        _write(package / "lineage.json", json.dumps(lineage))
        (package / "MANIFEST.json").unlink()
        signed_anew(package)


def _write(file: Path, text: str) -> None:
    file.unlink()  # DVC leaves links that are read-only
    file.write_text(text)


@pytest.fixture(scope="module")
def pages(project, tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """The report and the card of the tiny project as they were, and those of its copy with markup everywhere."""
    folder = tmp_path_factory.mktemp("markup")
    copy = folder / "project"
    shutil.copytree(project, copy, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    before = json.loads((copy / "results/registration.json").read_text())
    put_in(copy)
    stage(copy, "-m", "pipelines.compare")
    stage(copy, "-c", "from femseg.cli.main import main; main()", "card", "challenger", "-o", str(folder / "clean"))
    for mode in ("raw", "gradient"):  # the evaluations of the packages as they are now
        stage(copy, "-m", "pipelines.evaluate", "--input-mode", mode)
    stage(copy, "-m", "pipelines.register")
    client = MlflowClient(f"sqlite:///{copy / 'mlruns/mlflow.db'}")
    newest = max(client.search_model_versions(f"name='{MODEL_NAME}'"), key=lambda version: int(version.version))
    assert newest.tags["package_sha256"] != before["package_sha256"]
    command = ["-c", "from femseg.cli.main import main; main()", "card", str(newest.version)]
    stage(copy, *command, "-o", str(folder / "spoiled"))
    return {
        "report": (project / "reports/comparison.html", copy / "reports/comparison.html"),
        "card": (folder / "clean/model_card.html", folder / "spoiled/model_card.html"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_markup_adds_no_element_and_no_attribute_to_a_page_and_stands_there_as_words_SC_08(pages, name):
    clean, spoiled = (elements(path.read_text()) for path in pages[name])
    assert spoiled.found <= clean.found
    assert not {tag for tag, _ in spoiled.found} & {"script", "iframe", "object", "embed", "form"}
    words = " ".join("".join(spoiled.words).split())
    places = {"report": ("cohort", "software"), "card": ("cohort", "commit", "dvc")}[name]
    assert all(" ".join(markup(place).split()) in words for place in places), places
    assert requests_of(pages[name][1].read_text()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_browser_runs_nothing_of_the_markup_SC_08(pages, name, tmp_path):
    (tmp_path / "live.html").write_text(f"<title>live</title><p>{markup('here')}</p>")
    assert title_in_chromium(tmp_path / "live.html", tmp_path / "profile") == "ran in here"
    for page in pages[name]:
        written = TITLE.search(page.read_text())[1]
        assert unescape(title_in_chromium(page, tmp_path / "profile")) == unescape(written)
