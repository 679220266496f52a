"""A run that is RUNNING is alive: what died without a word is closed, what lives is not."""

import os
import subprocess
import sys
import threading
import time
from contextlib import nullcontext

import pytest

from femseg.files.lock import this_process
from femseg.services.tracking.connect import connect
from femseg.services.tracking.heartbeat import HEARTBEAT, OWNER, SILENT_S, close_dead_runs, heartbeat
from femseg.services.tracking.runs import end_run, run_with_true_status, start_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

ELSEWHERE = "host=node7 pid=1 began=1 boot=another namespace=pid:[1]"


def status(client, run_id: str) -> str:
    return client.get_run(run_id).info.status


def silent(store, seconds: float, *, owner: str = ELSEWHERE, parent: str | None = None) -> str:
    """A running run whose process gave its last sign of life so long ago."""
    client, experiment_id = store
    run_id = start_run(client, experiment_id, name="run", params={}, parent_run_id=parent)
    client.set_tag(run_id, OWNER, owner)
    client.set_tag(run_id, HEARTBEAT, str(int(time.time() - seconds)))
    return run_id


def test_a_run_whose_process_was_killed_is_closed_by_whoever_connects_next_TK_06(store):
    client, _ = store
    code = (
        "import os, signal; from femseg.services.tracking.connect import connect, start_run\n"
        "client, experiment = connect()\n"
        "print(start_run(client, experiment, name='run', params={}), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    env = os.environ | {"MLFLOW_TRACKING_URI": client.tracking_uri}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    (run_id,) = done.stdout.split()
    assert status(client, run_id) == "RUNNING"
    connect(client.tracking_uri)
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["end_reason"].startswith("process ")
    assert run.info.end_time >= run.info.start_time - 1000  # a heartbeat is a whole second


def test_a_run_of_a_living_process_stays_open_however_long_it_is_silent_TK_06(store):
    client, experiment_id = store
    run_id = silent(store, 10 * SILENT_S, owner=this_process())
    assert run_id not in close_dead_runs(client, experiment_id)
    assert status(client, run_id) == "RUNNING"


def test_a_process_that_took_the_number_of_a_dead_one_is_not_taken_for_it_TK_06(store):
    client, experiment_id = store
    run_id = silent(store, 0, owner=this_process().replace("began=", "began=1"))
    assert run_id in close_dead_runs(client, experiment_id)


@pytest.mark.parametrize(("silent_s", "dead"), [(SILENT_S - 60, False), (SILENT_S + 60, True)])
def test_a_run_on_another_host_is_dead_after_ten_silent_minutes_TK_06(store, silent_s, dead):
    client, experiment_id = store
    run_id = silent(store, silent_s)
    assert (run_id in close_dead_runs(client, experiment_id)) is dead
    assert status(client, run_id) == ("KILLED" if dead else "RUNNING")
    assert client.get_run(run_id).data.tags.get("end_reason", "node7").endswith("node7")


@pytest.mark.parametrize(("parent_silent_s", "dead"), [(0, False), (SILENT_S + 60, True)])
def test_a_nested_run_lives_as_long_as_the_run_above_it_TK_06(store, parent_silent_s, dead):
    client, experiment_id = store
    parent = silent(store, parent_silent_s)
    child = silent(store, SILENT_S + 60, parent=parent)
    assert (child in close_dead_runs(client, experiment_id)) is dead


def test_a_run_that_another_tool_made_is_left_alone_TK_06(store):
    client, experiment_id = store
    run_id = client.create_run(experiment_id, start_time=0).info.run_id
    close_dead_runs(client, experiment_id)
    assert status(client, run_id) == "RUNNING"


def test_a_finished_run_that_another_tool_left_open_is_finished_again_TK_06(store):
    client, experiment_id = store
    run_id = silent(store, SILENT_S + 60)
    end_run(client, run_id, "FINISHED")
    client.update_run(run_id, status="RUNNING")
    assert run_id in close_dead_runs(client, experiment_id)
    assert status(client, run_id) == "FINISHED"


def test_a_running_block_gives_signs_of_life_and_opens_its_run_again_TK_06(store):
    client, _ = store
    run_id = silent(store, SILENT_S + 60)
    client.set_terminated(run_id, "KILLED")
    with heartbeat(client, run_id, every_s=0.05):
        limit = time.monotonic() + 30
        while status(client, run_id) != "RUNNING" and time.monotonic() < limit:
            time.sleep(0.05)
    run = client.get_run(run_id)
    assert run.info.status == "RUNNING"
    assert time.time() - float(run.data.tags[HEARTBEAT]) < 60


def test_a_run_that_was_closed_for_dead_and_comes_back_ends_truly_with_its_nested_runs_TK_06(store):
    client, experiment_id = store
    parent = silent(store, SILENT_S + 60)
    child, ended = (silent(store, SILENT_S + 60, parent=parent) for _ in range(2))
    end_run(client, ended, "KILLED")
    assert {parent, child} <= set(close_dead_runs(client, experiment_id))
    with heartbeat(client, parent, every_s=0.05):
        limit = time.monotonic() + 30
        while {status(client, parent), status(client, child)} != {"RUNNING"} and time.monotonic() < limit:
            time.sleep(0.05)
    assert [status(client, run_id) for run_id in (parent, child, ended)] == ["RUNNING", "RUNNING", "KILLED"]
    end_run(client, parent, "FINISHED")
    run = client.get_run(parent)
    assert run.info.status == "FINISHED"
    assert "end_reason" not in run.data.tags
    assert run.data.tags["earlier_end_reason"].startswith("no sign of life")


@pytest.mark.parametrize(("error", "ends"), [(None, "FINISHED"), (ValueError("broken"), "FAILED")])
def test_a_run_closed_for_dead_that_ends_before_its_next_sign_of_life_ends_truly_TK_06(store, run_id, error, ends):
    client, experiment_id = store
    with (
        nullcontext() if error is None else pytest.raises(ValueError, match="broken"),
        run_with_true_status(client, run_id),
    ):
        client.set_tag(run_id, OWNER, ELSEWHERE)
        client.set_tag(run_id, HEARTBEAT, str(int(time.time() - SILENT_S - 60)))
        assert run_id in close_dead_runs(client, experiment_id)
        if error:
            raise error
    run = client.get_run(run_id)
    assert run.info.status == ends
    assert run.data.tags.get("end_reason", "") == ("ValueError: broken" if error else "")
    assert run.data.tags["earlier_end_reason"].startswith("no sign of life")
    assert abs(run.info.end_time / 1000 - time.time()) < 60


def test_no_sign_of_life_opens_a_run_that_has_ended(store, run_id):
    client, _ = store
    with run_with_true_status(client, run_id):
        pass
    assert status(client, run_id) == "FINISHED"
    assert not any(thread.name == "heartbeat" for thread in threading.enumerate())
