"""A small search on real Ray Tune: a table that the seed decides, runs with true statuses, test cases unseen."""

import json
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from tiny_model import TINY_NETWORK
from tiny_store import SPLIT, write_tiny_store

from femseg.errors import ExitCode, Refusal
from femseg.services.clusters import ray_session
from femseg.services.search import refuse_failures, search_on_ray
from femseg.services.tracking import connect, resumable_run, start_run
from femseg.services.training_job import TrainingJob, training_job
from femseg.training.halving import SearchSettings, Trial, TrialResult, best_per_mode
from femseg.training.settings import OptimisationSettings, TrainSettings

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray and MLflow warn of themselves
SETTINGS = SearchSettings(trials_per_mode=2, learning_rate=(1e-4, 1e-1), rungs=(2, 4))
MODES = ("raw", "gradient")


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search in a folder of its own; run it as often as you like."""

    store: Path
    folder: Path
    client: MlflowClient
    experiment_id: str
    parent: str
    broken: tuple[str, ...] = ()

    def job_of(self, trial: Trial) -> TrainingJob:
        job = training_job(
            inputs=self.store / ("broken" if trial.trial_id in self.broken else trial.input_mode),
            masks=self.store / "mask",
            split=self.store / "split.json",
            runs=self.folder,
            name=trial.trial_id,
            network=TINY_NETWORK,
            optimisation=OptimisationSettings(batch_size=2),
            train=TrainSettings(
                learning_rate=trial.learning_rate, max_iterations=4, validate_every=2, checkpoint_every=4
            ),
        )
        run_id = resumable_run(
            self.client,
            self.experiment_id,
            folder=Path(job.run_folder),
            name=trial.trial_id,
            params={},
            parent_run_id=self.parent,
        )
        return replace(job, mlflow_run_id=run_id)

    def results(self, **settings) -> list[TrialResult]:
        changed = replace(SETTINGS, **settings)
        return search_on_ray(changed, MODES, self.job_of, self.client, say=lambda line: None)

    def run_of(self, trial_id: str):
        (memory,) = self.folder.glob(f"{trial_id}-*/mlflow_run.json")
        return self.client.get_run(json.loads(memory.read_text())["run_id"])

    def steps_of(self, trial_id: str) -> Counter:
        run_id = self.run_of(trial_id).info.run_id
        return Counter(point.step for point in self.client.get_metric_history(run_id, "train_dice_loss"))


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
            parent = start_run(client, experiment_id, name=name, params={})
            facts = {"store": store, "folder": folder / name, "client": client, "experiment_id": experiment_id}
            return Search(**(facts | {"parent": parent} | words))

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
        assert sorted(r.iterations for r in mine) == [2, 4]
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
    states = {path: path.stat().st_mtime_ns for path in search.folder.rglob("state.pt")}
    assert search.results() == results
    assert {path: path.stat().st_mtime_ns for path in search.folder.rglob("state.pt")} == states
    for result in results:
        assert search.steps_of(result.trial.trial_id) == dict.fromkeys(range(1, result.iterations + 1), 1)
        run_id = search.run_of(result.trial.trial_id).info.run_id
        assert len(search.client.get_metric_history(run_id, "best_validation_dice")) == 1


def test_the_same_seed_gives_the_same_table_and_the_test_cases_are_never_opened_SE_06(finished, new_search):
    before, results = finished
    blind = new_search("blind", store=before.folder.parent / "blind-store")
    shutil.copytree(before.store, blind.store)
    for kind in (*MODES, "mask"):
        for case_id in SPLIT.test:
            (blind.store / kind / f"{case_id}.npy").unlink()
    assert blind.results() == results


def test_a_failed_trial_is_recorded_and_never_best_SE_03_SE_04(finished, new_search):
    before, _ = finished
    store = before.folder.parent / "broken-store"
    shutil.copytree(before.store, store)
    shutil.copytree(store / "raw", store / "broken")
    content = bytearray((store / "broken" / f"{SPLIT.train[0]}.npy").read_bytes())
    content[-1] ^= 1
    (store / "broken" / f"{SPLIT.train[0]}.npy").write_bytes(content)
    search = new_search("broken", store=store, broken=("raw-00",))

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


def test_a_mode_whose_trials_all_fail_is_refused_whatever_is_allowed_SE_04(finished, new_search):
    before, _ = finished
    search = new_search("barren", store=before.folder.parent / "broken-store", broken=("raw-00", "raw-01"))
    assert (search.store / "broken").is_dir()
    results = search.results(rungs=(2, 4))
    with pytest.raises(Refusal) as refused:
        refuse_failures(results, replace(SETTINGS, allow_failed=4), MODES)
    assert {fault.file for fault in refused.value.faults} == {"raw-00", "raw-01"}
    assert [search.run_of(trial).info.status for trial in ("raw-00", "gradient-00")] == ["FAILED", "FINISHED"]
