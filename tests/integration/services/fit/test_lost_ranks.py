"""Ranks that fall silent or die again and again: noticed within a bound, counted, and no bit of the result changed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from processes import command_line, descendants, ended, wait_until
from ray_training import Training
from tiny_store import write_tiny_store

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow warns of itself
UNRULY = Path(__file__).with_name("unruly_driver.py")
START_S = 240
BOUND_S = 15


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    return write_tiny_store(folder / "store"), folder / "mlflow.db", folder


@pytest.fixture(scope="module")
def uninterrupted(shared) -> dict:
    store, database, folder = shared
    return Training(folder / "whole", store, database).complete()


def ranks(process: subprocess.Popen[bytes]) -> list[int]:
    return [pid for pid in descendants(process.pid) if "RayTrainWorker" in command_line(pid)]


def all_started(training: Training, attempt: int) -> bool:
    return attempt == 0 or f"({attempt} of 3)" in log_of(training)


def log_of(training: Training) -> str:
    return Path(training.log).read_text()


def test_a_silent_rank_is_noticed_within_the_bound_and_replaced_TR_07_G6(uninterrupted, shared):
    store, database, folder = shared
    training = Training(folder / "silent", store, database, env={"RAY_TRAIN_COLLECTIVE_TIMEOUT_S": str(BOUND_S)})
    process = training.start()
    wait_until(lambda: training.iterations_done >= 50, process, training.log, START_S)
    silenced = ranks(process)
    os.kill(silenced[-1], signal.SIGSTOP)
    stopped_at = time.monotonic()
    wait_until(lambda: "a worker was lost" in log_of(training), process, training.log, START_S)
    noticed_s = time.monotonic() - stopped_at
    assert noticed_s < BOUND_S + 105  # the replacement's start included
    assert ended(process, training.log, 300) == 0, log_of(training)[-3000:]
    assert log_of(training).count("(1 of 3)") == 1
    assert not any(command_line(pid) for pid in silenced)
    assert training.outcome["sha256"] == uninterrupted["sha256"]
    assert training.outcome["losses"] == uninterrupted["losses"]


def gone(pids: list[int]) -> bool:
    return not any(command_line(pid) for pid in pids)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        pytest.param("raises", "rank 1: RuntimeError: gives up", id="TR_08 raises"),
        pytest.param(
            "ends", "rank 1: RuntimeError: training ended after 30 of 200 iterations", id="TR_08 returns early"
        ),
    ],
)
def test_one_rank_that_fails_stops_all_within_30_s_and_its_words_come_first(shared, what, says):
    store, database, folder = shared
    training = Training(folder / what, store, database, driver=UNRULY, first=[what])
    process = training.start()
    wait_until(lambda: any(training.folder.glob("raw-*/misbehaved")), process, training.log, START_S)
    workers, began = ranks(process), time.monotonic()
    while not gone(workers):
        assert time.monotonic() - began < 30
        time.sleep(0.1)
    assert ended(process, training.log, 120) == 7
    said = log_of(training)
    assert f"after 0 retries ({says})" in said
    assert f"the last good checkpoint is of iteration {training.checkpoints[-1]}" in said
    assert "Traceback" not in said


def test_a_lone_rank_that_sleeps_is_noticed_within_the_bound_and_replaced_TR_07(shared):
    store, database, folder = shared
    env = {"RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": str(BOUND_S)}
    training = Training(folder / "asleep", store, database, env=env, driver=UNRULY, first=["sleeps"])
    process = training.start("--workers", "1")
    wait_until(lambda: any(training.folder.glob("raw-*/misbehaved")), process, training.log, START_S)
    (asleep,), began = ranks(process), time.monotonic()
    wait_until(lambda: gone([asleep]), process, training.log, START_S)
    assert time.monotonic() - began < BOUND_S + 20
    assert ended(process, training.log, 300) == 0, log_of(training)[-3000:]
    assert log_of(training).count("(1 of 3)") == 1


def test_a_lone_rank_that_is_stopped_is_noticed_within_the_bound_and_replaced_TR_07(shared):
    store, database, folder = shared
    env = {"RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": str(BOUND_S)}
    training = Training(folder / "alone", store, database, env=env)
    process = training.start("--workers", "1")
    wait_until(lambda: training.iterations_done >= 50, process, training.log, START_S)
    (silenced,), began = ranks(process), time.monotonic()
    os.kill(silenced, signal.SIGSTOP)
    wait_until(lambda: gone([silenced]), process, training.log, START_S)
    assert time.monotonic() - began < BOUND_S + 60  # Ray asks it to let go first, and then waits some seconds
    assert ended(process, training.log, 300) == 0, log_of(training)[-3000:]
    assert log_of(training).count("(1 of 3)") == 1


def test_when_the_retries_are_spent_it_says_how_to_go_on_and_that_works_TR_15(uninterrupted, shared):
    store, database, folder = shared
    training = Training(folder / "unlucky", store, database)
    process = training.start()
    wait_until(lambda: training.iterations_done >= 25, process, training.log, START_S)
    for attempt in range(4):
        wait_until(lambda number=attempt: all_started(training, number), process, training.log, START_S)
        os.kill(ranks(process)[-1], signal.SIGKILL)
    assert ended(process, training.log, START_S) == 7
    said = log_of(training)
    assert "error TR-15" in said
    assert "after 3 retries" in said
    assert f"the last good checkpoint is of iteration {training.checkpoints[-1]}" in said
    assert "train_driver.py" in said.rpartition("go on with: ")[2]
    assert "Traceback" not in said
    assert training.complete()["sha256"] == uninterrupted["sha256"]
