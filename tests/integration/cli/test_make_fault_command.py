"""`femseg make-fault`: writes what it says, where nothing lay before."""

import json
import shlex

import pytest
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.cohorts.specimens.catalogue import CATALOGUE


@pytest.fixture
def femseg(monkeypatch):
    monkeypatch.delenv("FEMSEG_DEBUG", raising=False)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_it_prints_ends_as_it_says(femseg, tmp_path):
    made = femseg("make-fault", "missing-slice", tmp_path / "new" / "folder")
    assert made.exit_code == 0, made.output
    about, expected, command = (line.split(maxsplit=1)[1] for line in made.stdout.splitlines())
    assert about == f"{tmp_path}/new/folder: a slice in the middle is missing (IN-01)"
    assert expected == "refused: IN-01 (exit 3)"
    assert femseg(*shlex.split(command)[1:]).exit_code == 3


def test_an_empty_folder_will_do_and_json_says_the_same(femseg, tmp_path):
    made = femseg("make-fault", "nifti-ras", tmp_path, "--json")
    assert made.exit_code == 0, made.output
    said = json.loads(made.stdout)
    assert (said["expected"], said["exit_code"], said["command"]) == ("accepted", 0, f"femseg check {tmp_path}")
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == ["ct.nii.gz", "mask.nii.gz"]


@pytest.mark.parametrize("occupied", ["a file in it", "a file"])
def test_nothing_is_written_where_something_lies(femseg, tmp_path, occupied):
    (tmp_path / "something").write_text("mine")
    refused = femseg("make-fault", "missing-slice", tmp_path if occupied == "a file in it" else tmp_path / "something")
    assert refused.exit_code == 2
    assert "is not an empty folder" in refused.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("words", "says"),
    [(["missing-slices", "x"], "choose one: missing-slice"), ([], "no kind ''"), (["missing-slice"], "no folder")],
)
def test_a_wrong_word_is_one_line_and_exit_2(femseg, words, says):
    refused = femseg("make-fault", *words)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith("error CFG-01: ")
    assert says in line


def test_a_folder_that_cannot_be_made_is_one_line_and_exit_5(femseg, tmp_path):
    (tmp_path / "file").touch()
    refused = femseg("make-fault", "missing-slice", tmp_path / "file" / "below")
    assert refused.exit_code == 5
    assert "error ST-06: " in refused.stderr


def test_the_list_names_every_kind_with_its_case(femseg):
    text, listed = femseg("make-fault", "--list").stdout.splitlines(), femseg("make-fault", "--list", "--json").stdout
    assert [line.split()[:2] for line in text] == [[s.kind, s.matrix_id] for s in CATALOGUE]
    assert [one["kind"] for one in json.loads(listed)] == [s.kind for s in CATALOGUE]
