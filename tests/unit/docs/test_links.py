"""Links between pages lead somewhere, and nothing is left to be filled in."""

import re
from pathlib import Path

from documentation import ROOT

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")

# Filled from the run that the release is made with; then both sets are to be emptied.
PICTURES_TO_COME = {
    f"docs/images/{name}.png" for name in ("figure_3_learning_curves", "figure_4_scores", "figure_5_overlays", "report")
}
NUMBERS_TO_COME = {
    "REPRO_MINUTES",
    "REPRO_MEMORY_GIB",
    "REPRO_DISK_GB",
    "TEST_MINUTES",
    "DSC_RAW",
    "DSC_GRADIENT",
    "DSC_THRESHOLD",
    "DSC_DIFF",
}


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_between_files_resolves(page):
    broken = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        there = path.exists() or path.relative_to(ROOT).as_posix() in PICTURES_TO_COME
        if not there or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def test_no_placeholder_is_left_but_those_of_the_coming_run(page):
    found = set(re.findall(r"\{\{(\w+)\}\}", page.read_text(encoding="utf-8")))
    assert found - NUMBERS_TO_COME == set()


def test_every_page_of_docs_stands_in_an_index():
    indexed = {
        (index.parent / target).resolve()
        for index in (ROOT / "docs/README.md", ROOT / "docs/decisions/README.md")
        for target in LINK.findall(index.read_text(encoding="utf-8"))
    }
    pages = set((ROOT / "docs").rglob("*.md")) - {ROOT / "docs/README.md"}
    assert pages - indexed == set()
