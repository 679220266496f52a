"""Training on two of three Ray nodes: one is drained, one is lost, the head is lost; the bits stay the same."""

import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager

import psutil
import pytest
from mlflow.tracking import MlflowClient
from own_cluster import OwnCluster, own_cluster
from processes import ended, wait_until
from ray_training import Training
from tiny_store import write_tiny_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore"),  # MLflow warns of itself
]
START_S, END_S = 300, 550
ITERATIONS = 400


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nodes")
    return write_tiny_store(folder / "store"), folder / "mlflow.db", folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with own_cluster(tmp_path_factory.mktemp("own"), nodes=3) as running:
        yield running


@pytest.fixture(scope="module")
def uninterrupted(cluster, shared) -> dict:
    store, database, folder = shared
    return Training(folder / "whole", store, database, ITERATIONS, env=cluster.inside).complete()


def started(cluster: OwnCluster, shared, name: str) -> tuple[Training, subprocess.Popen[bytes]]:
    """A training that has made some iterations."""
    store, database, folder = shared
    env = cluster.inside | {"RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1"}
    training = Training(folder / name, store, database, ITERATIONS, env=env)
    process = training.start()
    wait_until(lambda: training.iterations_done >= 50, process, training.log, START_S)
    return training, process


def node_with_a_rank(cluster: OwnCluster) -> str:
    """One that is not the head."""
    head = next(node["node_id"] for node in cluster.listed("nodes") if node["is_head_node"])
    ranks = [one for one in cluster.listed("actors") if one["class_name"] == "RayTrainWorker"]
    return next(one["node_id"] for one in ranks if one["state"] == "ALIVE" and one["node_id"] != head)


@contextmanager
def paused(cluster: OwnCluster):
    """No rank comes any further."""
    ranks = [process for process in cluster.processes() if "RayTrainWorker" in " ".join(process.cmdline())]
    assert len(ranks) == 2
    for rank in ranks:
        rank.suspend()
    yield
    for rank in ranks:
        rank.resume()


def kill_processes(processes: list[psutil.Process]) -> None:
    """kill -9 of all at once, as when a machine is switched off."""
    for process in processes:
        process.suspend()
    for process in processes:
        process.kill()


def processes_of_node(cluster: OwnCluster, node_id: str) -> list[psutil.Process]:
    """Found by the raylet, of which each node has one; its parent started the node's other processes."""
    for leader in [psutil.Process(one.pid) for one in cluster.leaders if one.poll() is None]:
        below = leader.children(recursive=True)
        if any(node_id in " ".join(process.cmdline()) for process in below):
            return [leader, *below]
    raise AssertionError(f"no processes of node {node_id}")


def assert_same_curve(training: Training, database, uninterrupted: dict) -> None:
    assert training.outcome["sha256"] == uninterrupted["sha256"]
    assert training.outcome["losses"] == uninterrupted["losses"]
    client = MlflowClient(f"sqlite:///{database}")
    points = client.get_metric_history(training.run_id, "train_dice_loss")
    assert Counter(point.step for point in points) == dict.fromkeys(range(1, ITERATIONS + 1), 1)
    assert client.get_run(training.run_id).info.status == "FINISHED"


def test_workers_leave_a_node_that_is_drained_and_no_retry_is_spent_CL_03(cluster, shared, uninterrupted):
    training, process = started(cluster, shared, "drained")
    idle = {"PlacementGroupCleaner", "DatasetManager"}  # Ray Train starts them unless told otherwise
    assert not idle & {actor["class_name"] for actor in cluster.listed("actors")}
    words = [
        "--node-id",
        node_with_a_rank(cluster),
        "--reason",
        "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message",
        "x",
    ]
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", cluster.inside["RAY_ADDRESS"]]
    command += [*words, "--deadline-remaining-seconds", "600"]
    with paused(cluster):
        done = subprocess.run(command, env=cluster.inside, capture_output=True, text=True, timeout=80)
        time.sleep(3)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ended(process, training.log, END_S) == 0, training.log.read_text()[-3000:]
    said = training.log.read_text()
    assert "a node is being taken away" in said
    assert "a worker was lost" not in said
    assert_same_curve(training, shared[1], uninterrupted)


def test_a_node_that_is_lost_costs_a_retry_and_no_bits(cluster, shared, uninterrupted):
    cluster.add_node()  # for the one that was drained
    training, process = started(cluster, shared, "lost")
    kill_processes(processes_of_node(cluster, node_with_a_rank(cluster)))
    assert ended(process, training.log, END_S) == 0, training.log.read_text()[-3000:]
    assert "a worker was lost; all start again from the last checkpoint (1 of 3)" in training.log.read_text()
    assert_same_curve(training, shared[1], uninterrupted)


def test_after_the_head_was_lost_the_same_command_goes_on_CL_02_CL_06(cluster, shared, uninterrupted):
    training, process = started(cluster, shared, "headless")
    head = next(node["node_id"] for node in cluster.listed("nodes") if node["is_head_node"])
    kill_processes(processes_of_node(cluster, head))
    assert ended(process, training.log, END_S) == 6
    said = training.log.read_text()
    assert said.count("error CL-06: RAY_ADDRESS: the head of the cluster at ") == 1
    assert not any(words in said for words in ("Traceback", "GCS"))
    kept = training.checkpoints
    assert kept
    cluster.start_head()
    cluster.add_node()
    training.env |= cluster.inside
    training.complete()
    assert_same_curve(training, shared[1], uninterrupted)


def test_a_node_with_other_software_is_refused_with_what_differs_CL_05(tmp_path, shared):
    store, database, _ = shared
    about = tmp_path / "odd" / "torch-1.13.0.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.13.0\n")
    with own_cluster(tmp_path, several=True) as cluster:
        cluster.add_node(PYTHONPATH=f"{tmp_path / 'odd'}:{cluster.env['PYTHONPATH']}")
        training = Training(tmp_path / "mixed", store, database, env=cluster.inside)
        assert ended(training.start(), training.log, START_S) == 2
        said = training.log.read_text()
        assert said.count("error CL-05: train raw: torch differs: ") == 1
        assert "has 1.13.0" in said
        assert "Traceback" not in said
        assert training.iterations_done == 0
        shutil.rmtree(tmp_path / "odd")
