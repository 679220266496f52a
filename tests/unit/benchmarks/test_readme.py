from pathlib import Path

import pytest

from benchmarks import readme


@pytest.mark.parametrize("path", readme.PAGES, ids=lambda path: path.name)
def test_a_page_has_the_figures_of_the_results(path: Path):
    page = path.read_text(encoding="utf-8")
    part = readme.PAGES[path]()
    assert part in page
    assert page == readme.renewed(page, part)


def test_every_script_that_is_started_by_itself_stands_in_the_table():
    started = {
        f"{path.parent.name}.{path.stem}"
        for path in readme.HERE.glob("*/*.py")
        if "argparse.ArgumentParser" in (text := path.read_text(encoding="utf-8")) or "def main()" in text
    }
    helpers = {"chaos.chaos_run", "intake.intake_peers_worker"}  # started by chaos and intake_peers
    assert {script.name for script in readme.SCRIPTS} == started - helpers


def test_every_result_belongs_to_a_script():
    named = {script.result or f"{script.name.rpartition('.')[2]}.json" for script in readme.SCRIPTS}
    assert {path.name for path in (readme.HERE / "results").glob("*.json")} <= named
