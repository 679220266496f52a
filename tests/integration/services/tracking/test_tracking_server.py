"""A real `mlflow server` on SQLite that freezes, dies and comes back while a run is recorded."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from servers.curves_in_mlflow import history
from servers.mlflow_server import mlflow_server

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.services.tracking.connect import BackgroundRecorder, connect, resumable_run, run_with_true_status, start_run
from femseg.services.tracking.store import store_time_s

from .outage import is_whole, train_through

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    bounds = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with pytest.MonkeyPatch.context() as patch, mlflow_server(tmp_path_factory.mktemp("server")) as started:
        for name, value in bounds.items():
            patch.setenv(name, value)  # shorter than a user's, for shorter tests
        yield started


def test_a_run_is_recorded_whole_though_its_server_freezes_and_is_killed_under_load_TK_02_TK_03(server, tmp_path):
    client, experiment_id = connect(server.uri)
    run_id = start_run(client, experiment_id, name="run", params={})
    events = [server.freeze, server.thaw, server.kill, server.start]
    outage = train_through(server.uri, run_id, tmp_path, events, steps_between=150, step_s=0.01)
    assert outage.longest_wait_s < 1
    assert is_whole(client, run_id, 5 * 150)
    assert any("answers again" in line for line in outage.said)


def killed_worker(folder: Path) -> None:
    """A worker that is killed with points that nobody has sent."""
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from femseg.services.tracking.metric_spool import SPOOL, PointSpool\n"
        "spool = PointSpool(Path(sys.argv[1]) / SPOOL)\n"
        "for step in range(50): spool.add('loss', step / 8, step=step)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, folder]).returncode == -signal.SIGKILL


def test_what_a_killed_worker_had_not_sent_is_replayed_once_by_the_next_TK_02(server, tmp_path):
    client, experiment_id = connect(server.uri)
    run_id = start_run(client, experiment_id, name="run", params={})
    killed_worker(tmp_path)
    for _ in range(2):
        recorder = BackgroundRecorder(server.uri, run_id, tmp_path, say=print)
        for step in range(40, 60):  # trained again from the last checkpoint on
            recorder.metric("loss", step / 8, step=step)
        recorder.close(60)
    assert history(client, run_id, "loss") == [(step, step / 8) for step in range(60)]


def test_a_server_that_is_away_when_a_run_ends_is_refused_and_the_same_command_ends_it_TK_01_TK_06(server, tmp_path):
    client, experiment_id = connect(server.uri)
    words = {"folder": tmp_path, "name": "run", "params": {"seed": 1}}
    run_id = resumable_run(client, experiment_id, **words)
    with pytest.raises(Refusal) as refused, run_with_true_status(client, run_id):
        server.freeze()
        client.log_metric(run_id, "dice", 0.5)
    server.thaw()
    assert refused.value.exit_code == ExitCode.SERVICE_DOWN
    assert resumable_run(client, experiment_id, **words) == run_id
    with run_with_true_status(client, run_id):
        pass
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_server_that_is_frozen_at_the_start_is_refused_within_10_s_TK_01(server):
    server.freeze()
    try:
        with pytest.raises(Refusal) as refused:
            connect(server.uri)
    finally:
        server.thaw()
    assert refused.value.exit_code == ExitCode.SERVICE_DOWN


def test_all_who_use_a_server_go_by_its_clock_TR_17(server):
    assert store_time_s(server.uri) % 1 == 0  # a server's Date has whole seconds, our own clock has not
    assert abs(store_time_s(server.uri) - time.time()) < 30
