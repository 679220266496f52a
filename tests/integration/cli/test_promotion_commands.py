"""`femseg promote` and its companions: who may be champion, why, since when, and how to take it back."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from tiny_registry import register_candidate, trained, write_candidate, write_cohort
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.services.registry.aliases import CHAMPION, alias_holder
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.tracking.connect import connect

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself
RULES = {"acceptable": {"dice": {"mean": 0.6, "worst_case": 0.5, "subgroup_mean": 0.6}}}


def femseg(*words, rc=0):
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == rc, done.output
    assert "Traceback" not in done.output
    return done


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder with a cohort, the rules, and a registry of a good version, 1, and a worse one, 2."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("FEMSEG_DEBUG", raising=False)
        client, experiment_id = connect()
        cohort = write_cohort(folder)
        for name, iterations in (("good", 40), ("worse", 10)):
            candidate = write_candidate(cohort, folder / name, trained(cohort, iterations=iterations))
            register_candidate(client, experiment_id, cohort, candidate)
        Path("promotion.yaml").write_text(yaml.safe_dump(RULES))
        yield folder, client


@pytest.fixture(scope="module")
def story(template):
    """Version 1 is promoted, version 2 refused; what each command said."""
    _, client = template
    said = {"dry": femseg("promote", "1", "--dry-run"), "log after dry": femseg("history")}
    said["held after dry"] = alias_holder(client, CHAMPION)
    said["promote"] = femseg("promote", "1")
    said["refused"] = femseg("promote", "challenger", rc=8)
    return said


def test_a_dry_run_shows_every_check_and_changes_nothing(story):
    assert story["dry"].stdout.count("✓") >= 20
    assert "✗" not in story["dry"].stdout
    assert "nothing was changed" in story["dry"].stdout
    assert story["held after dry"] is None
    assert "nothing was decided yet" in story["log after dry"].stdout


def test_checks_stand_below_their_theme_with_three_decimals_where_they_hold(story):
    lines = story["dry"].stdout.splitlines()
    themes = [re.findall(r"\((RG-\d\d)\): (\d+) of (\d+) hold", line) for line in lines if not line.startswith(" ")]
    found = [theme for (theme,) in filter(None, themes)]
    assert [id_ for id_, _, _ in found] == ["RG-01", "RG-04", "RG-03", "RG-02", "RG-10"]
    assert all(hold == of for _, hold, of in found)
    assert sum(int(of) for _, _, of in found) == story["dry"].stdout.count("✓")
    assert not re.search(r"\d\.\d{4}", story["dry"].stdout)
    assert re.search(r"✗ .*\d\.\d{4}", story["refused"].stdout)


def test_a_fit_version_becomes_champion_and_the_log_has_a_head(story, template):
    assert "champion is version 1, previous is none" in story["promote"].stdout
    assert "audit log: 2 entries, head " in story["promote"].stdout
    assert alias_holder(template[1], CHAMPION) == 1


def test_a_worse_challenger_is_refused_in_one_line_with_both_numbers_RG_02(story, template):
    (line,) = [line for line in story["refused"].stderr.splitlines() if line.startswith("error ")]
    assert line.startswith("error RG-02: models:/femseg/2: Dice (DSC) against champion version 1: 0.")
    assert " against 0." in line
    assert ". Fix: " in line
    assert alias_holder(template[1], CHAMPION) == 1


def test_history_and_why_tell_it_again(story):
    lines = femseg("history").stdout.splitlines()
    assert ["promote version 1" in lines[0], "done version 1" in lines[1], "refuse version 2" in lines[2]] == [True] * 3
    why = femseg("why", "2").stdout
    assert "✗ Dice (DSC) against champion version 1" in why
    decision = json.loads(femseg("why", "2", "--json").stdout)
    assert decision["decision"]["rules"]["acceptable"] == RULES["acceptable"]
    assert decision["entry"]["action"] == "refuse"


def test_a_decision_whose_tag_was_edited_is_not_told_RG_09(story, template):
    _, client = template
    (key,) = [k for k in client.get_model_version(MODEL_NAME, "2").tags if k.startswith("gate.decision.")]
    text = client.get_model_version(MODEL_NAME, "2").tags[key]
    client.set_model_version_tag(MODEL_NAME, "2", key, text.replace('"passed":false', '"passed":true'))
    try:
        assert "RG-09" in femseg("why", "2", rc=4).stderr
    finally:
        client.set_model_version_tag(MODEL_NAME, "2", key, text)


def test_who_is_champion_already_is_not_judged_again(story):
    assert "is champion already" in femseg("promote", "champion").stdout


def test_the_log_is_proven_also_against_a_head_that_was_noted(story):
    said = json.loads(femseg("audit", "verify", "--json").stdout)
    assert said["entries"] == 3
    femseg("audit", "verify", "--head", said["head"])
    assert "RG-09" in femseg("audit", "verify", "--head", "0" * 64, rc=4).stderr


def test_an_alias_moved_by_hand_is_the_doctors_finding_and_is_undone_RG_06(story, template):
    _, client = template
    assert "as the gate left them" in femseg("doctor").stdout
    client.set_registered_model_alias(MODEL_NAME, CHAMPION, "2")
    assert "RG-06" in femseg("doctor", rc=8).stderr
    assert json.loads(femseg("doctor", "--json", rc=8).stdout)["faults"][0]["id"] == "RG-06"
    femseg("rollback")
    assert alias_holder(client, CHAMPION) == 1
    assert "RG-08" in femseg("rollback", rc=8).stderr
    assert "RG-14" in femseg("remove", "1", rc=8).stderr


@pytest.mark.parametrize("words", [("promote", "99"), ("why", "99"), ("promote", "nobody"), ("remove", "99")])
def test_a_version_that_is_not_there_is_refused_RG_07(template, words):
    assert "error RG-12" in femseg(*words, rc=2).stderr


def test_without_rules_or_a_cohort_nothing_is_judged(template, tmp_path, monkeypatch):
    folder, _ = template
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlruns/mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    assert "CFG-01" in femseg("promote", "2", rc=2).stderr
    shutil.copy(folder / "promotion.yaml", tmp_path)
    assert "manifest.json: is missing" in femseg("promote", "2", rc=4).stderr
