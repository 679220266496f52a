"""The gate against the team's server: PostgreSQL behind it, names and passwords before it."""

import subprocess
import sys

import promotion_driver
import pytest
from mlflow_server import team_server
from tiny_registry import register_candidate, trained, write_candidate, write_cohort

from femseg.errors import Refusal
from femseg.promotion.audit import standing
from femseg.promotion.rules import Acceptable, PromotionRules
from femseg.services.audit_log import audit_log
from femseg.services.champion import CHAMPION, PREVIOUS, alias_holder, gate_hand, promote, rollback
from femseg.services.promotion import judge
from femseg.services.registry import MODEL_NAME
from femseg.services.registry_health import load_for_use, registry_faults
from femseg.services.tracking import connect

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]  # MLflow warns of itself
RULES = PromotionRules(acceptable={"dice": Acceptable(mean=0.6, worst_case=0.5, subgroup_mean=0.6)})


@pytest.fixture
def team(tmp_path, monkeypatch):
    (tmp_path / "server").mkdir()
    monkeypatch.chdir(tmp_path)  # where this machine's copy of the log goes
    with team_server(tmp_path / "server") as (server, database):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        for name, value in server.credentials().items():
            monkeypatch.setenv(name, value)
        yield server, database


def test_the_gate_keeps_its_word_on_postgresql_through_kills_and_hands_G9_RG_05_RG_06(team, tmp_path):
    server, database = team
    client, experiment_id = connect()
    cohort = write_cohort(tmp_path / "cohort")
    good, worse = trained(cohort), trained(cohort, iterations=10)
    for name, network in (("first", good), ("second", good), ("worse", worse)):
        register_candidate(client, experiment_id, cohort, write_candidate(cohort, tmp_path / name, network))

    def judged(version):
        return judge(client, version, RULES, manifest=cohort.manifest, split=cohort.split)

    for version in (1, 2):
        promote(client, judged(version))
    with pytest.raises(Refusal) as refused:
        promote(client, judged(3))
    assert refused.value.faults[0].id == "RG-02"
    rollback(client)
    assert (alias_holder(client, CHAMPION), alias_holder(client, PREVIOUS)) == (1, 2)

    database.ask("UPDATE registered_model_aliases SET version = 3 WHERE alias = 'champion'")
    assert [fault.id for fault in registry_faults(client)] == ["RG-06"]
    assert "the gate did not allow" in load_for_use(client, f"models:/{MODEL_NAME}@{CHAMPION}")[1][0]
    rollback(client)
    assert registry_faults(client) == []

    driver = [sys.executable, "-W", "ignore", promotion_driver.__file__, server.uri, "every"]
    seen = subprocess.run(driver, capture_output=True, text=True, timeout=900)
    assert seen.returncode == 0, seen.stderr[-3000:]
    assert '"after": null' not in seen.stdout
    assert seen.stdout.count('"killed": true') >= 8
    with gate_hand(client) as hand:
        assert standing(hand.log).begun is None
        assert hand.holders.champion == alias_holder(client, CHAMPION)
    said = " ".join(row[0] for row in database.ask("SELECT value FROM registered_model_tags"))
    assert server.password not in said
    assert len(audit_log(client).read()) > 10
