"""Stages as jobs of a Ray cluster that stays up, with token authentication, as submit-ray-jobs.md describes."""

import shutil
import subprocess
from pathlib import Path

import pytest
from own_cluster import own_cluster
from tiny_project import hashes

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(copy, tmp_path):
    """Gives the environment in which jobs are submitted."""
    with own_cluster(tmp_path / "home", cpus=2, project=copy) as running:
        yield running.inside


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
