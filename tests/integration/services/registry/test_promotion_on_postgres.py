"""The gate against the team's server: PostgreSQL behind it, names and passwords before it."""

import pytest
from servers.mlflow_server import team_server

from femseg.services.registry.aliases import CHAMPION, rollback
from femseg.services.registry.audit_log import audit_log
from femseg.services.registry.doctor import load_for_use, registry_faults
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.tracking.connect import connect

from .gate_story import champion_made_refused_and_given_back, killed_before_each_write

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]  # MLflow warns of itself


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
    champion_made_refused_and_given_back(client, experiment_id, tmp_path)

    database.ask("UPDATE registered_model_aliases SET version = 3 WHERE alias = 'champion'")
    assert [fault.id for fault in registry_faults(client)] == ["RG-06"]
    assert "the gate did not allow" in load_for_use(client, f"models:/{MODEL_NAME}@{CHAMPION}")[1][0]
    rollback(client)
    assert registry_faults(client) == []

    killed_before_each_write(client, server.uri)
    said = " ".join(row[0] for row in database.ask("SELECT value FROM registered_model_tags"))
    assert server.password not in said
    assert len(audit_log(client).read()) > 10
