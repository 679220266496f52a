"""The team's tracking server as `docker/mlflow-server.sh` starts it: PostgreSQL, passwords, artefacts through it."""

import base64
import json
import os
import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from servers.mlflow_server import ROOT, MlflowServer, mlflow_server, team_server
from servers.postgres import Postgres
from servers.starters import start_at_once

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.services.tracking.connect import artefacts_taken, connect, run_with_true_status, start_run
from femseg.services.tracking.heartbeat import HEARTBEAT, OWNER, SILENT_S

from .outage import is_whole, train_through

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    with team_server(tmp_path_factory.mktemp("team")) as started:
        yield started


@pytest.fixture
def server(team, monkeypatch, tmp_path) -> MlflowServer:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in team[0].credentials().items():
        monkeypatch.setenv(name, value)
    return team[0]


@pytest.fixture
def database(team) -> Postgres:
    return team[1]


def test_16_processes_that_meet_a_fresh_server_all_get_the_one_experiment_TK_04(server):
    uri = server.uri.replace("http://", f"http://{server.user}:{server.password}@")
    assert len(set(start_at_once(uri, 16))) == 1


def test_who_has_no_password_is_told_so_and_not_that_the_server_is_away_TK_01(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "100")  # a busy server is another matter
    with pytest.raises(Refusal) as refused:
        connect(server.uri)
    assert refused.value.exit_code == ExitCode.SERVICE_DOWN
    assert "password" in str(refused.value)
    assert "wrong" not in str(refused.value)


def test_a_run_is_recorded_whole_through_minutes_of_outage_TK_02_TK_03_G7(server, tmp_path):
    client, experiment_id = connect(server.uri)
    run_id = start_run(client, experiment_id, name="run", params={})
    events = [server.freeze, server.thaw, server.kill, server.start, server.kill, server.start]
    outage = train_through(server.uri, run_id, tmp_path, events, steps_between=1500, step_s=0.01)
    assert outage.longest_wait_s < 1
    assert is_whole(client, run_id, 7 * 1500)


def test_the_database_holds_each_point_in_one_row_TK_03(server, database, tmp_path):
    client, experiment_id = connect(server.uri)
    run_id = start_run(client, experiment_id, name="run", params={})
    train_through(server.uri, run_id, tmp_path, [server.kill, server.start], steps_between=500, step_s=0.005)
    rows = database.ask(f"SELECT count(*), count(DISTINCT step) FROM metrics WHERE run_uuid = '{run_id}'")
    assert rows == [(1500, 1500)]


def test_a_run_that_is_silent_on_another_host_is_closed_in_the_teams_store_TK_06(server):
    client, experiment_id = connect(server.uri)
    run_id = start_run(client, experiment_id, name="run", params={})
    beat = float(client.get_run(run_id).data.tags[HEARTBEAT])
    client.set_tag(run_id, OWNER, "host=node7 pid=1 began=1 boot=another namespace=pid:[1]")
    client.set_tag(run_id, HEARTBEAT, str(int(beat - SILENT_S - 60)))
    connect(server.uri)
    assert client.get_run(run_id).info.status == "KILLED"


def test_artefacts_travel_through_the_server_and_come_back(server, tmp_path):
    client, experiment_id = connect(server.uri)
    run_id = start_run(client, experiment_id, name="run", params={})
    file = tmp_path / "scores.csv"
    file.write_bytes(os.urandom(2**20))
    client.log_artifact(run_id, str(file), "evaluation")
    assert client.get_run(run_id).info.artifact_uri.startswith("mlflow-artifacts:/")
    back = client.download_artifacts(run_id, "evaluation/scores.csv", str(tmp_path))
    assert (tmp_path / back).read_bytes() == file.read_bytes()


def test_no_password_stands_in_the_database_or_the_log(server, database):
    connect(server.uri)
    texts = ("SELECT key || value FROM tags", "SELECT key || value FROM params", "SELECT name FROM experiments")
    said = [server.log, *(row[0] for statement in texts for row in database.ask(statement))]
    assert not any(server.password in text or database.password in text for text in said)


