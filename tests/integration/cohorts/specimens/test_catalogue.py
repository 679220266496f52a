"""Every specimen of the catalogue, through the command as users run it: the answer is the one that it promises."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.cohorts.specimens.catalogue import CATALOGUE
from femseg.cohorts.specimens.specimen import Specimen


def of(*expected: str) -> list:
    chosen = [specimen for specimen in CATALOGUE if specimen.expected in expected]
    return [pytest.param(specimen, id=f"{specimen.matrix_id} {specimen.kind}") for specimen in chosen]


def everything_below(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("specimen", of("refused"))
def test_what_is_wrong_is_refused_in_one_line_with_file_numbers_and_fix(tmp_path, specimen: Specimen):
    specimen.make(tmp_path)
    before = everything_below(tmp_path)
    done = CliRunner().invoke(app, ["check", str(tmp_path), "--json"])
    assert done.exit_code == specimen.exit_code, done.output
    faults = json.loads(done.stdout)["faults"]
    lines = done.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error ")]
    assert {fault["id"] for fault in faults} == set(specimen.faults), done.stderr
    assert len(errors) == len(faults)
    assert all(line.startswith(("error ", "check: ")) for line in lines)
    (first, *_) = [line for line in errors if all(words in line for words in specimen.says)] or [None]
    assert first is not None, f"no line says {specimen.says}: {done.stderr}"
    for fault in faults:
        assert fault["file"].startswith(str(tmp_path)), "the file is not named"
        assert len(fault["fix"]) > 10
    assert "Traceback" not in done.output
    assert everything_below(tmp_path) == before, "a check writes nothing"
