"""Train on the tiny store: what `pipelines.train` does around Ray, with few steps. Prints what came out as JSON.

python train_driver.py <store> <runs> [--alone] [--iterations N] [--workers N]
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from tiny_model import TINY_NETWORK

from femseg.exits import command_exit
from femseg.files.durable import sha256_of_json, write_json_durably
from femseg.files.lock import locked
from femseg.services.cluster.session import ray_session
from femseg.services.fit.driver import train_on_ray
from femseg.services.fit.job import TrainingJob, fit_job, is_complete, training_job
from femseg.services.fit.recorded_curve import mlflow_run_kept, record_curve
from femseg.services.storage.backend import StorageSettings
from femseg.services.tracking.connect import connect, resumable_run, run_with_true_status
from femseg.training.context import TrainerContext
from femseg.training.settings import OptimisationSettings, TrainSettings

LOCAL = StorageSettings()
QUIET = TrainerContext(say=lambda line: None)


def tiny_job(
    store: Path, runs: Path, iterations: int, storage: StorageSettings = LOCAL, workers: int = 2
) -> TrainingJob:
    return training_job(
        inputs=store / "raw",
        masks=store / "mask",
        split=store / "split.json",
        runs=runs,
        name="raw",
        network=TINY_NETWORK,
        optimisation=OptimisationSettings(batch_size=2),
        train=TrainSettings(
            learning_rate=3e-3, max_iterations=iterations, validate_every=20, checkpoint_every=20, workers=workers
        ),
        storage=storage,
    )


def outcome(job: TrainingJob) -> dict[str, object]:
    """Of a complete run."""
    network, result = fit_job(job, QUIET)
    weights = {name: value.tolist() for name, value in network.state_dict().items()}
    return {
        "sha256": sha256_of_json(weights),
        "weights": weights,
        "losses": [row.train_dice_loss for row in result.curve],
        "validation_dice": result.validation_dice,
        "mlflow_run_id": job.mlflow_run_id,
    }


def tracked(job: TrainingJob, runs: Path) -> None:
    client, experiment_id = connect()
    with mlflow_run_kept(job.storage, Path(job.run_folder)):
        run_id = resumable_run(client, experiment_id, folder=Path(job.run_folder), name="train-raw", params={})
    job = replace(job, mlflow_run_id=run_id)
    with run_with_true_status(client, run_id):
        if not is_complete(job):
            with ray_session(cpus=2):
                train_on_ray(job, title="train raw")
        write_json_durably(runs / "outcome.json", outcome(job))
        record_curve(client, job)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--alone", action="store_true")
    words = parser.parse_args()
    job = tiny_job(words.store, words.runs, words.iterations, workers=words.workers)
    if words.alone:
        write_json_durably(words.runs / "outcome.json", outcome(job))
        return
    with locked(Path(job.run_folder)):
        tracked(job, words.runs)
    print(json.dumps({"done": True}))


if __name__ == "__main__":
    with command_exit():
        main()
