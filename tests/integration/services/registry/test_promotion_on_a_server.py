"""The gate with a real MLflow server between it and the registry: the same story, the same log."""

from pathlib import Path

import pytest
from servers.mlflow_server import mlflow_server

from femseg.services.registry.audit_log import audit_log
from femseg.services.tracking.connect import connect

from .gate_story import champion_made_refused_and_given_back, killed_before_each_write

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]  # MLflow warns of itself


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "server").mkdir()
    monkeypatch.chdir(tmp_path)  # where this machine's copy of the log goes
    with mlflow_server(tmp_path / "server") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        yield server


def test_a_champion_is_made_refused_killed_and_rolled_back_through_a_server_G9(server, tmp_path):
    client, experiment_id = connect()
    champion_made_refused_and_given_back(client, experiment_id, tmp_path)
    copy = audit_log(client).copy
    assert copy.parent == Path("mlruns/audit").absolute()
    assert len(copy.read_text().splitlines()) == len(audit_log(client).read())
    killed_before_each_write(client, server.uri)
