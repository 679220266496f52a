"""A training step through Ray Train with one worker against the same loop called directly; ratio of medians.

    python benchmarks/ray_train_overhead.py --output benchmarks/results/ray_train_overhead.json

Both sides train the same network on the same stored arrays with the same number of threads, in turn, several times.
"""

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from femseg.cohorts.array_settings import ArraySettings
from femseg.cohorts.split import Split, write_split
from femseg.cohorts.store import write_array, write_index
from femseg.networks.vnet import VNetSettings
from femseg.services.clusters import ray_session
from femseg.services.training import train_on_ray
from femseg.services.training_job import TrainingJob, fit_job, training_job
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.surroundings import Surroundings
from femseg.volumes.grid import VoxelGrid


def stores(folder: Path, shape_zyx: tuple[int, int, int]) -> None:
    """Six cases of noise with a ball in it."""
    grid = VoxelGrid(shape_zyx=shape_zyx, spacing_mm_zyx=(1.0, 1.0, 1.0))
    rng, settings = np.random.default_rng(0), ArraySettings(shape_zyx=shape_zyx)
    entries: dict[str, dict[str, object]] = {"raw": {}, "mask": {}}
    distance = np.linalg.norm(np.indices(shape_zyx).T - np.array(shape_zyx) / 2, axis=-1).T
    for case_id in (f"case-{index}" for index in range(6)):
        mask = distance < min(shape_zyx) / 3
        raw = (0.5 * mask + rng.uniform(0, 0.5, shape_zyx)).astype(np.float32)
        for kind, array in (("raw", raw), ("mask", mask)):
            entries[kind][case_id] = write_array(
                folder / kind, case_id, array, kind=kind, network_grid=grid, ct_grid=grid
            )
    for kind in ("raw", "mask"):
        write_index(folder / kind, kind, settings.recipe(kind), entries[kind])
    ids = tuple(sorted(entries["raw"]))
    write_split(Split(train=ids[:4], validation=ids[4:5], test=ids[5:]), folder / "split.json")


def job_of(folder: Path, iterations: int, runs: Path) -> TrainingJob:
    return training_job(
        inputs=folder / "raw",
        masks=folder / "mask",
        split=folder / "split.json",
        runs=runs,
        name="bench",
        network=VNetSettings(
            base_channels=8, strides=((2, 2, 2),) * 2, convolutions_down=(1, 1, 2), convolutions_up=(1, 1)
        ),
        optimisation=OptimisationSettings(batch_size=2),
        train=TrainSettings(
            max_iterations=iterations, validate_every=iterations, checkpoint_every=iterations, workers=1
        ),
    )


def median_step_seconds(job: TrainingJob, *, through_ray: bool) -> float:
    """Median seconds of a step of one run, the first ones left out."""
    if through_ray:
        train_on_ray(job, title="through Ray Train")
    result = fit_job(job, Surroundings(say=lambda line: None))[1]
    return statistics.median(row.seconds for row in result.curve[5:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="64x32x32")
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    z, y, x = (int(size) for size in arguments.shape.split("x"))
    torch.set_num_threads(1)
    ratios, rows = [], []
    with tempfile.TemporaryDirectory(prefix="femseg-ray-") as folder, ray_session(cpus=1):
        stores(Path(folder), (z, y, x))
        for number in range(arguments.repeats):
            job = job_of(Path(folder), arguments.iterations, Path(folder) / f"runs-{number}")
            direct = median_step_seconds(replace(job, run_folder=job.run_folder + "-direct"), through_ray=False)
            through = median_step_seconds(job, through_ray=True)
            ratios.append(through / direct)
            rows.append({"direct_seconds": direct, "ray_train_seconds": through})
            print(f"direct {direct * 1e3:.1f} ms, through Ray Train {through * 1e3:.1f} ms, ratio {ratios[-1]:.3f}")
    result = {
        "command": "python benchmarks/ray_train_overhead.py",
        "shape_zyx": [z, y, x],
        "cores": len(os.sched_getaffinity(0)),
        "runs": rows,
        "median_ratio": statistics.median(ratios),
    }
    print(f"median ratio {result['median_ratio']:.3f}")
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
