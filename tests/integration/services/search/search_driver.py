"""A small search on the Ray session at hand, to be called in a test or run, and killed, as a process of its own.

python search_driver.py <store> <folder>
"""

import os
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from servers.runs_in_mlflow import run_id_of
from tiny_model import TINY_NETWORK

from femseg.search.halving import SearchSettings, Trial, TrialResult
from femseg.services.cluster.session import ray_session
from femseg.services.fit.job import TrainingJob, training_job
from femseg.services.search.tune import search_on_ray
from femseg.services.tracking.connect import connect, resumable_run
from femseg.training.settings import OptimisationSettings, TrainSettings

SETTINGS = SearchSettings(trials_per_mode=2, learning_rate=(1e-4, 1e-1), rungs=(60, 120))
MODES = ("raw", "gradient")


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search in a folder of its own; run it as often as you like."""

    store: Path
    folder: Path
    client: MlflowClient
    experiment_id: str
    broken: tuple[str, ...] = ()
    said: list[str] = field(default_factory=list)

    @property
    def parent(self) -> str:
        return resumable_run(self.client, self.experiment_id, folder=self.folder, name=self.folder.name, params={})

    def results(self, **settings: object) -> list[TrialResult]:
        changed = replace(SETTINGS, **settings)
        parent = self.parent

        def job_of(trial: Trial) -> TrainingJob:
            job = training_job(
                inputs=self.store / ("broken" if trial.trial_id in self.broken else trial.input_mode),
                masks=self.store / "mask",
                split=self.store / "split.json",
                runs=self.folder,
                name=trial.trial_id,
                network=TINY_NETWORK,
                optimisation=OptimisationSettings(batch_size=2),
                train=TrainSettings(
                    learning_rate=trial.learning_rate,
                    max_iterations=changed.rungs[-1],
                    validate_every=changed.rungs[0],
                    checkpoint_every=20,
                    keep_checkpoints=1,
                ),
            )
            known = (self.client, self.experiment_id)
            folder = Path(job.run_folder)
            run_id = resumable_run(*known, folder=folder, name=trial.trial_id, params={}, parent_run_id=parent)
            return replace(job, mlflow_run_id=run_id)

        return search_on_ray(changed, MODES, job_of, self.client, say=self.said.append)

    def run_of(self, trial_id: str) -> Run:
        (folder,) = self.folder.glob(f"{trial_id}-*/")
        return self.client.get_run(run_id_of(self.client, folder))

    def steps_of(self, trial_id: str) -> Counter[int]:
        run_id = self.run_of(trial_id).info.run_id
        return Counter(point.step for point in self.client.get_metric_history(run_id, "train_dice_loss"))

    def journalled(self) -> int:
        """Iterations that the trials have told of so far."""
        return sum(path.read_bytes().count(b"\n") for path in self.folder.rglob("curve.jsonl"))

    def checkpoints(self) -> dict[Path, int]:
        """When each checkpoint was written: trained again, they differ."""
        return {path: path.stat().st_mtime_ns for path in self.folder.rglob("state.pt")}


def main() -> None:
    store, folder = (Path(word) for word in sys.argv[1:])
    client, experiment_id = connect()
    search = Search(store=store, folder=folder, client=client, experiment_id=experiment_id)
    with ray_session():
        search.results()
    print("\n".join(search.said))


if __name__ == "__main__":
    assert os.environ["RAY_ADDRESS"]
    main()
