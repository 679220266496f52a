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


def test_a_silent_rank_is_noticed_within_the_bound_and_replaced_TR_07(uninterrupted, shared):
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
