"""`femseg cluster` with several nodes, killed heads, neighbours and strangers."""

import json
import os
import platform
import signal
import subprocess
import sys

import psutil
import pytest
from own_cluster import any_left, femseg, listeners, own_cluster
from tiny_project import ROOT

pytestmark = pytest.mark.slow

SPREAD = """
import time, ray
ray.init(log_to_driver=False)

@ray.remote(num_cpus=1)
def where():
    time.sleep(5)  # longer than a worker needs to start on a node that idles
    return ray.get_runtime_context().get_node_id()

print("nodes", len(set(ray.get([where.remote() for _ in range(6)]))))
"""


def ray(env, *words, timeout_s=120):
    command = [sys.executable, "-m", "ray.scripts.scripts", *words]
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=timeout_s)


def test_two_nodes_stay_on_loopback_and_both_work_for_a_job(tmp_path):
    with own_cluster(tmp_path, "--nodes", "2", "--cpus", "1") as cluster:
        done = ray(cluster.inside, "job", "submit", "--", sys.executable, "-c", SPREAD)
        assert done.returncode == 0, done.stdout
        assert "nodes 2" in done.stdout
        assert {address.removeprefix("::ffff:") for address, _ in listeners(cluster.processes())} == {"127.0.0.1"}
        said = json.loads(femseg(cluster.env, "cluster", "status", "--json").stdout)
        assert [node["is_head"] for node in said["nodes"]] == [True, False]


def test_a_driver_outside_of_a_job_connects_with_what_up_printed(tmp_path):
    with own_cluster(tmp_path, "--cpus", "2") as cluster:
        command = [sys.executable, "-c", SPREAD]
        done = subprocess.run(command, env=cluster.inside, capture_output=True, text=True, timeout=120)
        assert "nodes 1" in done.stdout, done.stderr


@pytest.mark.parametrize("victim", ["leader", "raylet", "gcs_server"])
def test_down_leaves_nothing_after_kill_9_with_a_job_at_work_CL_10(tmp_path, victim):
    with own_cluster(tmp_path, "--nodes", "2", "--cpus", "1") as cluster:
        ray(cluster.inside, "job", "submit", "--no-wait", "--", "sleep", "1000")
        processes = cluster.processes()
        sleeper = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "1000"]]
        ports = {port for _, port in listeners(processes)}
        if victim == "leader":
            os.kill(cluster.record["leaders"][0]["pid"], signal.SIGKILL)
        else:
            os.kill(next(p.pid for p in processes if p.name() == victim), signal.SIGKILL)
        assert femseg(cluster.env, "cluster", "down").returncode == 0
        assert any_left(processes + sleeper) == []
        assert not ports & {c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN}


def test_up_after_kill_9_of_the_head_ends_the_remains_and_starts_anew(tmp_path):
    with own_cluster(tmp_path, "--nodes", "2", "--cpus", "1") as cluster:
        before, first = cluster.processes(), cluster.record["id"]
        os.kill(cluster.record["leaders"][0]["pid"], signal.SIGKILL)
        refused = femseg(cluster.env, "cluster", "status")
        assert refused.returncode == 6
        assert "error CL-06: cluster:" in refused.stderr
        again = femseg(cluster.env, "cluster", "up", "--cpus", "1")
        assert "a Ray cluster is up: 1 node(s)" in again.stdout
        assert cluster.record["id"] != first
        assert any_left(before) == []


def test_down_leaves_another_cluster_alone(tmp_path):
    with (
        own_cluster(tmp_path / "mine", "--cpus", "1") as mine,
        own_cluster(tmp_path / "theirs", "--cpus", "1") as theirs,
    ):
        processes = mine.processes()
        assert femseg(mine.env, "cluster", "down").returncode == 0
        assert any_left(processes) == []
        assert "up: 1 node(s)" in femseg(theirs.env, "cluster", "status").stdout


def test_a_node_with_a_wrong_token_does_not_join_CL_08(tmp_path):
    with own_cluster(tmp_path, "--cpus", "1") as cluster:
        wrong = tmp_path / "wrong"
        wrong.touch(mode=0o600)
        wrong.write_text("0" * 64)
        stranger = cluster.inside | {"RAY_AUTH_TOKEN_PATH": str(wrong)}
        command = [sys.executable, "-m", "femseg.services.cluster.local", cluster.inside["RAY_ADDRESS"], "1"]
        done = subprocess.run(command, env=stranger, cwd="/", capture_output=True, text=True, timeout=240)
        assert done.returncode != 0
        assert "up: 1 node(s)" in femseg(cluster.env, "cluster", "status").stdout


IMPORTED = "import os, platform, femseg; print(platform.python_version(), femseg.__file__, os.getcwd())"


def test_an_uploaded_job_runs_the_uploaded_code_on_the_shared_folder(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    submit = ["job", "submit", "--working-dir", str(ROOT), "--runtime-env", str(ROOT / "ray-runtime-env.yaml"), "--"]
    in_project = ["sh", "docker/in-project.sh", str(shared)]
    with own_cluster(tmp_path, "--cpus", "1") as cluster:
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
