"""Links between pages lead somewhere, and nothing is left to be filled in."""

import re
from pathlib import Path

from documentation import ROOT

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


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
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def test_no_placeholder_is_left(page):
    assert re.findall(r"\{\{(\w+)\}\}", page.read_text(encoding="utf-8")) == []


def test_every_page_of_docs_stands_in_an_index():
    indexed = {
        (index.parent / target).resolve()
        for index in (ROOT / "docs/README.md", ROOT / "docs/decisions/README.md")
        for target in LINK.findall(index.read_text(encoding="utf-8"))
    }
    pages = set((ROOT / "docs").rglob("*.md")) - {ROOT / "docs/README.md"}
    assert pages - indexed == set()


def test_the_documentation_stays_short_enough_to_be_read():
    made = ("reference/exit-codes-and-faults.md", "explanation/intake-against-peers.md")  # by programs
    pages = set((ROOT / "docs").rglob("*.md")) - {ROOT / "docs" / page for page in made}
    assert sum(len(page.read_text(encoding="utf-8").split()) for page in pages) <= 36_000
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
