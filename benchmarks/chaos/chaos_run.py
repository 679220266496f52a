"""The run that `chaos.py` kills: a small training on stored arrays, recorded in MLflow, as the stage `train` does it.

    python -m benchmarks.chaos.chaos_run FOLDER [--ray WORKERS]

FOLDER holds the store; the run goes on in FOLDER/runs from its newest good checkpoint. A complete run leaves
FOLDER/left.json: the hashes of its best and last weights, its curve, its MLflow run.
"""

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from femseg.cohorts.settings import ArraySettings
from femseg.cohorts.split import Split, write_split
from femseg.cohorts.store import write_array, write_index
from femseg.exits import command_exit
from femseg.files.durable import write_json_durably
from femseg.files.lock import locked
from femseg.networks.vnet import VNetSettings
from femseg.services.fit.job import TrainingJob, fit_job, is_complete, training_job
from femseg.services.fit.recorded_curve import record_curve
from femseg.services.tracking.connect import BackgroundRecorder, connect, resumable_run, run_with_true_status
from femseg.training.checkpoint import newest_good_checkpoint
from femseg.training.context import TrainerContext
from femseg.training.settings import AugmentationSettings, OptimisationSettings, TrainSettings
from femseg.volumes.grid import VoxelGrid

CHECKPOINT_EVERY, VALIDATE_EVERY = 10, 20
_SHAPE_ZYX = (16, 16, 16)


def write_store(folder: Path) -> None:
    """Six cases of noise with a ball in it, and their split."""
    grid = VoxelGrid(shape_zyx=_SHAPE_ZYX, spacing_mm_zyx=(2.0, 1.0, 1.0))
    entries: dict[str, dict[str, object]] = {"raw": {}, "mask": {}}
    for number in range(6):
        rng = np.random.default_rng(number)
        ball = np.linalg.norm(np.indices(_SHAPE_ZYX).T - rng.uniform(6, 10, 3), axis=-1).T < 5
        raw = (0.3 + 0.4 * ball + rng.normal(0, 0.1, _SHAPE_ZYX)).astype(np.float32)
        for kind, array in (("raw", raw), ("mask", ball)):
            entries[kind][f"case-{number}"] = write_array(
                folder / kind, f"case-{number}", array, kind=kind, network_grid=grid, ct_grid=grid
            )
    for kind in entries:
        write_index(folder / kind, kind, ArraySettings(shape_zyx=_SHAPE_ZYX).recipe("raw"), entries[kind])
    split = Split(train=("case-0", "case-1", "case-2", "case-3"), validation=("case-4",), test=("case-5",))
    write_split(split, folder / "split.json")


def chaos_job(folder: Path, *, iterations: int, workers: int) -> TrainingJob:
    """Some thousand weights; augmentation, dropout and a schedule, so that no random state may be lost."""
    return training_job(
        inputs=folder / "raw",
        masks=folder / "mask",
        split=folder / "split.json",
        runs=folder / "runs",
        name="raw",
        network=VNetSettings(
            base_channels=4, convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=3, dropout=0.2
        ),
        optimisation=OptimisationSettings(
            gradient_accumulation=2, schedule="cosine", augmentation=AugmentationSettings(enabled=True)
        ),
        train=TrainSettings(
            learning_rate=3e-3,
            max_iterations=iterations,
            validate_every=VALIDATE_EVERY,
            checkpoint_every=CHECKPOINT_EVERY,
            workers=workers,
        ),
    )


def sha256_of_weights(weights: Mapping[str, Tensor]) -> str:
    """Of names and bytes, in the order of names."""
    found = hashlib.sha256()
    for name, value in sorted(weights.items()):
        found.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def train(job: TrainingJob, *, through_ray: bool) -> None:
    """Bring a run to its end, from wherever it is."""
    if is_complete(job):
        return
    if through_ray:
        from femseg.services.cluster.session import ray_session
        from femseg.services.fit.driver import train_on_ray

        with ray_session(cpus=job.train.workers):
            train_on_ray(job, title="chaos")
        return
    recorder = BackgroundRecorder(job.tracking_uri, job.mlflow_run_id, Path(job.run_folder), say=print)
    fit_job(job, TrainerContext(recorder=recorder))
    recorder.close()


def run(folder: Path, *, iterations: int, ray_workers: int = 0) -> None:
    """One start of the command, as the stage `train` does it: claim, MLflow run, training, the whole curve, status."""
    torch.set_num_threads(1)
    job = chaos_job(folder, iterations=iterations, workers=ray_workers or 1)
    with locked(Path(job.run_folder)):
        client, experiment_id = connect(job.tracking_uri)
        run_id = resumable_run(client, experiment_id, folder=Path(job.run_folder), name="chaos", params={})
        job = replace(job, mlflow_run_id=run_id)
        with run_with_true_status(client, run_id):
            train(job, through_ray=bool(ray_workers))
            network, result = fit_job(job, TrainerContext(say=lambda line: None))
            record_curve(client, job)
        last = newest_good_checkpoint(Path(job.run_folder), print)
        timeless = [{k: v for k, v in asdict(row).items() if "second" not in k} for row in result.curve]
        write_json_durably(
            folder / "left.json",
            {
                "best_weights_sha256": sha256_of_weights(network.state_dict()),
                "last_weights_sha256": sha256_of_weights(last.state["network"]) if last else "",
                "curve": timeless,
                "mlflow_run_id": run_id,
            },
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--iterations", type=int, default=120)
    parser.add_argument("--ray", type=int, default=0, metavar="WORKERS")
    words = parser.parse_args()
    run(words.folder, iterations=words.iterations, ray_workers=words.ray)


if __name__ == "__main__":
    with command_exit():
        main()
