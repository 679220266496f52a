"""Curves into MLflow: every point, once."""

import math
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from servers.curves_in_mlflow import history

from femseg.services.tracking.background_recorder import BackgroundRecorder
from femseg.services.tracking.metric_spool import PointSpool
from femseg.services.tracking.recorder import MlflowRecorder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def client(store) -> MlflowClient:
    return store[0]


@pytest.fixture
def database(client) -> str:
    return client.tracking_uri.removeprefix("sqlite:///")


@pytest.fixture
def refusing(database):
    """A switch: the store's table of metrics is out of reach, or back."""

    def switch(away: bool) -> None:
        old, new = ("metrics", "metrics_away") if away else ("metrics_away", "metrics")
        with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")

    return switch


def until(condition, seconds: float = 30) -> bool:
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.05)
    return condition()


def test_a_dice_curve_comes_back_from_the_store_as_it_was_sent(client, run_id):
    curve = [(n, 1 - 1 / (n + 3)) for n in range(1, 8)]
    recorder = MlflowRecorder(client, run_id)
    for step, dice in curve:
        recorder.metric("validation_dice", dice, step=step)
    recorder.flush()
    assert history(client, run_id, "validation_dice") == curve


def test_a_resumed_run_sends_each_step_once_and_fills_gaps(client, run_id):
    for steps in ((1, 2, 3), (5, 6), range(1, 9)):  # a kill lost step 4; the run begins anew in the end
        recorder = MlflowRecorder(client, run_id)
        for step in steps:
            recorder.metric("loss", step / 8, step=step)
        recorder.flush()
    assert history(client, run_id, "loss") == [(step, step / 8) for step in range(1, 9)]


def test_a_store_that_refuses_loses_no_point_TK_02(client, run_id, refusing):
    recorder = MlflowRecorder(client, run_id)
    recorder.metric("loss", 0.0, step=0)
    recorder.flush()
    refusing(True)
    for step in range(1, 5):
        recorder.metric("loss", float(step), step=step)
    with pytest.raises(MlflowException):
        recorder.flush()
    refusing(False)
    recorder.flush()
    assert history(client, run_id, "loss") == [(step, float(step)) for step in range(5)]


def test_points_that_the_store_took_without_saying_so_are_not_there_twice_TK_03(client, run_id):
    class Deaf(MlflowClient):
        """The store takes the first batch; the connection breaks before it says so."""

        broken = False

        def log_batch(self, *args, **words):
            super().log_batch(*args, **words)
            if not self.broken:
                self.broken = True
                raise MlflowException("connection reset")

    recorder = MlflowRecorder(Deaf(client.tracking_uri), run_id)
    recorder.metric("loss", 0.1, step=1)
    with pytest.raises(MlflowException):
        recorder.flush()
    recorder.metric("loss", 0.2, step=2)
    recorder.flush()
    assert history(client, run_id, "loss") == [(1, 0.1), (2, 0.2)]


def test_more_points_than_a_request_holds_are_sent_in_several(client, run_id):
    recorder = MlflowRecorder(client, run_id)
    for step in range(2100):
        recorder.metric("loss", float(step), step=step)
    recorder.flush()
    assert len(history(client, run_id, "loss")) == 2100


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_becomes_a_tag_and_no_number_TK_07(client, run_id, value):
    recorder = MlflowRecorder(client, run_id)
    recorder.metric("loss", value, step=3)
    recorder.flush()
    recorder.metric("loss", value, step=5)
    recorder.metric("loss", 0.5, step=6)
    recorder.flush()
    assert history(client, run_id, "loss") == [(6, 0.5)]
    assert client.get_run(run_id).data.tags["not_finite.loss"] == f"{value} at step 3; {value} at step 5"


def test_numbers_reach_the_store_by_the_recorder_alone_but_for_finite_test_metrics_TK_07():
    """Whatever else called `log_metric` could send a NaN. A new evaluation of a run replaces the numbers of the old."""
    root = Path(__file__).parents[4]
    doors = [
        path.relative_to(root).as_posix()
        for folder in ("platform", "pipelines")
        for path in (root / folder).rglob("*.py")
        if re.search(r"\.log_metrics?\(|metrics=metrics", path.read_text())
    ]
    assert doors == ["platform/femseg/services/tracking/recorder.py", "pipelines/register.py"]
    assert "math.isfinite(mean)" in (root / "pipelines/register.py").read_text()


