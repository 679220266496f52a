"""Which run belongs to a folder is known whatever happens to the process or the folder, and no second run is made."""

import os
import subprocess
import sys

import pytest

from femseg.services.tracking.runs import KEY_FILE, end_run, resumable_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
WORDS = {"name": "train-raw", "params": {"seed": 1}}


def runs_there(store) -> set[str]:
    client, experiment_id = store
    return {run.info.run_id for run in client.search_runs([experiment_id], max_results=5000)}


def test_a_finished_run_is_found_again_and_left_as_it_is_TR_04(store, tmp_path):
    run_id = resumable_run(*store, folder=tmp_path, **WORDS)
    end_run(store[0], run_id, "FINISHED")
    assert resumable_run(*store, folder=tmp_path, **WORDS) == run_id
    assert store[0].get_run(run_id).info.status == "FINISHED"


def test_nothing_is_in_the_key_s_file_that_a_cut_could_tear_TR_04(store, tmp_path):
    run_id = resumable_run(*store, folder=tmp_path, **WORDS)
    (key,) = tmp_path.glob(f"{KEY_FILE}*")
    assert key.stat().st_size == 0
    key.write_bytes(b"\0 what a broken disk left")
    assert resumable_run(*store, folder=tmp_path, **WORDS) == run_id


def test_a_process_killed_as_soon_as_its_run_was_made_leaves_no_second_one_TR_02(store, tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from mlflow.tracking import MlflowClient\n"
        "from femseg.services.tracking.connect import connect, resumable_run\n"
        "MlflowClient.log_batch = lambda *words, **more: os.kill(os.getpid(), signal.SIGKILL)\n"
        "resumable_run(*connect(), folder=Path(sys.argv[1]), name='train-raw', params={})"
    )
    before = runs_there(store)
    env = os.environ | {"MLFLOW_TRACKING_URI": store[0].tracking_uri}
    done = subprocess.run([sys.executable, "-c", code, tmp_path], env=env)
    assert done.returncode < 0
    (left,) = runs_there(store) - before
    assert resumable_run(*store, folder=tmp_path, **WORDS) == left


def test_a_folder_that_was_moved_knows_its_run_and_another_one_at_its_place_does_not_TR_04(store, tmp_path):
    first, moved = tmp_path / "raw-1", tmp_path / "elsewhere"
    run_id = resumable_run(*store, folder=first, **WORDS)
    first.rename(moved)
    assert resumable_run(*store, folder=first, **WORDS) != run_id
    assert resumable_run(*store, folder=moved, **WORDS) == run_id


def test_a_folder_whose_run_was_deleted_gets_a_new_one_TR_04(store, tmp_path):
    run_id = resumable_run(*store, folder=tmp_path, **WORDS)
    store[0].delete_run(run_id)
    assert resumable_run(*store, folder=tmp_path, **WORDS) != run_id


def test_a_folder_that_another_node_s_key_came_to_keeps_its_run_TR_04(store, tmp_path):
    run_id = resumable_run(*store, folder=tmp_path, **WORDS)
    (tmp_path / f"{KEY_FILE}{'0' * 32}").touch()
    assert resumable_run(*store, folder=tmp_path, **WORDS) == run_id
