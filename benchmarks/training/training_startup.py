"""Where the seconds go between typing a training's command and its first iteration, and after its last.

    python -m benchmarks.training.training_startup --output benchmarks/results/training_startup.json

Each repeat is a process of its own that does what `pipelines.train` does, with two workers on two cores and a network
so small that its steps count for nothing. Processor seconds are of the whole tree, so that a busy machine can be told.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

PHASES = ("interpreter and imports", "job and tracking store", "Ray session", "workers", "first iteration", "the rest")


def described(folder: Path) -> "object":
    """A training of ten iterations for two workers, recorded in a fresh SQLite store."""
    from dataclasses import replace

    from benchmarks.training.ray_train_overhead import job_of, stores
    from femseg.services.tracking.connect import connect, resumable_run

    stores(folder, (16, 16, 16))
    job = job_of(folder, 10, folder / "runs")
    job = replace(job, train=replace(job.train, workers=2), tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    client, experiment_id = connect(job.tracking_uri)
    run_id = resumable_run(client, experiment_id, folder=Path(job.run_folder), name="start-up", params={})
    return replace(job, mlflow_run_id=run_id)


def processor_seconds() -> float:
    """Of this process and all below it."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def one_start(folder: Path, started: float) -> None:
    """Train once; print when each phase ended, in seconds since the command was given."""
    from femseg.services.cluster.session import ray_session
    from femseg.services.fit.driver import train_on_ray
    from femseg.services.fit.job import TrainingJob

    ends, seconds = [time.time() - started], 0.0

    def watch(curve: Path) -> None:
        nonlocal seconds
        for ready in (curve.exists, lambda: curve.stat().st_size > 0):
            while not ready():
                time.sleep(0.01)
            ends.append(time.time() - started)
        seconds = processor_seconds()

    job = described(folder)
    assert isinstance(job, TrainingJob)
    ends.append(time.time() - started)
    with ray_session(cpus=2):
        ends.append(time.time() - started)
        watcher = threading.Thread(target=watch, args=[Path(job.run_folder) / "curve.jsonl"])
        watcher.start()
        train_on_ray(job, title="start-up")
        watcher.join()
    ends.append(time.time() - started)
    phases = {name: end - begin for name, begin, end in zip(PHASES, [0.0, *ends], ends, strict=False)}
    print(json.dumps({"phases": phases, "processor_seconds": seconds}))


def measured() -> dict[str, object]:
    """One start, in a process and a folder of its own."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="femseg-start-") as folder:
        command = [sys.executable, "-W", "ignore", "-m", __spec__.name, "--one", folder]
        command.append(str(time.time()))
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    one = json.loads(done.stdout.splitlines()[-1])
    to_train = sum(one["phases"][name] for name in PHASES[:4])
    print(f"{to_train:5.1f} s to the first iteration, load {load:.1f}", flush=True)
    return {"seconds_to_training": to_train, "load_before": load, **one}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one_start(Path(arguments.one[0]), float(arguments.one[1]))
        return
    runs = [measured() for _ in range(arguments.repeats)]
    result = {
        "command": "python -m benchmarks.training.training_startup",
        "cores": len(os.sched_getaffinity(0)),
        "workers": 2,
        "runs": runs,
        "median_seconds_to_training": statistics.median(float(str(run["seconds_to_training"])) for run in runs),
    }
    print(f"median {result['median_seconds_to_training']:.1f} s")
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
