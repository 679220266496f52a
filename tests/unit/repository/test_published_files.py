"""Citation, workflow and the version: what other programs read of this repository."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import femseg

ROOT = Path(__file__).parents[3]
CHECKER = Path(sys.executable).with_name("check-jsonschema")
SCHEMAS = {"CITATION.cff": "vendor.citation-file-format", ".github/workflows/ci.yml": "vendor.github-workflows"}


def found_wrong(schema: str, file: Path) -> str:
    done = subprocess.run([CHECKER, "--builtin-schema", schema, file], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize(("file", "schema"), SCHEMAS.items())
def test_a_published_file_keeps_to_its_schema(file, schema):
    assert found_wrong(schema, ROOT / file) == ""


@pytest.mark.parametrize(("file", "schema"), SCHEMAS.items())
def test_its_checker_finds_a_wrong_key(file, schema, tmp_path):
    wrong = tmp_path / Path(file).name
    wrong.write_text((ROOT / file).read_text(encoding="utf-8") + "\nwrong-key: 1\n", encoding="utf-8")
    assert "wrong-key" in found_wrong(schema, wrong)


def test_the_workflow_tests_every_python_from_the_oldest_that_is_taken():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pythons = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13"]
    assert project["requires-python"] == f">={pythons[0]}"


def test_one_version_stands_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## \[?(\d[\d.]*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    images = {
        tag
        for file in [*ROOT.glob("docker/**/*.yaml"), *ROOT.glob("docs/**/*.md")]
        for tag in re.findall(r"femseg-(?:head|trainer|tracking):([\d.]*\d)", file.read_text(encoding="utf-8"))
    }
    assert newest is not None
    assert {project["version"], cited["version"], newest[1], *images} == {femseg.__version__}
