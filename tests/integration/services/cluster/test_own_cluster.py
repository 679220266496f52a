"""The how-to's cluster with a real Ray: on loopback, for holders of the token, and gone after Ctrl-C."""

import os
import platform
import signal
import socket
import stat
import subprocess
import sys
import time
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest
from own_cluster import SEVERAL, any_left, files_below, listeners, own_cluster, ray_start, texts_of
from processes import command_line
from tiny_project import ROOT


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with own_cluster(tmp_path_factory.mktemp("own")) as running:
        yield running


def http_status(url: str, token: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(url, headers=headers), timeout=10) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def ray(env, *words, timeout_s=120):
    command = [sys.executable, "-m", "ray.scripts.scripts", *words]
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=timeout_s)


def test_nothing_listens_beyond_loopback_CL_07_G12(cluster):
    found = listeners(cluster.processes())
    assert len(found) > 5
    assert {address.removeprefix("::ffff:") for address, _ in found} == {"127.0.0.1"}


def test_every_port_refuses_who_has_no_token_G12(cluster):
    for _, port in listeners(cluster.processes()):
        for path in ("metrics", "api/jobs/", "nodes", ""):
            try:
                status = http_status(f"http://127.0.0.1:{port}/{path}")
            except (OSError, HTTPException):
                continue  # speaks no HTTP, or hangs up
            assert status in (401, 403) or (port, path) == (cluster.dashboard, "")  # the page that asks for the token


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("0" * 64, 403)], ids=["none", "wrong"])
def test_no_token_or_a_wrong_one_is_refused_by_the_job_server_CL_08(cluster, token, status):
    url = f"{cluster.inside['RAY_API_SERVER_ADDRESS']}/api/jobs/"
    assert http_status(url, token) == status
    assert http_status(url, cluster.token) == 200


def test_the_token_is_for_its_owner_alone_and_stands_nowhere_else_CL_09(cluster):
    assert stat.S_IMODE(cluster.token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(cluster.token_file.parent.stat().st_mode) == 0o700
    assert not any(cluster.token in texts_of(process) for process in cluster.processes())
    others = [file for file in files_below(cluster.folder) if file.is_file()]
    assert len(others) > 10
    assert not any(cluster.token.encode() in file.read_bytes() for file in others)


def test_ray_status_and_a_driver_outside_of_a_job_connect_with_what_the_how_to_exports(cluster):
    limit = time.monotonic() + 60
    while "1 node_" not in (
        status := ray(cluster.inside, "status").stdout
    ):  # the autoscaler reports after some seconds
        assert time.monotonic() < limit, status
    driver = "import ray; ray.init(log_to_driver=False); print('nodes', len(ray.nodes()))"
    done = subprocess.run(
        [sys.executable, "-c", driver], env=cluster.inside, capture_output=True, text=True, timeout=120
    )
    assert "nodes 1" in done.stdout, done.stderr


def test_ctrl_c_leaves_no_process_and_no_port_with_a_job_at_work_CL_10(cluster):
    ray(cluster.inside, "job", "submit", "--no-wait", "--", "sleep", "1000")
    limit = time.monotonic() + 60
    while not any(command_line(process.pid).startswith("sleep 1000") for process in cluster.processes()):
        assert time.monotonic() < limit
    processes = cluster.processes()
    ports = [port for _, port in listeners(processes)]
    os.killpg(cluster.leaders[0].pid, signal.SIGINT)
    cluster.leaders[0].wait(60)
    psutil.wait_procs(processes, timeout=10)
    assert any_left(processes) == []
    for port in ports:
        with socket.socket() as caller:
            assert caller.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
def test_a_node_with_a_wrong_token_does_not_join_CL_08(tmp_path):
    with own_cluster(tmp_path, several=True) as cluster:
        wrong = tmp_path / "wrong"
        wrong.touch(mode=0o600)
        wrong.write_text("0" * 64)
        stranger = cluster.inside | {"RAY_AUTH_TOKEN_PATH": str(wrong)}
        command = ray_start(SEVERAL, "--address", {"--address": cluster.inside["RAY_ADDRESS"]})
        done = subprocess.run(command, env=stranger, cwd="/", capture_output=True, text=True, timeout=240)
        assert done.returncode != 0
        assert len(cluster.listed("nodes")) == 1


IMPORTED = "import os, platform, femseg; print(platform.python_version(), femseg.__file__, os.getcwd())"


@pytest.mark.slow
def test_an_uploaded_job_runs_the_uploaded_code_on_the_shared_folder(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    submit = ["job", "submit", "--working-dir", str(ROOT), "--runtime-env", str(ROOT / "ray-runtime-env.yaml"), "--"]
    in_project = ["sh", "docker/in-project.sh", str(shared)]
    with own_cluster(tmp_path) as cluster:
        inside = {name: value for name, value in cluster.inside.items() if name != "PYTHONPATH"}
        done = ray(inside, *submit, *in_project, sys.executable, "-c", IMPORTED)
        assert done.returncode == 0, done.stdout + done.stderr
        version, imported, folder = next(line for line in done.stdout.splitlines() if line.startswith("3.")).split()
        assert version == platform.python_version()
        assert "/_ray_pkg_" in imported
        assert imported.endswith("/platform/femseg/__init__.py")
        assert folder == str(shared)
        refused = ray(inside, *submit, *in_project, sys.executable, "-m", "pipelines.split")
        assert refused.returncode == 1
        assert "error ST-02: data/cohort/manifest.json: is missing" in refused.stdout
        assert (shared / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
