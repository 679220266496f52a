"""Search and training as submitted jobs of two hosts with nothing in common but S3 and the team's tracking server."""

import csv
import hashlib
import secrets
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from processes import ended, start, wait_until
from servers.curves_in_mlflow import history
from servers.mlflow_server import MlflowServer, team_server
from servers.runs_in_mlflow import run_id_with
from servers.s3_server import SECRET_KEY, S3Server, s3_server
from tiny_project import ROOT, changed, copy_of_the_working_tree, environment, run

from femseg.services.tracking.runs import KEY_FILE

from .own_hosts import OwnHost, own_hosts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000), pytest.mark.filterwarnings("ignore")]
BUCKET, JOB_S = "femseg", 580
FEMSEG = [sys.executable, "-c", "from femseg.cli.main import main; main()"]
ITERATIONS, CHECKPOINT_EVERY = 400, 40
SETTINGS = {
    "optimisation": {"precision": "float32"},  # other shares of a batch then change no more than its rounding
    "search": {"trials_per_mode": 2, "rungs": [100, 200]},
    "train": {"max_iterations": ITERATIONS, "validate_every": 80, "checkpoint_every": CHECKPOINT_EVERY, "workers": 2},
}


@dataclass(frozen=True, kw_only=True)
class Site:
    """Two hosts with a Ray node each; `env` is of whoever submits, from a machine that is none of them."""

    head: OwnHost
    other: OwnHost
    node_env: dict[str, str]
    env: dict[str, str]
    project: Path
    s3: S3Server
    mlflow: MlflowServer
    logs: Path

    def data(self, name: str) -> Path:
        """A data folder on the head's disk, as the stages before the search have left it."""
        folder = self.head.disk / name
        if not folder.exists():
            shutil.copytree(self.project / "data", folder / "data")
        return folder

    def submit(self, name: str, command: str) -> tuple[subprocess.Popen[bytes], Path]:
        """A stage in a data folder of this name, its checkpoints under the same name in S3."""
        self.data(name)
        changed(self.project / "params.yaml", {"storage": {"url": f"s3://{BUCKET}/{name}"}})
        log = self.logs / f"{name}-{command.split()[0].rpartition('.')[2]}-{len(list(self.logs.iterdir()))}.txt"
        words = [*FEMSEG, "submit", "--folder", f"/srv/{name}", "--", "python", "-m", *command.split()]
        return start(words, env=self.env, cwd=self.project, log=log), log

    def complete(self, name: str, command: str) -> str:
        process, log = self.submit(name, command)
        assert ended(process, log, JOB_S) == 0, log.read_text()[-4000:]
        return log.read_text()

    def committed(self, prefix: str) -> int:
        """Checkpoints that lie in S3 below a prefix."""
        listed = self.s3.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return sum(item["Key"].endswith("/COMMIT") for item in listed)

    def runs(self, name: str) -> dict[str, str]:
        """MLflow run ids of the run folders in S3 under a data folder's name: `train/…`, or of the search."""
        prefix = f"{name}/runs/"
        names = [key.removeprefix(prefix).partition(f"/{KEY_FILE}") for key in self.s3.objects(BUCKET, prefix)]
        return {folder: run_id_with(self.client, key) for folder, mark, key in names if mark}

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.mlflow.uri)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    project, keys, logs = folder / "project", folder / "keys", folder / "logs"
    copy_of_the_working_tree(project)
    changed(project / "params.yaml", SETTINGS)
    for stage in ("cohort", "arrays --kind raw", "arrays --kind gradient", "arrays --kind mask", "split"):
        run(project, sys.executable, "-m", *f"pipelines.{stage}".split())
    logs.mkdir()
    keys.mkdir(mode=0o700)
    (keys / "ray_token").touch(mode=0o600)
    (keys / "ray_token").write_text(secrets.token_hex(32))
    with ExitStack() as stack:
        here, (head, other) = stack.enter_context(own_hosts(folder, keys, count=2))
        s3 = stack.enter_context(s3_server(folder, host=here))
        for bucket in (BUCKET, "mlflow"):
            s3.make_bucket(bucket)
        (folder / "team").mkdir()
        mlflow, _ = stack.enter_context(team_server(folder / "team", artifacts="s3://mlflow", env=s3.env, host=here))
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in mlflow.credentials().items():
            patched.setenv(name, value)
        (keys / "mlflow_password").touch(mode=0o600)
        (keys / "mlflow_password").write_text(mlflow.password)
        stranger = {k: v for k, v in environment(project).items() if k != "PYTHONPATH"}
        services = s3.env | {"MLFLOW_TRACKING_URI": mlflow.uri, "FEMSEG_TRACKING_INSECURE": "1"}
        node_env = {k: v for k, v in stranger.items() if not k.startswith("AWS_")} | services
        for host, kind in ((head, "head"), (other, "worker")):
            host.with_empty_disk()
            host.start_node(kind, head, node_env)
        access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(keys / "ray_token")}
        env = environment(ROOT) | access | {"RAY_API_SERVER_ADDRESS": f"http://{head.address}:8265"}
        yield Site(head=head, other=other, node_env=node_env, env=env, project=project, s3=s3, mlflow=mlflow, logs=logs)


def sha256s(folder: Path, *patterns: str) -> dict[str, str]:
    files = [file for pattern in patterns for file in folder.glob(pattern)]
    assert files
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def whole(site) -> Path:
    """What an uninterrupted search and training leave."""
    site.complete("whole", "pipelines.search")
    said = site.complete("whole", "pipelines.train --input-mode raw")
    assert "a worker was lost" not in said
    return site.data("whole")


