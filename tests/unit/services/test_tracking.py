"""The MLflow store: where it is, one schema, every point once, a true status."""

import math
import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, nullcontext

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import ExitCode, Fault, Refusal
from femseg.services.tracking import (
    MlflowRecorder,
    connect,
    find_run,
    flat,
    redacted,
    resumable_run,
    run_with_true_status,
    start_run,
    tracking_uri,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> tuple[MlflowClient, str]:
    folder = tmp_path_factory.mktemp("store")
    return connect(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def run_id(store) -> str:
    client, experiment_id = store
    return start_run(client, experiment_id, name="run", params={"train": {"seed": 1}})


def history(client: MlflowClient, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run_id, name)]


def test_a_relative_sqlite_path_becomes_absolute_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here/mlflow.db")
    absolute = tracking_uri()
    assert absolute == f"sqlite:///{tmp_path}/here/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", absolute)
    monkeypatch.chdir("/")
    assert tracking_uri() == absolute


def test_the_store_lies_under_mlruns_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlruns/mlflow.db"


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "./mlruns", "/tmp/mlruns"])
def test_a_plain_file_store_is_refused_TK_09(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(Refusal) as refused:
        tracking_uri()
    assert refused.value.exit_code == ExitCode.USAGE
    assert "sqlite:///mlruns/mlflow.db" in str(refused.value)


def test_a_dice_curve_comes_back_from_the_store_as_it_was_sent(store, run_id):
    client, _ = store
    curve = [(n, 1 - 1 / (n + 3)) for n in range(1, 8)]
    recorder = MlflowRecorder(client, run_id)
    for step, dice in curve:
        recorder.metric("validation_dice", dice, step=step)
    recorder.flush()
    assert history(client, run_id, "validation_dice") == curve


def test_points_travel_in_batches_and_none_waits_for_ever(store, run_id):
    client, _ = store
    recorder = MlflowRecorder(client, run_id, batch=3, seconds=60)
    for step in (1, 2):
        recorder.metric("loss", 0.5, step=step)
    assert history(client, run_id, "loss") == []
    recorder.metric("loss", 0.25, step=3)
    assert history(client, run_id, "loss") == [(1, 0.5), (2, 0.5), (3, 0.25)]
    impatient = MlflowRecorder(client, run_id, seconds=0)
    impatient.metric("loss", 0.125, step=4)
    assert history(client, run_id, "loss")[-1] == (4, 0.125)


def test_a_resumed_run_sends_each_step_once_and_fills_gaps(store, run_id):
    client, _ = store
    for steps in ((1, 2, 3), (5, 6), range(1, 9)):  # a kill lost step 4; the run begins anew in the end
        recorder = MlflowRecorder(client, run_id)
        for step in steps:
            recorder.metric("loss", step / 8, step=step)
        recorder.flush()
    assert sorted(history(client, run_id, "loss")) == [(step, step / 8) for step in range(1, 9)]


@pytest.fixture
def refusing(store):
    """A switch: the store's table of metrics is out of reach, or back."""
    database = store[0].tracking_uri.removeprefix("sqlite:///")

    def switch(away: bool) -> None:
        old, new = ("metrics", "metrics_away") if away else ("metrics_away", "metrics")
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")

    return switch


def test_training_goes_on_while_the_store_is_out_of_reach_and_no_point_is_lost_TK_02(store, run_id, refusing):
    client, _ = store
    recorder = MlflowRecorder(client, run_id, batch=2, pause_s=0)
    recorder.metric("loss", 0.0, step=0)
    refusing(True)
    for step in range(1, 5):
        recorder.metric("loss", float(step), step=step)
    with pytest.raises(MlflowException):
        recorder.flush()
    refusing(False)
    recorder.flush()
    assert history(client, run_id, "loss") == [(step, float(step)) for step in range(5)]


def test_a_store_that_refused_is_left_alone_for_a_while(store, run_id, refusing):
    client, _ = store
    recorder = MlflowRecorder(client, run_id, batch=1, pause_s=60)
    recorder.metric("loss", 0.0, step=0)
    refusing(True)
    recorder.metric("loss", 1.0, step=1)
    refusing(False)
    recorder.metric("loss", 2.0, step=2)
    assert history(client, run_id, "loss") == [(0, 0.0)]
    recorder.flush()
    assert history(client, run_id, "loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_more_points_than_a_request_holds_are_sent_in_several(store, run_id):
    client, _ = store
    recorder = MlflowRecorder(client, run_id, batch=5000, seconds=60)
    for step in range(2100):
        recorder.metric("loss", float(step), step=step)
    recorder.flush()
    assert len(history(client, run_id, "loss")) == 2100


def test_a_store_that_is_gone_at_the_end_is_refused_TK_01(store, run_id):
    client, _ = store
    with pytest.raises(Refusal) as refused, run_with_true_status(client, run_id):
        raise MlflowException("connection lost")
    assert refused.value.exit_code == ExitCode.SERVICE_DOWN


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_becomes_a_tag_and_no_number_TK_07(store, run_id, value):
    client, _ = store
    recorder = MlflowRecorder(client, run_id)
    recorder.metric("loss", value, step=3)
    recorder.flush()
    assert history(client, run_id, "loss") == []
    assert client.get_run(run_id).data.tags["not_finite.loss"] == f"{value} at step 3"


def stopped() -> Refusal:
    return Refusal(Fault(id="TR-06", file="run", problem="stopped", fix="go on", exit_code=ExitCode.RESUMABLE))


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


def test_processes_that_meet_a_fresh_database_all_get_the_one_experiment_TK_04(tmp_path):
    code = "from femseg.services.tracking import connect; print(connect()[1])"
    env = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert len({out for out, _ in said}) == 1


@pytest.fixture
def silent_server():
    """Accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("kind", ["closed_port", "silent_server"])
def test_a_server_that_does_not_answer_is_refused_within_10_s_without_its_password_TK_01_SC_15(kind, request):
    port = request.getfixturevalue(kind)
    started = time.monotonic()
    with pytest.raises(Refusal) as refused:
        connect(f"http://doctor:secret@127.0.0.1:{port}")
    assert time.monotonic() - started < 10
    assert refused.value.exit_code == ExitCode.SERVICE_DOWN
    assert f"http://127.0.0.1:{port}" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "doctor" not in str(refused.value)


def test_a_store_in_a_file_that_is_no_database_is_refused_TK_01(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database " * 100)
    with pytest.raises(Refusal) as refused:
        connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert refused.value.exit_code == ExitCode.SERVICE_DOWN


def test_user_and_password_are_left_out_of_a_uri():
    assert redacted("https://u:p@host:5000/x") == "https://host:5000/x"
    assert redacted("sqlite:////a/b.db") == "sqlite:////a/b.db"
