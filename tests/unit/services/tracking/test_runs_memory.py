"""Which run belongs to a folder is known whatever happens to the note of it, and no second run is made."""

import json
import os
import subprocess
import sys

import pytest
from fuzz.damage import cuts, flips

from femseg.services.tracking.runs import MEMORY, end_run, resumable_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
WORDS = {"name": "train-raw", "params": {"seed": 1}}
SOME = (12, 12)
ALL = (None, 1000)


def runs_there(store) -> set[str]:
    client, experiment_id = store
    return {run.info.run_id for run in client.search_runs([experiment_id], max_results=5000)}


@pytest.mark.parametrize(
    ("most", "count"),
    [pytest.param(*SOME, id="G3-some"), pytest.param(*ALL, id="G3-every-byte", marks=pytest.mark.slow)],
)
def test_a_note_cut_or_flipped_anywhere_is_named_and_written_anew_for_the_same_run_TR_04(store, tmp_path, most, count):
    run_id = resumable_run(*store, folder=tmp_path, **WORDS)
    note, before = tmp_path / MEMORY, runs_there(store)
    right = note.read_bytes()
    for wrong in (*cuts(right.rstrip(), most), *flips(right, count)):
        note.write_bytes(wrong)
        said: list[str] = []
        assert resumable_run(*store, folder=tmp_path, say=said.append, **WORDS) == run_id, wrong
        assert len(said) == 1
        assert said[0].startswith(f"warning TR-04: {note}: is torn or altered")
        assert note.read_bytes() == right
    assert runs_there(store) == before


def test_a_note_that_was_removed_is_written_anew_for_the_same_run_TR_04(store, tmp_path):
    run_id = resumable_run(*store, folder=tmp_path, **WORDS)
    end_run(store[0], run_id, "FINISHED")
    (tmp_path / MEMORY).unlink()
    assert resumable_run(*store, folder=tmp_path, say=pytest.fail, **WORDS) == run_id
    assert store[0].get_run(run_id).info.status == "FINISHED"


def test_a_process_killed_before_it_could_note_its_run_leaves_no_second_one_TR_02(store, tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from femseg.services.tracking import runs\n"
        "from femseg.services.tracking.connect import connect, resumable_run\n"
        "runs.RunMemory.write = lambda *words: os.kill(os.getpid(), signal.SIGKILL)\n"
        "resumable_run(*connect(), folder=Path(sys.argv[1]), name='train-raw', params={})"
    )
    before = runs_there(store)
    env = os.environ | {"MLFLOW_TRACKING_URI": store[0].tracking_uri}
    done = subprocess.run([sys.executable, "-c", code, tmp_path], env=env, timeout=120)
    assert done.returncode < 0
    (left,) = runs_there(store) - before
    assert resumable_run(*store, folder=tmp_path, **WORDS) == left


def test_a_folder_that_was_moved_knows_its_run_and_another_one_at_its_place_does_not_TR_04(store, tmp_path):
    first, moved = tmp_path / "raw-1", tmp_path / "elsewhere"
    run_id = resumable_run(*store, folder=first, **WORDS)
    first.rename(moved)
    (moved / MEMORY).write_text("{")
    assert resumable_run(*store, folder=first, **WORDS) != run_id
    assert resumable_run(*store, folder=moved, say=lambda line: None, **WORDS) == run_id


def test_a_torn_note_of_a_run_that_the_store_has_not_is_a_new_run_and_that_is_said_TR_04(store, tmp_path):
    store[0].delete_run(resumable_run(*store, folder=tmp_path, **WORDS))
    (tmp_path / MEMORY).write_bytes(b"")
    said: list[str] = []
    run_id = resumable_run(*store, folder=tmp_path, say=said.append, **WORDS)
    assert said[0].endswith("written anew, the store has no run of this folder")
    assert json.loads((tmp_path / MEMORY).read_text())["run_id"] == run_id
