"""Every command that takes a model takes it by every name, and says what is accepted if it is none."""

import json
from pathlib import Path

import pytest
import yaml
from tiny_model import JUDGED
from tiny_registry import register_candidate, trained, write_candidate, write_cohort
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.networks.package import load_package
from femseg.services.registry.model_name import ACCEPTED
from femseg.services.tracking.connect import connect

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself
RULES = {"acceptable": {"dice": {"mean": 0.6, "worst_case": 0.5, "subgroup_mean": 0.6}}}
NAMES = ("1", "champion", "@champion", "models:/femseg/1", "models:/femseg@champion", "good/package", "package")
NO_NAMES = (
    "",
    "²",
    "1.5",
    "models:/femseg/x",
    "models:/other/1",
    "models:/femseg/1/",
    "model:femseg",
    "a b",
    "9" * 300,
)
CT = "data/source/case-09/ct.nii.gz"
COMMANDS = {  # with the exit code and the words that show which version was found
    "segment": (("segment", CT, "-o", "mask.nii.gz", "--overwrite", "--model"), JUDGED, "package {sha256:.12}"),
    "promote": (("promote",), 0, "version 1 is champion already"),
    "why": (("why",), 0, "promote version 1"),
    "remove": (("remove",), 8, "models:/femseg/1: holds the alias"),
    "lineage": (("lineage",), 0, "model package         {sha256}"),
    "replay": (("replay",), 4, "error LN-03"),
    "card": (("card",), 2, "has no model card"),
}


def femseg(*words: str):
    done = CliRunner().invoke(app, list(words))
    assert "Traceback" not in done.output
    return done


@pytest.fixture(scope="module")
def sha256(tmp_path_factory):
    """A project whose only version is champion; the hash of its package, which lies here twice."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("FEMSEG_DEBUG", raising=False)
        client, experiment_id = connect()
        cohort = write_cohort(folder)
        register_candidate(client, experiment_id, cohort, write_candidate(cohort, folder / "good", trained(cohort)))
        Path("package").symlink_to("good/package")
        Path("promotion.yaml").write_text(yaml.safe_dump(RULES))
        assert femseg("promote", "1").exit_code == 0
        yield load_package(folder / "good/package").sha256


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_every_name(sha256, command, name):
    words, exit_code, shown = COMMANDS[command]
    done = femseg(*words, name)
    assert done.exit_code in (exit_code if isinstance(exit_code, tuple) else (exit_code,)), done.output
    assert shown.format(sha256=sha256) in done.output


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_name_is_refused_in_one_line_with_what_is_accepted(sha256, command, name):
    done = femseg(*COMMANDS[command][0], name)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error CFG-01: ")
    assert ACCEPTED in line


def test_a_package_that_was_never_registered_is_no_version(sha256, tmp_path):
    cohort = write_cohort(tmp_path)
    write_candidate(cohort, tmp_path / "other", trained(cohort, iterations=1))
    for command in ("promote", "why", "remove", "replay", "card"):
        done = femseg(command, str(tmp_path / "other/package"))
        assert (done.exit_code, "no version of femseg holds this package" in done.stderr) == (2, True)
    said = json.loads(femseg("lineage", str(tmp_path / "other/package"), "--json").stdout)
    assert said["links"][0]["state"] == "holds"
