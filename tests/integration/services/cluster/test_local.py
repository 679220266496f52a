"""`femseg cluster` with a real Ray: on loopback, for holders of the token, and gone when it is down."""

import socket
import stat
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from own_cluster import any_left, exported, femseg, files_below, listeners, own_cluster, texts_of


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with own_cluster(tmp_path_factory.mktemp("own"), "--cpus", "1") as running:
        yield running


def http_status(url: str, token: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(url, headers=headers), timeout=10) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def test_nothing_listens_beyond_loopback_G12(cluster):
    found = listeners(cluster.processes())
    assert len(found) > 5
    assert {address.removeprefix("::ffff:") for address, _ in found} == {"127.0.0.1"}


def test_every_port_refuses_who_has_no_token_G12(cluster):
    dashboard = cluster.record["dashboard_port"]
    for _, port in listeners(cluster.processes()):
        for path in ("metrics", "api/jobs/", "nodes", ""):
            try:
                status = http_status(f"http://127.0.0.1:{port}/{path}")
            except (OSError, HTTPException):
                continue  # speaks no HTTP, or hangs up
            assert status in (401, 403) or (port, path) == (dashboard, "")  # the page that asks for the token


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("0" * 64, 403)], ids=["none", "wrong"])
def test_no_token_or_a_wrong_one_is_refused_by_the_job_server_CL_08(cluster, token, status):
    url = f"{cluster.inside['RAY_API_SERVER_ADDRESS']}/api/jobs/"
    assert http_status(url, token) == status
    assert http_status(url, cluster.token) == 200


def test_the_token_is_for_its_owner_alone_and_stands_nowhere_else_CL_09(cluster):
    token = cluster.place / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(cluster.place.stat().st_mode) == 0o700
    assert cluster.token not in cluster.said
    assert not any(cluster.token in texts_of(process) for process in cluster.processes())
    others = [file for file in files_below(cluster.place) + files_below(cluster.record["folder"]) if file != token]
    assert len(others) > 10
    assert not any(cluster.token.encode() in file.read_bytes() for file in others if file.is_file())


def test_up_twice_says_so_and_starts_nothing(cluster):
    before = cluster.record
    again = femseg(cluster.env, "cluster", "up", "--nodes", "3")
    assert again.returncode == 0
    assert "was up already" in again.stdout
    assert exported(again.stdout) == exported(cluster.said)
    assert cluster.record == before
    assert "up: 1 node(s), 0 job(s) running" in femseg(cluster.env, "cluster", "status").stdout


def test_down_leaves_no_process_no_port_and_no_file_CL_10(cluster):
    processes, record = cluster.processes(), cluster.record
    ports = [port for _, port in listeners(processes)]
    done = femseg(cluster.env, "cluster", "down")
    assert done.returncode == 0, done.stderr
    assert any_left(processes) == []
    for port in ports:
        with socket.socket() as caller:
            assert caller.connect_ex(("127.0.0.1", port)) != 0
    assert files_below(record["folder"]) == []
    assert [file.name for file in files_below(cluster.place)] == ["lock"]
    assert "none of your clusters" in femseg(cluster.env, "cluster", "down").stdout
    assert femseg(cluster.env, "cluster", "status").returncode == 6
