"""Training on two Ray nodes: one is drained, one is lost and comes back, the head is lost; the bits stay the same."""

import json
import shutil
import subprocess
import sys
from collections import Counter

import psutil
import pytest
from mlflow.tracking import MlflowClient
from own_cluster import OwnCluster, femseg, own_cluster
from processes import ended, wait_until
from ray_training import ITERATIONS, Training
from tiny_store import write_tiny_store

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow warns of itself
START_S = 240


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nodes")
    return write_tiny_store(folder / "store"), folder / "mlflow.db", folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with own_cluster(tmp_path_factory.mktemp("own"), "--nodes", "2", "--cpus", "1") as running:
        yield running


@pytest.fixture(scope="module")
def uninterrupted(cluster, shared) -> dict:
    store, database, folder = shared
    return Training(folder / "whole", store, database, env=cluster.inside).complete()


def node_ids(cluster: OwnCluster) -> list[str]:
    """The head's first."""
    return [node["node_id"] for node in json.loads(femseg(cluster.env, "cluster", "status", "--json").stdout)["nodes"]]


def add_node(cluster: OwnCluster, **env: str) -> None:
    done = femseg(cluster.env | env, "cluster", "add")
    assert done.returncode == 0, done.stderr


def kill_node(cluster: OwnCluster, number: int) -> None:
    """kill -9 of every process of a node, as when a machine is switched off."""
    first = psutil.Process(cluster.record["leaders"][number]["pid"])
    for process in (first, *first.children(recursive=True)):
        process.suspend()
        process.kill()


def assert_same_curve(training: Training, database, uninterrupted: dict) -> None:
    assert training.outcome["sha256"] == uninterrupted["sha256"]
    assert training.outcome["losses"] == uninterrupted["losses"]
    client = MlflowClient(f"sqlite:///{database}")
    points = client.get_metric_history(training.run_id, "train_dice_loss")
    assert Counter(point.step for point in points) == dict.fromkeys(range(1, ITERATIONS + 1), 1)
    assert client.get_run(training.run_id).info.status == "FINISHED"


def test_workers_leave_a_node_that_is_drained_and_no_retry_is_spent_CL_03(cluster, shared, uninterrupted):
    store, database, folder = shared
    training = Training(folder / "drained", store, database, env=cluster.inside)
    drained = node_ids(cluster)[1]
    process = training.start()
    wait_until(lambda: training.iterations_done >= 50, process, training.log, START_S)
    add_node(cluster)
    words = ["--node-id", drained, "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "test"]
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", cluster.inside["RAY_ADDRESS"]]
    command += [*words, "--deadline-remaining-seconds", "600"]
    done = subprocess.run(command, env=cluster.inside, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ended(process, training.log, 300) == 0, training.log.read_text()[-3000:]
    said = training.log.read_text()
    assert "a node is being taken away" in said
    assert "a worker was lost" not in said
    assert_same_curve(training, database, uninterrupted)


def test_a_node_that_is_lost_and_comes_back_costs_a_retry_and_no_bits(cluster, shared, uninterrupted):
    store, database, folder = shared
    while len(cluster.record["leaders"]) < 3:
        add_node(cluster)
    training = Training(folder / "lost", store, database, env=cluster.inside)
    process = training.start()
    wait_until(lambda: training.iterations_done >= 50, process, training.log, START_S)
    kill_node(cluster, len(cluster.record["leaders"]) - 1)
    add_node(cluster)
    assert ended(process, training.log, 400) == 0, training.log.read_text()[-3000:]
    assert "a worker was lost; all start again from the last checkpoint (1 of 3)" in training.log.read_text()
    assert_same_curve(training, database, uninterrupted)


def test_after_the_head_was_lost_the_same_command_goes_on_CL_02(cluster, shared, uninterrupted):
    store, database, folder = shared
    training = Training(folder / "headless", store, database, env=cluster.inside)
    process = training.start()
    wait_until(lambda: training.iterations_done >= 50, process, training.log, START_S)
    kill_node(cluster, 0)
    assert ended(process, training.log, 200) not in (0, 75)
    kept = training.checkpoints
    up = femseg(cluster.env, "cluster", "up", "--nodes", "2", "--cpus", "1")
    assert up.returncode == 0, up.stderr
    inside = dict(line.removeprefix("export ").split("=", 1) for line in up.stdout.splitlines() if "export " in line)
    training.env |= {name: value.strip("'") for name, value in inside.items()}
    training.log.unlink()
    training.complete()
    assert kept
    assert_same_curve(training, database, uninterrupted)


def test_a_node_with_other_software_is_refused_with_what_differs_CL_05(tmp_path, shared):
    store, database, _ = shared
    about = tmp_path / "odd" / "torch-1.13.0.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.13.0\n")
    with own_cluster(tmp_path, "--cpus", "1") as cluster:
        add_node(cluster, PYTHONPATH=f"{tmp_path / 'odd'}:{cluster.env['PYTHONPATH']}")
        training = Training(tmp_path / "mixed", store, database, env=cluster.inside)
        assert ended(training.start(), training.log, START_S) == 2
        said = training.log.read_text()
        assert said.count("error CL-05: train raw: torch differs: ") == 1
        assert "has 1.13.0" in said
        assert "Traceback" not in said
        assert training.iterations_done == 0
        shutil.rmtree(tmp_path / "odd")