PROBES = (  # what is tried on servers of MLflow in the wild; also the forms of CVE-2024-1483 and CVE-2024-3848
    ("GET", "/api/2.0/mlflow/experiments/search?max_results=10", None),
    ("POST", "/api/2.0/mlflow/experiments/search", {"max_results": 10}),
    ("POST", "/api/2.0/mlflow/experiments/create", {"name": "probe"}),
    ("POST", "/api/2.0/mlflow/experiments/create", {"name": "p1", "artifact_location": "http:///#/../../../etc/"}),
    ("POST", "/api/2.0/mlflow/experiments/create", {"name": "p2", "artifact_location": "file:///etc"}),
    ("POST", "/api/2.0/mlflow/registered-models/create", {"name": "probe"}),
    ("POST", "/api/2.0/mlflow/model-versions/create", {"name": "femseg", "source": "file:///etc"}),
    ("POST", "/api/2.0/mlflow/registered-models/alias", {"name": "femseg", "alias": "champion", "version": "1"}),
    ("POST", "/api/2.0/mlflow/runs/search", {"experiment_ids": ["0", "1"]}),
    ("GET", "/api/2.0/mlflow/artifacts/list?run_id=0&path=../../../../etc", None),
    ("GET", "/get-artifact?run_uuid=0&path=..%2F..%2F..%2Fetc%2Fpasswd", None),
    ("GET", "/model-versions/get-artifact?name=femseg&version=1&path=/etc/passwd", None),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts/..%2F..%2F..%2Fetc%2Fpasswd", None),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/..%2F..%2Fprobe", {"x": 1}),
    ("GET", "/api/2.0/mlflow/users/get?username=admin", None),
    ("POST", "/graphql", {"query": "{__schema{types{name}}}"}),
)


@pytest.mark.parametrize(("method", "path", "body"), PROBES)
def test_a_stranger_is_let_in_nowhere_SC_09(server, method, path, body):
    assert answered(server, method, path, body, headers={})[0] in (400, 401, 403)


@pytest.mark.parametrize("path", [path for method, path, _ in PROBES if method == "GET" and "etc" in path])
def test_no_file_of_the_server_is_read_by_a_colleague_either_SC_09(server, path):
    secret = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    status, said = answered(server, "GET", path, None, headers={"Authorization": f"Basic {secret}"})
    assert status >= 400
    assert b"root:" not in said


def answered(server: MlflowServer, method: str, path: str, body, *, headers) -> tuple[int, bytes]:
    """Status and text of a plain request."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(server.uri + path, data, {"Content-Type": "application/json", **headers}, method=method)
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def test_a_full_disk_at_the_server_fails_the_run_and_lists_no_part_of_an_artefact_TK_08(tmp_path):
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(32 * 2**20))
    (tmp_path / "server").mkdir()
    with mlflow_server(tmp_path / "server", largest_file_mib=16) as full:
        client, experiment_id = connect(full.uri)
        run_id = start_run(client, experiment_id, name="run", params={})
        with (
            pytest.raises(Refusal) as refused,
            run_with_true_status(client, run_id),
            artefacts_taken(client, "the report"),
        ):
            client.log_artifact(run_id, str(large), "report")
        assert (refused.value.faults[0].id, refused.value.exit_code) == ("TK-08", ExitCode.RESOURCE)
        assert client.get_run(run_id).info.status == "FAILED"
        assert client.list_artifacts(run_id, "report") == []


def test_the_credentials_file_of_the_how_to_lets_a_command_in(server, tmp_path, monkeypatch):
    for name in server.credentials():
        monkeypatch.delenv(name)
    page = (ROOT / "docs/how-to/ml-engineer/my-teams-mlflow-server.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("mkdir -p ~/.mlflow")]
    line = line.replace("NAME", server.user).replace("PASSWORD", server.password)
    subprocess.run(["bash", "-c", line], check=True, env=os.environ | {"HOME": str(tmp_path)})
    code = "from femseg.services.tracking.connect import connect; print(connect()[1])"
    env = os.environ | {"MLFLOW_TRACKING_URI": server.uri}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == connect(server.uri.replace("://", f"://{server.user}:{server.password}@"))[1]
    assert (tmp_path / ".mlflow/credentials").stat().st_mode & 0o777 == 0o600
