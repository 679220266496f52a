"""A stage that is killed and run again leaves the bytes of one that was not."""

import json
import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from processes import ended, kill_tree, start, wait_until
from servers.runs_in_mlflow import run_id_of
from tiny_project import changed, environment, hashes, run

from femseg.services.tracking.runs import KEY_FILE

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself


def started(project: Path, *command: str):
    return start(command, env=environment(project), cwd=project, log=project / "log.txt")


def test_arrays_killed_on_the_way_come_out_the_same_PP_06(copy):
    arrays = copy / "data/arrays/raw"
    before = hashes(copy, ["data/arrays/raw"])
    shutil.rmtree(arrays)
    process = started(copy, "python", "-m", "pipelines.arrays", "--kind", "raw")
    wait_until(lambda: any(arrays.glob("*.npy")), process, copy / "log.txt", 120)
    kill_tree(process)
    assert not (arrays / "index.json").exists()
    refused = run(copy, "python", "-m", "pipelines.search", rc=4)
    assert "data/arrays/raw/index.json" in refused.stderr
    run(copy, "python", "-m", "pipelines.arrays", "--kind", "raw")
    assert hashes(copy, ["data/arrays/raw"]) == before


def test_masks_are_arrays_of_the_same_stage(copy):
    before = hashes(copy, ["data/arrays/mask"])
    shutil.rmtree(copy / "data/arrays/mask")
    run(copy, "dvc", "checkout", "data/arrays/mask")
    assert hashes(copy, ["data/arrays/mask"]) == before


@pytest.mark.slow
def test_training_under_dvc_killed_on_the_way_goes_on_from_its_checkpoint_TR_02(copy):
    changed(copy / "params.yaml", {"train": {"max_iterations": 150, "learning_rate": 0.003}})
    run(copy, "dvc", "repro", "train@raw")
    (folder,) = [f for f in (copy / "runs/train").glob("raw-*") if (f / "step-000150").is_dir()]
    uninterrupted = hashes(copy, ["models/raw", "results/train/raw"])
    shutil.rmtree(folder)
    process = started(copy, "dvc", "repro", "--force", "--single-item", "train@raw")
    wait_until(lambda: any(folder.glob("step-*/COMMIT")), process, copy / "log.txt", 180)
    kill_tree(process)
    reached = max(int(path.parent.name.removeprefix("step-")) for path in folder.glob("step-*/COMMIT"))
    assert 0 < reached < 150
    done = run(copy, "dvc", "repro", "--force", "--single-item", "train@raw")
    assert f"going on after iteration {reached}" in done.stdout + done.stderr
    assert hashes(copy, ["models/raw", "results/train/raw"]) == uninterrupted


@pytest.mark.slow
def test_a_search_killed_then_interrupted_gives_the_table_of_one_that_was_not_SE_01(copy):
    changed(copy / "params.yaml", {"search": {"trials_per_mode": 2, "rungs": [40, 80]}})
    run(copy, "python", "-m", "pipelines.search")
    table = hashes(copy, ["results/search"])
    shutil.rmtree(copy / "runs/search")
    journals = lambda: sum(f.read_bytes().count(b"\n") for f in (copy / "runs/search").rglob("curve.jsonl"))  # noqa: E731

    process = started(copy, "python", "-m", "pipelines.search")
    wait_until(lambda: journals() > 60, process, copy / "log.txt", 180)
    kill_tree(process)
    changed(copy / "params.yaml", {"search": {"rungs": [40, 60]}})
    assert "rungs: added 60; removed 80" in run(copy, "python", "-m", "pipelines.search", rc=2).stderr  # SE-05
    changed(copy / "params.yaml", {"search": {"rungs": [40, 80]}})
    client = MlflowClient(f"sqlite:///{copy}/mlruns/mlflow.db")
    for times, (number, after) in enumerate(((signal.SIGINT, 130), (signal.SIGTERM, 180)), start=1):
        process = started(copy, "python", "-m", "pipelines.search")
        wait_until(lambda done=after: journals() > done, process, copy / "log.txt", 180)
        os.killpg(process.pid, number)  # as a terminal does, and as `timeout` and batch systems do
        assert ended(process, copy / "log.txt", 60) == 75
        assert (copy / "log.txt").read_text().count("error SE-01") == times
        folders = {path.parent for path in (copy / "runs/search").rglob(f"{KEY_FILE}*")}
        run_ids = [run_id_of(client, folder) for folder in folders]
        assert {client.get_run(run_id).info.status for run_id in run_ids} == {"KILLED"}
    assert "Traceback" not in (copy / "log.txt").read_text()

    run(copy, "python", "-m", "pipelines.search")
    assert hashes(copy, ["results/search"]) == table
    assert {client.get_run(run_id).info.status for run_id in run_ids} == {"FINISHED"}
    for run_id in run_ids:
        steps = Counter(point.step for point in client.get_metric_history(run_id, "train_dice_loss"))
        assert set(steps.values()) <= {1}


@pytest.mark.slow
def test_training_forced_anew_from_nothing_gives_the_same_bytes_G16(copy):
    before = hashes(copy, ["models/raw", "results/train/raw"])
    shutil.rmtree(copy / "runs")
    run(copy, "dvc", "repro", "--force", "--single-item", "train@raw")
    assert hashes(copy, ["models/raw", "results/train/raw"]) == before


@pytest.mark.slow
def test_an_experiment_of_other_settings_is_compared_with_the_first(copy):
    run(copy, "git", "add", "--all")
    run(copy, "git", "commit", "--quiet", "--message", "Run the pipeline")
    run(copy, "dvc", "exp", "run", "--name", "longer", "-S", "train.max_iterations=15")
    assert "longer" in run(copy, "dvc", "exp", "show", "--csv").stdout
    params = json.loads(run(copy, "dvc", "params", "diff", "--json").stdout)
    assert params["params.yaml"]["train.max_iterations"] == {"old": 10, "new": 15, "diff": 5}
    metrics = json.loads(run(copy, "dvc", "metrics", "diff", "--json").stdout)
    for mode in ("raw", "gradient"):
        dice = metrics[f"results/evaluate/{mode}/metrics.json"]["native.dice"]
        assert 0 <= dice["old"] <= 1
        assert dice["diff"] == pytest.approx(dice["new"] - dice["old"])
