"""The gate with a real MLflow server between it and the registry: the same story, the same log."""

import subprocess
import sys
from pathlib import Path

import promotion_driver
import pytest
from mlflow_server import mlflow_server
from tiny_registry import register_candidate, trained, write_candidate, write_cohort

from femseg.errors import Refusal
from femseg.promotion.audit import standing
from femseg.promotion.rules import Acceptable, PromotionRules
from femseg.services.audit_log import audit_log
from femseg.services.champion import CHAMPION, PREVIOUS, alias_holder, gate_hand, promote, rollback
from femseg.services.promotion import judge
from femseg.services.registry_health import registry_faults
from femseg.services.tracking import connect

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]  # MLflow warns of itself
RULES = PromotionRules(acceptable={"dice": Acceptable(mean=0.6, worst_case=0.5, subgroup_mean=0.6)})


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "server").mkdir()
    monkeypatch.chdir(tmp_path)  # where this machine's copy of the log goes
    with mlflow_server(tmp_path / "server") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        yield server


def test_a_champion_is_made_refused_killed_and_rolled_back_through_a_server_G9(server, tmp_path):
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
    assert registry_faults(client) == []
    copy = audit_log(client).copy
    assert copy.parent == Path("mlruns/audit").absolute()
    assert len(copy.read_text().splitlines()) == len(audit_log(client).read())

    driver = [sys.executable, "-W", "ignore", promotion_driver.__file__, server.uri, "every"]
    seen = subprocess.run(driver, capture_output=True, text=True, timeout=500)
    assert seen.returncode == 0, seen.stderr[-3000:]
    assert '"after": null' not in seen.stdout
    assert seen.stdout.count('"killed": true') >= 8
    with gate_hand(client) as hand:
        assert standing(hand.log).begun is None
        assert hand.holders.champion == alias_holder(client, CHAMPION)
