"""Stages as jobs of a Ray cluster that stays up, with token authentication, as submit-ray-jobs.md describes."""

import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from processes import kill_tree, start, wait_until
from tiny_project import environment, hashes

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def cluster(copy, tmp_path):
    """A head on loopback; gives the environment in which jobs are submitted to it."""
    token = tmp_path / "home" / ".ray" / "auth_token"
    token.parent.mkdir(parents=True, mode=0o700)
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    gcs, dashboard = free_port(), free_port()
    env = environment(copy) | {"HOME": str(tmp_path / "home"), "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    sessions = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a socket's path has room for no more
    words = {
        "--node-ip-address": "127.0.0.1",
        "--port": gcs,
        "--dashboard-host": "127.0.0.1",
        "--dashboard-port": dashboard,
        "--dashboard-agent-listen-port": free_port(),
        "--ray-client-server-port": free_port(),
        "--num-cpus": 2,
        "--temp-dir": sessions,
    }
    log = tmp_path / "head.txt"
    options = [f"{name}={value}" for name, value in words.items()]
    head = start(["ray", "start", "--head", "--block", *options], env=env, cwd=tmp_path, log=log)
    try:
        wait_until(lambda: "Ray runtime started" in log.read_text(), head, log, 120)
        yield env | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    finally:
        kill_tree(head)
        shutil.rmtree(sessions, ignore_errors=True)


def submitted(env: dict[str, str], folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    words = ["ray", "job", "submit", "--", "bash", "-c", f"cd {folder} && {command}"]
    return subprocess.run(words, env=env, cwd="/", capture_output=True, text=True, timeout=400)


def test_stages_submitted_as_jobs_leave_the_same_bytes(cluster, copy):
    made = ["data/split.json", "data/arrays/mask", "models/raw", "results/train/raw"]
    before = hashes(copy, made)
    (copy / "data/split.json").unlink()
    for folder in ("data/arrays/mask", "models/raw", "results/train/raw", "runs/train"):
        shutil.rmtree(copy / folder)

    done = submitted(cluster, copy, "python -m pipelines.split && python -m pipelines.arrays --kind mask")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cases to train" in done.stdout
    done = submitted(cluster, copy, "python -m pipelines.train --input-mode raw")
    assert done.returncode == 0, done.stdout + done.stderr
    assert hashes(copy, made) == before

    refused = submitted(cluster, copy, "rm data/arrays/raw/index.json; python -m pipelines.train --input-mode raw")
    assert refused.returncode == 1  # Ray passes on that a job failed, and its words, not its exit code
    assert "error ST-02: data/arrays/raw/index.json" in refused.stdout


def test_without_the_token_no_job_runs_CL_08(cluster, copy, tmp_path):
    stranger = {**cluster, "HOME": str(tmp_path / "nobody"), "RAY_AUTH_MODE": "disabled"}
    done = submitted(stranger, copy, f"touch {tmp_path / 'was-here'}")
    assert done.returncode != 0
    assert "401" in done.stdout + done.stderr or "Unauthorized" in done.stdout + done.stderr
    assert not (tmp_path / "was-here").exists()
    assert (Path(cluster["HOME"]) / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
