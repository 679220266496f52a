"""`make` in a project that was moved or copied together with its environment."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("made_as", "code"), [("here", 0), ("there", 2)])
def test_an_environment_that_was_made_for_another_folder_is_refused_before_it_runs_the_code_there(
    tmp_path, made_as, code
):
    here = tmp_path / "two words"
    (here / ".venv").mkdir(parents=True)
    shutil.copy2(ROOT / "Makefile", here)
    made = here if made_as == "here" else tmp_path / "original"
    (here / ".venv/pyvenv.cfg").write_text(f"version = 3.11.7\ncommand = /usr/bin/python3 -m venv {made}/.venv\n")
    done = subprocess.run(["make", "help"], cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert ("rm -rf .venv" in done.stderr) == (code != 0)
