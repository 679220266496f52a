"""The viewer in the package is the file that was published, with the licences of all that is in it."""

import hashlib
import re
from pathlib import Path

from femseg.reports.case.page import viewer

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "platform/femseg/reports/niivue"


def test_its_hash_and_version_are_those_that_are_stated():
    bundled = (FOLDER / "BUNDLED.txt").read_text()
    assert hashlib.sha256((FOLDER / "niivue.umd.js").read_bytes()).hexdigest() in bundled
    version = re.search(r"^NIIVUE := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert f"version {version}," in bundled
    assert f"NiiVue {version} (BSD-2-Clause" in (ROOT / "NOTICE").read_text()


def test_every_package_in_it_is_named_in_NOTICE():
    named = re.search(r"^NIIVUE_HOLDS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    bundled, notice = (FOLDER / "BUNDLED.txt").read_text(), (ROOT / "NOTICE").read_text()
    for name in named:
        assert f"\n{name}, version " in bundled
        assert name in notice
    assert "BSD 2-Clause" in (FOLDER / "LICENSE").read_text()


def test_it_can_stand_in_a_page_as_it_is():
    assert "</script" not in viewer().lower()
    assert "<!--" not in viewer()
