"""MLflow runs: a true status, taken up again, found by what they made."""

import os
import subprocess
import sys
from contextlib import nullcontext

import pytest
from mlflow.exceptions import MlflowException

from femseg.errors import Fault, Refusal
from femseg.faults import ExitCode
from femseg.services.tracking.connect import connect
from femseg.services.tracking.runs import (
    end_run,
    find_run,
    flat,
    log_dataset,
    resumable_run,
    run_with_true_status,
    start_run,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def test_a_store_that_is_gone_at_the_end_is_refused_TK_01(store, run_id):
    client, _ = store
    with pytest.raises(Refusal) as refused, run_with_true_status(client, run_id):
        raise MlflowException("connection lost")
    assert refused.value.exit_code == ExitCode.SERVICE_DOWN


def stopped() -> Refusal:
    return Refusal(Fault(id="TR-06", file="run", problem="stopped", fix="go on"))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(None, "FINISHED", id="no error"),
        pytest.param(ValueError("broken"), "FAILED", id="error"),
        pytest.param(Refusal(Fault(id="ST-02", file="a.npy", problem="torn", fix="pull")), "FAILED", id="refusal"),
        pytest.param(stopped(), "KILLED", id="TR-06 stopped by a signal"),
        pytest.param(KeyboardInterrupt(), "KILLED", id="TR-06 interrupted"),
        pytest.param(SystemExit(0), "KILLED", id="left early"),
    ],
)
def test_a_run_ends_with_a_true_status(store, run_id, error, status):
    client, _ = store
    with pytest.raises(type(error)) if error else nullcontext() as raised, run_with_true_status(client, run_id):
        if error:
            raise error
    assert not error or raised.value is error
    run = client.get_run(run_id)
    assert run.info.status == status
    assert ("end_reason" in run.data.tags) == (error is not None)


def test_sigterm_where_no_training_takes_it_ends_with_75_and_a_killed_run_TR_06(store, tmp_path):
    client, experiment_id = store
    run_id = start_run(client, experiment_id, name="run", params={})
    code = (
        "import sys, time; from femseg.exits import command_exit\n"
        "from femseg.services.tracking.connect import connect, run_with_true_status\n"
        "with command_exit(), run_with_true_status(connect()[0], sys.argv[1]):\n"
        "    print('ready', flush=True); time.sleep(60)"
    )
    env = os.environ | {"MLFLOW_TRACKING_URI": client.tracking_uri}
    with subprocess.Popen([sys.executable, "-c", code, run_id], env=env, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        _, said = process.communicate()
    assert process.returncode == ExitCode.RESUMABLE
    assert "error TR-06: run: was asked to stop" in said
    assert client.get_run(run_id).info.status == "KILLED"


@pytest.mark.parametrize("status", ["RUNNING", "KILLED", "FAILED"])
def test_an_open_run_is_taken_up_again(store, tmp_path, status):
    client, experiment_id = store
    words = {"folder": tmp_path, "name": "train-raw", "params": {"seed": 1}}
    first = resumable_run(client, experiment_id, **words)
    client.set_terminated(first, status)
    assert resumable_run(client, experiment_id, **words) == first
    assert client.get_run(first).info.status == "RUNNING"


def test_a_finished_run_is_left_as_it_is_TR_16(store, tmp_path):
    client, experiment_id = store
    words = {"folder": tmp_path, "name": "train-raw", "params": {"seed": 1}}
    first = resumable_run(client, experiment_id, **words)
    client.set_terminated(first, "FINISHED")
    assert resumable_run(client, experiment_id, **words) == first
    assert client.get_run(first).info.status == "FINISHED"


def test_a_run_that_the_store_does_not_know_is_made_anew(store, tmp_path):
    client, experiment_id = store
    words = {"folder": tmp_path, "name": "train-raw", "params": {"seed": 1}, "parent_run_id": "abc"}
    first = resumable_run(client, experiment_id, **words)
    client.delete_run(first)
    second = resumable_run(client, experiment_id, **words)
    assert second != first
    assert client.get_run(second).data.tags["mlflow.parentRunId"] == "abc"
    assert resumable_run(client, experiment_id, **words) == second


def test_only_finished_runs_are_found_by_tag(store):
    client, experiment_id = store
    run = start_run(client, experiment_id, name="t", params={}, tags={"package_sha256": "f00"})
    assert find_run(client, experiment_id, tag="package_sha256", value="f00") is None
    client.set_terminated(run, "FINISHED")
    assert find_run(client, experiment_id, tag="package_sha256", value="f00") == run


def test_nested_settings_become_flat_parameters():
    assert flat({"train": {"seed": 1, "rungs": [2, 4]}, "mode": "raw"}) == {
        "train.seed": "1",
        "train.rungs": "[2, 4]",
        "mode": "raw",
    }


def test_how_a_run_ended_before_stays_with_it_when_it_is_taken_up(store, tmp_path):
    client, experiment_id = store
    words = {"folder": tmp_path, "name": "train-raw", "params": {}}
    run = resumable_run(client, experiment_id, **words)
    with pytest.raises(ValueError, match="broken"), run_with_true_status(client, run):
        raise ValueError("broken")
    assert resumable_run(client, experiment_id, **words) == run
    tags = client.get_run(run).data.tags
    assert tags["earlier_end_reason"] == "ValueError: broken"
    assert "end_reason" not in tags
    end_run(client, run, "FINISHED")
    assert client.get_run(run).info.status == "FINISHED"


def test_an_input_is_found_by_the_hash_that_dvc_gives_it_and_keeps_ours(store, run_id):
    client, experiment_id = store
    md5, ours = "0123456789abcdef0123456789abcdef.dir", "e" * 64
    for _ in range(2):  # a run that is taken up names its inputs again
        log_dataset(
            client, run_id, name="inputs", source="data/arrays/raw", digest=ours, context="training", dvc_md5=md5
        )
    (found,) = client.search_runs([experiment_id], f"dataset.digest = '{md5}'")
    (dataset,) = found.inputs.dataset_inputs
    assert found.info.run_id == run_id
    assert {tag.key: tag.value for tag in dataset.tags} == {
        "mlflow.data.context": "training",
        "sha256": ours,
        "dvc_md5": md5,
    }


def test_an_input_that_dvc_does_not_know_is_named_by_our_hash(store, run_id):
    client, _ = store
    log_dataset(client, run_id, name="split", source="data/split.json", digest="ab" * 32, context="training")
    (dataset,) = client.get_run(run_id).inputs.dataset_inputs
    assert dataset.dataset.digest == ("ab" * 32)[:36]


def test_a_folder_has_a_run_in_every_store(store, tmp_path):
    other = connect(f"sqlite:///{tmp_path / 'other.db'}")
    words = {"folder": tmp_path / "run", "name": "train-raw", "params": {}}
    here, there = (resumable_run(*place, **words) for place in (store, other))
    assert here != there
    assert resumable_run(*store, **words) == here
    assert resumable_run(*other, **words) == there