def switched_off_and_on_again(site: Site) -> None:
    """The other host, and all that was on its disk."""
    site.other.switch_off()
    site.other.start_node("worker", site.head, site.node_env)


def assert_same_curves(site: Site, *, trained: bool) -> dict[str, str]:
    """In MLflow, of the uninterrupted and the disturbed runs: every point is there, once, and the same.

    Returns the disturbed runs' ids.
    """
    expected, found = (
        {folder: run_id for folder, run_id in site.runs(name).items() if folder.startswith("train/") == trained}
        for name in ("whole", "disturbed")
    )
    assert found
    assert found.keys() == expected.keys()
    for folder, run_id in found.items():
        assert run_id != expected[folder]
        for curve in ("train_dice_loss", "validation_dice"):
            points = history(site.client, run_id, curve)
            assert points == history(site.client, expected[folder], curve)
            assert set(Counter(step for step, _ in points).values()) <= {1}
        assert site.client.get_run(run_id).info.status == "FINISHED"
    return found


def test_a_search_that_loses_a_host_ends_as_if_nothing_had_been(site, whole):
    process, log = site.submit("disturbed", "pipelines.search")
    wait_until(lambda: site.committed("disturbed/runs/") >= 1, process, log, JOB_S)
    switched_off_and_on_again(site)
    assert ended(process, log, JOB_S) == 0, log.read_text()[-4000:]
    assert "have ended before" not in log.read_text()
    tables = ("results/search/trials.csv", "results/search/curves.csv", "results/search/best.json")
    assert sha256s(site.data("disturbed"), *tables) == sha256s(whole, *tables)
    assert_same_curves(site, trained=False)


def test_a_training_that_loses_a_host_ends_as_if_nothing_had_been(site, whole):
    folder = site.data("disturbed")
    shutil.copytree(whole / "results/search", folder / "results/search", dirs_exist_ok=True)
    process, log = site.submit("disturbed", "pipelines.train --input-mode raw")
    wait_until(lambda: site.committed("disturbed/runs/train/") >= 2, process, log, JOB_S)
    switched_off_and_on_again(site)
    assert ended(process, log, JOB_S) == 0, log.read_text()[-4000:]
    assert "a worker was lost; all start again from the last checkpoint (1 of 3)" in log.read_text()
    made = ("models/raw/*.safetensors", "results/train/raw/*.csv")
    assert sha256s(folder, *made) == sha256s(whole, *made)
    (run_id,) = assert_same_curves(site, trained=True).values()
    assert [step for step, _ in history(site.client, run_id, "train_dice_loss")] == list(range(1, ITERATIONS + 1))
    said = "".join(file.read_text() for file in site.logs.iterdir())
    assert SECRET_KEY not in said
    assert site.mlflow.password not in said


def losses(folder: Path) -> list[float]:
    with (folder / "results/train/raw/training.csv").open() as file:
        return [float(row["train_dice_loss"]) for row in csv.DictReader(file)]


def test_a_training_that_loses_a_host_goes_on_with_one_worker_and_the_same_batches(site, whole):
    folder = site.data("fewer")
    shutil.copytree(whole / "results/search", folder / "results/search")
    changed(site.project / "params.yaml", {"train": {"least_workers": 1}})
    process, log = site.submit("fewer", "pipelines.train --input-mode raw")
    wait_until(lambda: site.committed("fewer/runs/train/") >= 2, process, log, JOB_S)
    site.other.switch_off()
    try:
        assert ended(process, log, JOB_S) == 0, log.read_text()[-4000:]
    finally:
        site.other.start_node("worker", site.head, site.node_env)
        changed(site.project / "params.yaml", {"train": {"least_workers": 0}})
    assert "training goes on with 1 of 2 workers" in log.read_text()
    assert losses(folder) == pytest.approx(losses(whole), rel=1e-2, abs=1e-3)
    (run_id,) = (run_id for folder, run_id in site.runs("fewer").items() if folder.startswith("train/"))
    assert [step for step, _ in history(site.client, run_id, "train_dice_loss")] == list(range(1, ITERATIONS + 1))


def test_when_the_head_is_lost_whoever_submitted_is_told_and_the_same_command_goes_on_CL_02_CL_06(site, whole):
    shutil.copytree(whole / "results/search", site.data("headless") / "results/search")
    process, log = site.submit("headless", "pipelines.train --input-mode raw")
    wait_until(lambda: site.committed("headless/runs/train/") >= 2, process, log, JOB_S)
    kept = site.data("whole").rename(site.logs.parent / "whole")
    for host in (site.head, site.other):
        host.switch_off()
    assert ended(process, log, JOB_S) == 6
    assert log.read_text().count("error CL-06: cluster: the job server has said nothing of job ") == 1
    assert "Traceback" not in log.read_text()
    kept.rename(site.head.disk / "whole")
    for host, kind in ((site.head, "head"), (site.other, "worker")):
        host.start_node(kind, site.head, site.node_env)
    shutil.copytree(whole / "results/search", site.data("headless") / "results/search")
    site.complete("headless", "pipelines.train --input-mode raw")
    made = ("models/raw/*.safetensors", "results/train/raw/*.csv")
    assert sha256s(site.data("headless"), *made) == sha256s(whole, *made)
    (run_id,) = (run_id for folder, run_id in site.runs("headless").items() if folder.startswith("train/"))
    points = history(site.client, run_id, "train_dice_loss")
    assert [step for step, _ in points] == list(range(1, ITERATIONS + 1))
    assert site.client.get_run(run_id).info.status == "FINISHED"
