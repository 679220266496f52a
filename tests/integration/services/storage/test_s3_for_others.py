"""What else keeps its bytes in S3: DVC's remote and MLflow's artefacts, by the environment that femseg reads."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from processes import kill_tree, start, wait_until
from servers.s3_server import s3_server
from tiny_project import environment

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow warns of itself
BUCKET = "lab-femur"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as one:
        one.make_bucket(BUCKET)
        yield one


@pytest.fixture
def env(server, tmp_path) -> dict[str, str]:
    return environment(tmp_path) | server.env


def dvc(env, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["dvc", *words], env=env, cwd=folder, capture_output=True, text=True, timeout=300)


def test_dvc_pushes_to_s3_and_pulls_what_it_pushed_but_nothing_altered_ST_04(server, env, tmp_path):
    project, array = tmp_path / "project", tmp_path / "project/array.npy"
    project.mkdir()
    array.write_bytes(bytes(range(256)) * 64)
    for words in (
        ["init", "--no-scm"],
        ["remote", "add", "-d", "lab", f"s3://{BUCKET}/dvc"],
        ["remote", "modify", "lab", "verify", "true"],
        ["add", "array.npy"],
        ["push"],
    ):
        done = dvc(env, project, *words)
        assert done.returncode == 0, done.stderr
    assert not re.search("secret|tester", (project / ".dvc/config").read_text())

    def pulled_anew() -> subprocess.CompletedProcess[str]:
        array.unlink(missing_ok=True)
        subprocess.run(["rm", "-rf", str(project / ".dvc/cache")], check=True)
        return dvc(env, project, "pull")

    assert pulled_anew().returncode == 0
    assert array.read_bytes() == bytes(range(256)) * 64

    ((key, content),) = server.objects(BUCKET, "dvc/").items()
    server.put(BUCKET, key, content[:-1] + bytes([content[-1] ^ 1]))
    assert pulled_anew().returncode != 0
    assert not array.exists()


def test_mlflow_keeps_artefacts_in_s3_and_only_its_server_holds_the_keys(server, env, tmp_path, monkeypatch):
    log = tmp_path / "mlflow.txt"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}"]
    command += ["--artifacts-destination", f"s3://{BUCKET}/mlflow", "--host", "127.0.0.1", "--port", "0"]
    command += ["--workers", "1"]
    process = start(command, env=env | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, cwd=tmp_path, log=log)
    try:
        found = re.compile(r"running on (http://127\.0\.0\.1:\d+)")
        wait_until(lambda: bool(found.search(log.read_text())), process, log, 180)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        client = MlflowClient(found.search(log.read_text())[1])
        limit = time.monotonic() + 120
        while time.monotonic() < limit:
            try:
                run = client.create_run(client.create_experiment("femseg"))
                break
            except MlflowException:  # not up yet
                time.sleep(1)
        client.log_text(run.info.run_id, "trial,dice\n", "trials.csv")
        ((key, content),) = server.objects(BUCKET, "mlflow/").items()
        assert key.endswith(f"{run.info.run_id}/artifacts/trials.csv")
        assert content == b"trial,dice\n"
        fetched = client.download_artifacts(run.info.run_id, "trials.csv", str(tmp_path))
        assert Path(fetched).read_bytes() == content
    finally:
        kill_tree(process)
