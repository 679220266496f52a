"""Two real Ray workers: the same numbers as one process, and the same bits whatever happens on the way."""

import os
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from processes import command_line, descendants, ended, kill_tree, wait_until
from ray_training import ITERATIONS, Training
from tiny_store import SPLIT, write_tiny_store

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself
START_S = 300


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    return write_tiny_store(folder / "store"), folder / "mlflow.db", folder


@pytest.fixture(scope="module")
def uninterrupted(shared) -> Training:
    store, database, folder = shared
    training = Training(folder / "uninterrupted", store, database)
    training.complete()
    return training


def assert_curve_is_complete(training: Training, database: Path) -> None:
    client = MlflowClient(f"sqlite:///{database}")
    for name, steps in (
        ("train_dice_loss", range(1, ITERATIONS + 1)),
        ("learning_rate", range(1, ITERATIONS + 1)),
        ("validation_dice", range(20, ITERATIONS + 1, 20)),
    ):
        counted = Counter(point.step for point in client.get_metric_history(training.run_id, name))
        assert counted == dict.fromkeys(steps, 1), name
    points = client.get_metric_history(training.run_id, "train_dice_loss")
    assert [p.value for p in sorted(points, key=lambda p: p.step)] == training.outcome["losses"]
    assert client.get_run(training.run_id).info.status == "FINISHED"


def test_two_workers_train_as_one_process_does(uninterrupted, shared):
    store, database, folder = shared
    alone = Training(folder / "alone", store, database).complete("--alone")
    together = uninterrupted.outcome
    np.testing.assert_allclose(together["losses"][:20], alone["losses"][:20], rtol=1e-4)
    np.testing.assert_allclose(together["losses"], alone["losses"], atol=5e-3)
    assert together["validation_dice"] == pytest.approx(alone["validation_dice"], abs=0.02)
    assert together["losses"][-1] < 0.2 * together["losses"][0]


def test_the_curve_in_mlflow_has_one_point_for_each_iteration(uninterrupted, shared):
    assert_curve_is_complete(uninterrupted, shared[1])


def test_a_finished_run_started_again_trains_nothing_TR_16(uninterrupted, shared):
    before = uninterrupted.outcome
    assert uninterrupted.complete() == before
    assert_curve_is_complete(uninterrupted, shared[1])


def test_killed_then_stopped_then_started_again_it_ends_with_the_same_bits_TR_02_TR_06(uninterrupted, shared):
    store, database, folder = shared
    training = Training(folder / "killed", store, database)

    process = training.start()
    wait_until(lambda: training.iterations_done >= 50, process, training.log, START_S)
    kill_tree(process)
    assert 20 <= training.checkpoints[-1] < ITERATIONS
    client = MlflowClient(f"sqlite:///{database}")
    assert client.get_run(training.run_id).info.status == "RUNNING"

    process = training.start()
    wait_until(lambda: training.iterations_done >= 100, process, training.log, START_S)
    process.send_signal(signal.SIGTERM)
    assert ended(process, training.log, START_S) == 75
    assert "error TR-06" in training.log.read_text()
    assert "Traceback" not in training.log.read_text()
    assert training.checkpoints[-1] == training.iterations_done < ITERATIONS
    assert client.get_run(training.run_id).info.status == "KILLED"

    assert training.complete()["sha256"] == uninterrupted.outcome["sha256"]
    assert training.outcome["losses"] == uninterrupted.outcome["losses"]
    assert_curve_is_complete(training, database)


def test_an_altered_array_stops_all_ranks_with_its_name_TR_14(shared, tmp_path):
    training = Training(tmp_path / "altered", write_tiny_store(tmp_path / "store"), shared[1])
    broken = tmp_path / "store" / "raw" / f"{SPLIT.train[1]}.npy"
    content = bytearray(broken.read_bytes())
    content[-1] ^= 1
    broken.write_bytes(content)
    assert ended(training.start(), training.log, START_S) == 4
    said = training.log.read_text()
    assert said.count("error ST-02") == 1
    assert str(broken) in said
    assert "Traceback" not in said
    client = MlflowClient(f"sqlite:///{shared[1]}")
    assert client.get_run(training.run_id).info.status == "FAILED"


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_bits_stay_the_same_TR_01(uninterrupted, shared):
    store, database, folder = shared
    training = Training(folder / "worker", store, database)
    process = training.start()
    wait_until(lambda: training.iterations_done >= 50, process, training.log, START_S)
    workers = [pid for pid in descendants(process.pid) if "RayTrainWorker" in command_line(pid)]
    assert len(workers) == 2
    os.kill(workers[-1], signal.SIGKILL)
    assert ended(process, training.log, START_S) == 0, training.log.read_text()[-3000:]
    assert training.outcome["sha256"] == uninterrupted.outcome["sha256"]
    assert_curve_is_complete(training, database)


@pytest.mark.slow
def test_a_signal_to_the_whole_group_commits_a_checkpoint_and_says_how_to_go_on_TR_06(uninterrupted, shared):
    store, database, folder = shared
    training = Training(folder / "interrupted", store, database)
    for number, after in ((signal.SIGINT, 50), (signal.SIGTERM, 100)):  # as a terminal does, and as `timeout` does
        process = training.start()
        wait_until(lambda done=after: training.iterations_done >= done, process, training.log, START_S)
        os.killpg(process.pid, number)
        assert ended(process, training.log, START_S) == 75, training.log.read_text()[-3000:]
        assert training.checkpoints[-1] == training.iterations_done < ITERATIONS
        assert MlflowClient(f"sqlite:///{database}").get_run(training.run_id).info.status == "KILLED"
    assert "Traceback" not in training.log.read_text()
    assert training.complete()["sha256"] == uninterrupted.outcome["sha256"]
    assert_curve_is_complete(training, database)
