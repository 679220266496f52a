"""A training step through Ray Train with one worker against the same loop called directly; ratio of medians.

    python -m benchmarks.training.ray_train_overhead --output benchmarks/results/ray_train_overhead.json

Both sides train the same network on the same stored arrays with the same number of threads, in turn, several times.
Then the demo's training (params.yaml: network, grid, batch, checkpoints; two workers; MLflow on SQLite): how much time
passes between one step's end and the next one's start, for the curve, the tracking store, the workers' agreement and
checkpoints; and what one of these checkpoints takes by itself, beside a plain `torch.save` and fsync. Our workers do
not call `ray.train.report`: checkpoints are our own, and rank 0 records.
"""

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from femseg.cohorts.settings import ArraySettings
from femseg.cohorts.split import Split, write_split
from femseg.cohorts.store import write_array, write_index
from femseg.networks.network import build_network
from femseg.networks.vnet import VNetSettings
from femseg.services.cluster.session import ray_session
from femseg.services.fit.driver import train_on_ray
from femseg.services.fit.job import TrainingJob, fit_job, training_job
from femseg.services.fit.recorded_curve import record_curve
from femseg.services.tracking.connect import connect
from femseg.settings import read_section
from femseg.training.checkpoint import discard_old_checkpoints, write_checkpoint
from femseg.training.context import TrainerContext
from femseg.training.settings import OptimisationSettings, TrainSettings
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
    result = fit_job(job, TrainerContext(say=lambda line: None))[1]
    return statistics.median(row.seconds for row in result.curve[5:])


def between_steps(folder: Path, iterations: int) -> dict[str, object]:
    """What the demo's training does between its steps, as parts of step time, by the stamps of its points in MLflow."""
    shape = read_section(ArraySettings, "arrays").shape_zyx
    train = replace(read_section(TrainSettings, "train"), learning_rate=1e-3, max_iterations=iterations)
    stores(folder, shape)
    uri = f"sqlite:///{folder}/mlflow.db"
    client, experiment_id = connect(uri)
    run_id = client.create_run(experiment_id).info.run_id
    job = training_job(
        inputs=folder / "raw",
        masks=folder / "mask",
        split=folder / "split.json",
        runs=folder / "runs",
        name="demo",
        network=read_section(VNetSettings, "network"),
        optimisation=read_section(OptimisationSettings, "optimisation"),
        train=replace(train, validate_every=iterations),
    )
    train_on_ray(replace(job, tracking_uri=uri, mlflow_run_id=run_id), title="the demo's training")
    record_curve(client, replace(job, tracking_uri=uri, mlflow_run_id=run_id))
    points = {point.step: point for point in client.get_metric_history(run_id, "seconds")}
    steps = range(2, iterations)  # the first warms up, the last is validated
    gaps = {n: points[n].timestamp / 1000 - points[n - 1].timestamp / 1000 - points[n].value for n in steps}
    after_checkpoint = [gap for n, gap in gaps.items() if (n - 1) % train.checkpoint_every == 0]
    plain = statistics.median(gap for n, gap in gaps.items() if (n - 1) % train.checkpoint_every)
    stepping = sum(points[n].value for n in steps)
    checkpoints = sum(gap - plain for gap in after_checkpoint)
    return {
        "workers": train.workers,
        "iterations": iterations,
        "checkpoint_every": train.checkpoint_every,
        "median_step_seconds": statistics.median(points[n].value for n in steps),
        "seconds_a_checkpoint": checkpoints / len(after_checkpoint) if after_checkpoint else None,
        "parts_of_step_time": {
            "recording and agreeing to go on": (sum(gaps.values()) - checkpoints) / stepping,
            "checkpoints": checkpoints / stepping,
            "together (goal: 3 %)": sum(gaps.values()) / stepping,
        },
    }


def checkpoint_parts(folder: Path, repeats: int = 9) -> dict[str, object]:
    """A checkpoint of the demo by itself: proven, committed, older ones gone; beside the same bytes with one fsync."""
    network = build_network(read_section(VNetSettings, "network"), 1)
    optimizer = torch.optim.Adam(network.parameters())
    sum(parameter.sum() for parameter in network.parameters()).backward()
    optimizer.step()
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "best": network.state_dict()}

    def ours(iteration: int) -> None:
        write_checkpoint(folder, iteration, state, {})
        discard_old_checkpoints(folder, newest=3, say=print)

    def plain(iteration: int) -> None:
        with (folder / "plain.pt").open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())

    seconds: dict[str, list[float]] = {}
    for iteration in range(1, repeats + 1):
        for name, work in (("ours", ours), ("plain", plain)):
            started, before = time.perf_counter(), time.process_time()
            work(iteration)
            seconds.setdefault(f"{name}_s", []).append(time.perf_counter() - started)
            seconds.setdefault(f"{name}_processor_s", []).append(time.process_time() - before)
    medians = {name: statistics.median(of) for name, of in seconds.items()}
    return {"megabytes": (folder / "plain.pt").stat().st_size / 1e6, "repeats": repeats, **medians}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="64x32x32")
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--demo-iterations", type=int, default=240)
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
    with tempfile.TemporaryDirectory(prefix="femseg-ray-") as folder, ray_session():
        between = between_steps(Path(folder), arguments.demo_iterations)
    with tempfile.TemporaryDirectory(prefix="femseg-ray-") as folder:
        between["a_checkpoint_by_itself"] = checkpoint_parts(Path(folder))
    print(json.dumps(between, indent=2))
    result = {
        "command": shlex.join(["python", "-m", __spec__.name, *sys.argv[1:]]),
        "shape_zyx": [z, y, x],
        "cores": len(os.sched_getaffinity(0)),
        "runs": rows,
        "median_ratio": statistics.median(ratios),
        "load": os.getloadavg()[0],
        "between_steps": between,
    }
    print(f"median ratio {result['median_ratio']:.3f}")
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
