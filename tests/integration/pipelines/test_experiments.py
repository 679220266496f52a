"""Experiments of DVC: in a folder that DVC deletes, with the project's own stores, and never the default model."""

import shutil
from pathlib import Path

import pytest
import yaml
from tiny_project import run

from femseg.services.tracking.address import local_uri
from femseg.services.tracking.connect import connect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.filterwarnings("ignore"),
]  # MLflow warns of itself
FEWER = ("-S", "train.learning_rate=3e-5", "-S", "train.max_iterations=5")


@pytest.fixture(scope="module")
def experimented(project, tmp_path_factory) -> Path:
    """A finished project in which an experiment has run in a temporary workspace, with a few iterations."""
    folder = tmp_path_factory.mktemp("experiment") / "project"
    shutil.copytree(project, folder, symlinks=True)
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "Run the pipeline")
    run(folder, "dvc", "exp", "run", "--temp", "--name", "fewer", *FEWER)
    return folder


def test_an_experiment_in_a_temporary_workspace_leaves_run_curves_and_checkpoints_in_the_project(experimented):
    assert not list((experimented / ".dvc/tmp/exps").glob("tmp*/"))
    client, experiment = connect(local_uri(experimented / "mlruns/mlflow.db"))
    runs = client.search_runs([experiment], "tags.dvc_experiment = 'fewer' and tags.stage = 'train'")
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.params["train.learning_rate"] for run in runs} == {"3e-05"}
    for one in runs:
        assert one.info.artifact_uri.startswith((experimented / "mlruns/artifacts").as_uri())
        assert len(client.get_metric_history(one.info.run_id, "train_dice_loss")) == 5
    kept = [folder for folder in (experimented / "runs/train").iterdir() if list(folder.glob("mlflow-run-*"))]
    assert len(kept) == 4  # of each input mode the first training and the experiment's


ONE_STAGE = """
from pathlib import Path
from femseg.paths import TRAIN_RUNS, project_root
from femseg.services.tracking.connect import connect, end_run, stage_tags, start_run
client, experiment = connect()
end_run(client, start_run(client, experiment, name="one", params={}, tags=stage_tags("one")), "FINISHED")
Path("where.txt").write_text(f"{project_root() / TRAIN_RUNS}")
"""


def test_experiments_of_the_queue_use_the_project_s_own_stores_too(tmp_path):
    folder = tmp_path / "queued"
    folder.mkdir()
    (folder / "params.yaml").write_text("rate: 1\n")
    (folder / "stage.py").write_text(ONE_STAGE)
    (folder / ".gitignore").write_text("/mlruns\n/where.txt\n")
    stage = {"cmd": "python -W ignore stage.py", "params": ["rate"], "outs": ["where.txt"]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": stage}}))
    for command in (
        ["git", "init", "-q"],
        ["dvc", "init", "-q"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "Begin"],
    ):
        run(folder, *command)
    for rate in ("2", "3"):
        run(folder, "dvc", "exp", "run", "--queue", "--name", f"rate-{rate}", "-S", f"rate={rate}")
    run(folder, "dvc", "exp", "run", "--run-all")
    client, experiment = connect(local_uri(folder / "mlruns/mlflow.db"))
    runs = client.search_runs([experiment])
    assert {one.data.tags["dvc_experiment"] for one in runs} == {"rate-2", "rate-3"}
    for one in runs:
        assert one.info.artifact_uri.startswith((folder / "mlruns/artifacts").as_uri())
    run(folder, "dvc", "exp", "apply", "rate-3")
    assert Path((folder / "where.txt").read_text()) == folder / "runs/train"


def test_an_experiment_registers_nothing_and_what_is_applied_becomes_no_challenger_unless_better(experimented):
    client, _ = connect(local_uri(experimented / "mlruns/mlflow.db"))
    assert [version.version for version in client.search_model_versions("name = 'femseg'")] == [1]
    run(experimented, "dvc", "exp", "apply", "fewer")
    said = run(experimented, "python", "-m", "pipelines.register").stdout
    assert "models:/femseg/2 (registered)" in said
    assert "challenger stays version 1" in said
    assert int(client.get_model_version_by_alias("femseg", "challenger").version) == 1
    assert "challenger is version 2" in run(experimented, "femseg", "challenger", "2").stdout
    assert int(client.get_model_version_by_alias("femseg", "challenger").version) == 2
