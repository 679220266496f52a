"""A small search on real Ray Tune: a table that the seed decides, runs with true statuses, test cases unseen."""

import os
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from processes import command_line, descendants, kill_tree, start, wait_until
from ray.util import placement_group_table
from tiny_store import SPLIT, write_tiny_store

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.search.halving import TrialResult, best_per_mode
from femseg.services.cluster.session import ray_session
from femseg.services.search.tune import refuse_failures
from femseg.services.tracking.connect import connect

from .search_driver import MODES, SETTINGS, Search

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray and MLflow warn of themselves
SUPPORT = Path(__file__).parents[3] / "support"
DRIVER = Path(__file__).with_name("search_driver.py")


@pytest.fixture(scope="module")
def new_search(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    store = write_tiny_store(folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("OMP_NUM_THREADS", "1")
        client, experiment_id = connect()

        def new(name: str, **words) -> Search:
            facts = {"store": store, "folder": folder / name, "client": client, "experiment_id": experiment_id}
            return Search(**(facts | words))

        with ray_session(cpus=2):
            yield new


@pytest.fixture(scope="module")
def finished(new_search) -> tuple[Search, list[TrialResult]]:
    search = new_search("finished")
    return search, search.results()


def test_every_trial_is_in_the_table_and_the_better_half_of_each_mode_goes_on(finished):
    _, results = finished
    assert [r.trial.trial_id for r in results] == ["gradient-00", "gradient-01", "raw-00", "raw-01"]
    for mode in MODES:
        mine = [r for r in results if r.trial.input_mode == mode]
        assert sorted(r.iterations for r in mine) == [60, 120]
    assert all(r.failure is None and 0 <= r.validation_dice <= 1 for r in results)
    assert set(best_per_mode(results)) == set(MODES)


def test_trials_are_nested_runs_that_have_ended_with_their_curves(finished):
    search, results = finished
    for result in results:
        run = search.run_of(result.trial.trial_id)
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == search.parent
        assert run.data.metrics["best_validation_dice"] == result.validation_dice
        assert search.steps_of(result.trial.trial_id) == dict.fromkeys(range(1, result.iterations + 1), 1)


def test_a_search_started_again_trains_no_trial_twice_SE_01(finished):
    search, results = finished
    states = search.checkpoints()
    assert search.results() == results
    assert search.checkpoints() == states
    for result in results:
        assert search.steps_of(result.trial.trial_id) == dict.fromkeys(range(1, result.iterations + 1), 1)
        run_id = search.run_of(result.trial.trial_id).info.run_id
        assert len(search.client.get_metric_history(run_id, "best_validation_dice")) == 1


def trial_processes() -> list[int]:
    """Ray's workers that train a trial now, of the session below this process."""
    return [pid for pid in descendants(os.getpid()) if command_line(pid).startswith("ray::ImplicitFunc.train")]


def all_free() -> bool:
    taken = [group for group in placement_group_table().values() if group["state"] != "REMOVED"]
    return not taken and ray.available_resources().get("CPU", 0) == 2


def test_a_search_whose_trial_and_driver_are_killed_ends_with_the_same_table_SE_01(finished, new_search, tmp_path):
    before, results = finished
    search = new_search("killed")
    address = ray.get_runtime_context().gcs_address
    env = os.environ | {"RAY_ADDRESS": address, "PYTHONPATH": f"{SUPPORT}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, str(DRIVER), str(search.store), str(search.folder)]
    process = start(command, env=env, cwd=tmp_path, log=tmp_path / "log.txt")
    try:
        wait_until(lambda: search.journalled() > 30 and trial_processes(), process, tmp_path / "log.txt", 180)
        os.kill(trial_processes()[0], signal.SIGKILL)
        wait_until(lambda: search.journalled() > 150, process, tmp_path / "log.txt", 180)
    finally:
        kill_tree(process)
    reached = {path: written for path, written in search.checkpoints().items() if path.parent.name == "step-000060"}

    limit = time.monotonic() + 60
    while not all_free():  # nothing of a killed search may keep the next one waiting
        assert time.monotonic() < limit, placement_group_table()
        time.sleep(0.1)
    assert search.results() == results
    assert search.checkpoints().items() >= {p: t for p, t in reached.items() if p.exists()}.items()
    for result in results:
        assert search.steps_of(result.trial.trial_id) == dict.fromkeys(range(1, result.iterations + 1), 1)
    assert not (before.folder / "corrupt").exists()


@pytest.mark.slow
def test_a_search_whose_checkpoints_are_torn_is_made_whole_from_what_is_left_SE_02(finished, new_search):
    before, results = finished
    search = new_search("torn")
    shutil.copytree(before.folder, search.folder)
    ids = {(r.trial.input_mode, r.iterations): r.trial.trial_id for r in results}
    (longest,) = search.folder.glob(f"{ids['raw', 120]}-*/step-000120/state.pt")
    longest.write_bytes(longest.read_bytes()[:1000])
    (only,) = search.folder.glob(f"{ids['gradient', 60]}-*/step-*/COMMIT")
    only.write_text("{")
    whole = {path: t for path, t in search.checkpoints().items() if path not in (longest, only.with_name("state.pt"))}
    assert search.results() == results
    assert search.checkpoints().items() >= whole.items()
    assert {line.split(":")[0] for line in search.said} >= {"warning TR-03", "warning SE-08"}
    assert not [group for group in placement_group_table().values() if group["state"] != "REMOVED"]


@pytest.mark.slow
def test_a_search_that_is_asked_to_stop_says_so_and_goes_on_when_started_again_SE_01(finished, new_search):
    _, results = finished
    search = new_search("stopped")

    def stop_when_training() -> None:
        while search.journalled() < 30:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_when_training, daemon=True).start()
    with pytest.raises(Refusal) as refused:
        search.results()
    assert (refused.value.faults[0].id, refused.value.exit_code) == ("SE-01", ExitCode.RESUMABLE)
    assert search.run_of("raw-00").info.status == "KILLED"
    assert search.results() == results
    assert search.run_of("raw-00").info.status == "FINISHED"


@pytest.mark.slow
def test_tpe_proposes_from_what_was_found_and_a_lost_wave_is_proposed_again_SE_01(new_search):
    search = new_search("tpe")
    words = {"searcher": "tpe", "trials_per_mode": 3, "rungs": (4,)}
    results = search.results(**words)
    assert [r.trial.trial_id for r in results] == [f"{mode}-0{n}" for mode in sorted(MODES) for n in range(3)]
    assert all(r.iterations == 4 and 1e-4 <= r.trial.learning_rate <= 1e-1 for r in results)
    assert len({r.trial.learning_rate for r in results}) == 4  # two that both modes begin with, then one for each

    states = search.checkpoints()
    (last,) = search.folder.glob("raw-02-*")
    shutil.rmtree(last)
    assert search.results(**words) == results
    kept = {path: written for path, written in states.items() if last not in path.parents}
    assert search.checkpoints().items() >= kept.items()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_table_and_the_test_cases_are_never_opened_SE_06(finished, new_search):
    before, results = finished
    blind = new_search("blind", store=before.folder.parent / "blind-store")
    shutil.copytree(before.store, blind.store)
    for kind in (*MODES, "mask"):
        for case_id in SPLIT.test:
            (blind.store / kind / f"{case_id}.npy").unlink()
    assert blind.results() == results


@pytest.fixture(scope="module")
def broken_store(tmp_path_factory) -> Path:
    """With a third kind of input, of which one array was altered."""
    store = write_tiny_store(tmp_path_factory.mktemp("broken") / "store")
    shutil.copytree(store / "raw", store / "broken")
    content = bytearray((store / "broken" / f"{SPLIT.train[0]}.npy").read_bytes())
    content[-1] ^= 1
    (store / "broken" / f"{SPLIT.train[0]}.npy").write_bytes(content)
    return store


def test_a_failed_trial_is_recorded_and_never_best_SE_03_SE_04(broken_store, new_search):
    search = new_search("broken", store=broken_store, broken=("raw-00",))

    results = search.results(rungs=(2,))
    failed = next(r for r in results if r.trial.trial_id == "raw-00")
    assert failed.validation_dice is None
    assert f"{SPLIT.train[0]}.npy" in failed.failure
    assert best_per_mode(results)["raw"].trial.trial_id == "raw-01"
    assert search.run_of("raw-00").info.status == "FAILED"
    assert f"{SPLIT.train[0]}.npy" in search.run_of("raw-00").data.tags["failure"]

    refuse_failures(results, replace(SETTINGS, allow_failed=1), MODES)
    with pytest.raises(Refusal) as refused:
        refuse_failures(results, SETTINGS, MODES)
    assert refused.value.exit_code == ExitCode.TRAINING_FAILED
    (fault,) = refused.value.faults
    assert (fault.id, fault.file) == ("SE-04", "raw-00")


@pytest.mark.slow
def test_a_trial_whose_process_dies_each_time_is_a_failed_one_and_the_search_ends_SE_03(new_search):
    search, ended = new_search("dying"), threading.Event()

    def kill_every_trial() -> None:
        while not ended.wait(0.05):
            for pid in trial_processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_every_trial, daemon=True)
    killer.start()
    try:
        results = search.results(trials_per_mode=1, rungs=(2000,))
    finally:
        ended.set()
        killer.join()
    assert [r.failure for r in results] == ["its process died 3 times"] * 2
    assert search.run_of("raw-00").info.status == "FAILED"
    with pytest.raises(Refusal, match="SE-04"):
        refuse_failures(results, SETTINGS, MODES)


@pytest.mark.slow
def test_a_mode_whose_trials_all_fail_is_refused_whatever_is_allowed_SE_04(broken_store, new_search):
    search = new_search("barren", store=broken_store, broken=("raw-00", "raw-01"))
    results = search.results(rungs=(2, 4))
    with pytest.raises(Refusal) as refused:
        refuse_failures(results, replace(SETTINGS, allow_failed=4), MODES)
    assert {fault.file for fault in refused.value.faults} == {"raw-00", "raw-01"}
    assert [search.run_of(trial).info.status for trial in ("raw-00", "gradient-00")] == ["FAILED", "FINISHED"]
