"""Work without a server, bring it there later: the local store is the record until then."""

import subprocess
import sys

import pytest
import yaml
from mlflow.tracking import MlflowClient
from servers.curves_in_mlflow import history
from servers.mlflow_server import team_server
from tiny_project import TINY, environment

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow warns of itself


def test_the_same_commands_with_a_servers_address_bring_a_finished_run_and_its_model_there_TK_01(
    copy, tmp_path, monkeypatch
):
    (tmp_path / "team").mkdir()
    with team_server(tmp_path / "team") as (server, database):
        env = environment(copy) | server.credentials() | {"MLFLOW_TRACKING_URI": server.uri}
        for words in (("train", "--input-mode", "raw"), ("train", "--input-mode", "gradient"), ("register",)):
            done = subprocess.run(
                [sys.executable, "-m", f"pipelines.{words[0]}", *words[1:]],
                cwd=copy,
                env=env,
                capture_output=True,
                text=True,
                timeout=500,
            )
            assert done.returncode == 0, done.stderr
            assert words[0] == "register" or "already complete" in done.stdout
        for name, value in server.credentials().items():
            monkeypatch.setenv(name, value)
        client = MlflowClient(server.uri)
        experiment = client.get_experiment_by_name("femseg").experiment_id
        (run,) = client.search_runs([experiment], "tags.stage = 'train' and tags.input_mode = 'raw'")
        steps = [step for step, _ in history(client, run.info.run_id, "train_dice_loss")]
        assert run.info.status == "FINISHED"
        assert steps == list(range(1, TINY["train"]["max_iterations"] + 1))
        outs = yaml.safe_load((copy / "dvc.lock").read_text())["stages"]["arrays@raw"]["outs"]
        digests = {entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs}
        assert digests["inputs"] == outs[0]["md5"]
        assert client.get_model_version_by_alias("femseg", "challenger")
        texts = [path.read_text(errors="replace") for path in (copy / "runs").rglob("*.json*")]
        assert not any(server.password in text for text in [*texts, done.stdout, done.stderr, server.log])
        assert database.ask(f"SELECT count(*) FROM tags WHERE value LIKE '%{server.password}%'") == [(0,)]
