"""Every stage as a job of a two-node cluster, with the code uploaded and the data in a folder that nodes share."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient
from own_cluster import OwnCluster, own_cluster
from processes import ended, start, wait_until
from servers.runs_in_mlflow import run_id_of
from tiny_project import changed, copy_of_the_working_tree

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow warns of itself
FEMSEG = [sys.executable, "-c", "from femseg.cli.main import main; main()"]
CHAIN = (
    "cohort",
    "arrays --kind raw",
    "arrays --kind gradient",
    "arrays --kind mask",
    "split",
    "search",
    "train --input-mode raw",
    "train --input-mode gradient",
    "evaluate --input-mode raw",
    "evaluate --input-mode gradient",
    "compare",
    "register",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return copy_of_the_working_tree(tmp_path_factory.mktemp("jobs") / "project")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[OwnCluster]:
    with own_cluster(tmp_path_factory.mktemp("own"), nodes=2) as running:
        yield running


@pytest.fixture(scope="module")
def data(project, cluster) -> Path:
    """After the whole chain, one job for each stage."""
    folder = project.parent / "data"
    folder.mkdir()
    changed(project / "params.yaml", {"train": {"workers": 2}})
    for stage in CHAIN:
        done = submitted(cluster, project, folder, stage)
        assert done.returncode == 0, f"{stage}\n{done.stdout}\n{done.stderr}"
    return folder


def command(folder: Path, stage: str) -> list[str]:
    return [*FEMSEG, "submit", "--folder", str(folder), "--", "python", "-m", *f"pipelines.{stage}".split()]


def submitted(cluster: OwnCluster, project: Path, folder: Path, stage: str) -> subprocess.CompletedProcess[str]:
    words = command(folder, stage)
    return subprocess.run(words, env=cluster.inside, cwd=project, capture_output=True, text=True, timeout=500)


def test_the_chain_leaves_packages_a_report_and_a_registered_model(data):
    made = ["models/raw/model.json", "models/gradient/model.json", "reports/comparison.html", "mlruns/mlflow.db"]
    assert [name for name in made if not (data / name).exists()] == []
    assert not (data / "platform").exists()  # the code was uploaded, not left there
    assert MlflowClient(f"sqlite:///{data / 'mlruns/mlflow.db'}").search_registered_models()


def test_a_job_ends_with_its_commands_own_exit_code(cluster, project, tmp_path):
    done = submitted(cluster, project, tmp_path, "split")
    assert done.returncode == 4
    assert "error ST-02: data/cohort/manifest.json: is missing" in done.stdout


def test_a_stopped_job_leaves_a_checkpoint_and_goes_on_when_submitted_again_TR_06(cluster, project, data, tmp_path):
    changed(project / "params.yaml", {"train": {"max_iterations": 600, "validate_every": 300, "checkpoint_every": 300}})
    log = tmp_path / "log.txt"
    process = start(command(data, "train --input-mode raw"), env=cluster.inside, cwd=project, log=log)

    def iterations() -> int:
        return max((f.read_bytes().count(b"\n") for f in data.glob("runs/train/raw-*/curve.jsonl")), default=0)

    wait_until(lambda: iterations() > 40, process, log, 240)
    said = log.read_text()
    assert "train raw: " in said  # the log comes while the job runs
    job = re.search(r"raysubmit_\w+", said).group()
    words = [sys.executable, "-m", "ray.scripts.scripts", "job", "stop", job]
    subprocess.run(words, env=cluster.inside, check=True, capture_output=True, timeout=120)
    assert ended(process, log, 120) == 75
    newest = max(data.glob("runs/train/raw-*/curve.jsonl"), key=os.path.getmtime).parent
    (kept,) = (int(file.parent.name.removeprefix("step-")) for file in newest.glob("step-*/COMMIT"))
    assert kept == iterations() < 300
    assert "error TR-06" in log.read_text()
    client = MlflowClient(f"sqlite:///{data / 'mlruns/mlflow.db'}")
    run_id = run_id_of(client, newest)
    assert client.get_run(run_id).info.status == "KILLED"
    done = submitted(cluster, project, data, "train --input-mode raw")
    assert done.returncode == 0, done.stdout
    assert client.get_run(run_id).info.status == "FINISHED"
    assert len(client.get_metric_history(run_id, "train_dice_loss")) == 600


def test_without_the_token_nothing_is_submitted_CL_08(cluster, project, tmp_path):
    nobody = cluster.inside | {"RAY_AUTH_MODE": "disabled", "HOME": str(tmp_path)}
    words = command(tmp_path, "split")
    done = subprocess.run(words, env=nobody, cwd=project, capture_output=True, text=True, timeout=120)
    assert done.returncode == 9
    assert done.stderr.startswith("error CL-08: cluster: ")
    assert "Traceback" not in done.stderr


def test_submit_says_when_no_job_server_answers_CL_06(project, cluster, tmp_path):
    gone = cluster.env | {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1", "RAY_AUTH_MODE": "disabled"}
    words = command(tmp_path, "split")
    done = subprocess.run(words, env=gone, cwd=project, capture_output=True, text=True, timeout=240)
    assert done.returncode == 6
    assert done.stderr.startswith("error CL-06: cluster: ")


def test_submit_says_when_the_head_is_lost_in_the_middle_of_a_job_CL_06(project, tmp_path):
    with own_cluster(tmp_path) as cluster:
        words = [*FEMSEG, "submit", "--", "sh", "-c", "echo begun; sleep 600"]
        log = tmp_path / "log.txt"
        process = start(words, env=cluster.inside, cwd=project, log=log)
        wait_until(lambda: "begun\n" in log.read_text(), process, log, 240)
        for one in cluster.processes():
            with suppress(psutil.NoSuchProcess):  # it goes with the one before
                one.kill()
        assert ended(process, log, 120) == 6
    (line,) = [line for line in log.read_text().splitlines() if line.startswith("error")]
    assert line.startswith("error CL-06: cluster: the job server has said nothing of job raysubmit_")
    assert "Traceback" not in log.read_text()