def test_points_arrive_while_training_goes_on(client, run_id, tmp_path):
    recorder = BackgroundRecorder(client.tracking_uri, run_id, tmp_path, say=print, every_s=0.1)
    recorder.metric("loss", 0.5, step=1)
    assert until(lambda: history(client, run_id, "loss") == [(1, 0.5)])
    recorder.metric("loss", 0.25, step=2)
    recorder.close(30)
    assert history(client, run_id, "loss") == [(1, 0.5), (2, 0.25)]


def test_training_does_not_wait_for_a_locked_database_and_every_point_arrives_TK_05(client, run_id, database, tmp_path):
    recorder = BackgroundRecorder(client.tracking_uri, run_id, tmp_path, say=print, every_s=0.05)
    longest_s = 0.0
    with closing(sqlite3.connect(database, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for step in range(20):
            started = time.monotonic()
            recorder.metric("loss", float(step), step=step)
            longest_s = max(longest_s, time.monotonic() - started)
            time.sleep(0.05)
        other.rollback()
    recorder.close(60)
    assert longest_s < 1
    assert history(client, run_id, "loss") == [(step, float(step)) for step in range(20)]


@pytest.mark.slow
def test_a_database_locked_for_longer_than_anyone_waits_for_it_loses_no_point_TK_05(client, run_id, database, tmp_path):
    said: list[str] = []
    first = BackgroundRecorder(client.tracking_uri, run_id, tmp_path, say=said.append, every_s=0.05)
    with closing(sqlite3.connect(database, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        first.metric("loss", 0.5, step=1)
        assert until(lambda: "does not answer" in " ".join(said), 120)  # SQLite waits 20 s, and MLflow tries again
        first.close()  # a worker that ends while the lock is held
        assert said[-1].startswith("1 points wait")
        second = BackgroundRecorder(client.tracking_uri, run_id, tmp_path, say=said.append, every_s=0.05)
        second.metric("loss", 0.25, step=2)
        other.rollback()
    second.close(120)
    assert history(client, run_id, "loss") == [(1, 0.5), (2, 0.25)]


def test_a_store_that_fails_is_asked_again_and_the_log_says_so_twice_TK_05(client, run_id, refusing, tmp_path):
    said: list[str] = []
    recorder = BackgroundRecorder(client.tracking_uri, run_id, tmp_path, say=said.append, every_s=0.02)
    refusing(True)
    recorder.metric("loss", 0.5, step=1)
    assert until(lambda: len(said) == 1)
    refusing(False)
    assert until(lambda: len(said) == 2)
    recorder.close(30)
    assert history(client, run_id, "loss") == [(1, 0.5)]
    assert "does not answer" in said[0]
    assert "answers again" in said[1]


def test_what_still_waits_when_a_worker_ends_is_sent_by_the_next_one_TK_02(client, run_id, refusing, tmp_path):
    said: list[str] = []
    refusing(True)
    first = BackgroundRecorder(client.tracking_uri, run_id, tmp_path, say=said.append)
    first.metric("loss", 0.5, step=1)
    first.close(30)
    refusing(False)
    assert said[-1].startswith("1 points wait")
    second = BackgroundRecorder(client.tracking_uri, run_id, tmp_path, say=said.append)
    second.metric("loss", 0.5, step=1)  # trained again after the last checkpoint
    second.metric("loss", 0.25, step=2)
    second.close(30)
    assert history(client, run_id, "loss") == [(1, 0.5), (2, 0.25)]


def test_a_run_goes_on_where_nobody_has_its_spool(client, run_id, tmp_path):
    here, elsewhere = PointSpool(tmp_path / "here.jsonl"), PointSpool(tmp_path / "elsewhere.jsonl")
    for spool, steps in ((here, (1, 2, 3)), (elsewhere, (2, 3, 4))):
        recorder = MlflowRecorder(client, run_id, spool)
        for step in steps:
            recorder.metric("loss", step / 8, step=step)
        recorder.flush()
    assert history(client, run_id, "loss") == [(step, step / 8) for step in (1, 2, 3, 4)]
