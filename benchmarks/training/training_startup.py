"""Where a training's start goes, from the command to the first iteration, beside what PyTorch and Ray Train take alone.

    python -m benchmarks.training.training_startup --output benchmarks/results/training_startup.json

Each repeat is a process of its own that does what `pipelines.train` does, with two workers and a network so small that
its steps count for nothing. In turn with it start the same two workers by `torchrun` (PyTorch alone) and by Ray Train
without femseg and MLflow. Processor seconds are user and system time of every process of the tree at the first
iteration: other programs on the machine change them little, but the seconds by the clock much.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

PHASES = ("interpreter and imports", "job and tracking store", "Ray session", "workers", "first iteration", "the rest")
PACKAGES = ("numpy", "torch", "torch._dynamo", "mlflow.tracking", "ray", "ray.train.torch", "pipelines.train")
MARK = "first-iteration"


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


def start_femseg(folder: Path, started: float) -> None:
    """Train once; print when each phase ended, in seconds since the command was given."""
    from femseg.services.cluster.session import ray_session
    from femseg.services.fit.driver import train_on_ray
    from femseg.services.fit.job import TrainingJob

    ends = [time.time() - started]

    def watch(curve: Path) -> None:
        for ready in (curve.exists, lambda: curve.stat().st_size > 0):
            while not ready():
                time.sleep(0.01)
            ends.append(time.time() - started)
        (folder / MARK).touch()

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
    print(json.dumps(phases))


def one_step(given: dict[str, Any]) -> None:
    """What any data-parallel training does first: a network in DDP, Adam, one step. The group of processes is there."""
    import torch
    from torch.nn.parallel import DistributedDataParallel

    network = DistributedDataParallel(torch.nn.Conv3d(1, 1, 3))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(1, 1, 8, 8, 8)).sum().backward()
    optimizer.step()
    if torch.distributed.get_rank() == 0:
        Path(given["folder"], MARK).touch()
    time.sleep(2)  # until it was looked at


def start_ray_train(folder: Path, started: float) -> None:
    """The step by Ray Train in a session like ours."""
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    from femseg.services.cluster.session import ray_session

    with ray_session(cpus=2):
        config = {"folder": str(folder)}
        TorchTrainer(one_step, train_loop_config=config, scaling_config=ScalingConfig(num_workers=2)).fit()


def start_torch(folder: Path, started: float) -> None:
    """The step by `torchrun`."""
    command = ["-m", "torch.distributed.run", "--nproc-per-node=2", "-m", __spec__.name, "--rank", str(folder)]
    os.execv(sys.executable, [sys.executable, "-W", "ignore", *command])


def rank_of_torchrun(folder: Path) -> None:
    import torch

    torch.distributed.init_process_group("gloo")
    one_step({"folder": str(folder)})
    torch.distributed.destroy_process_group()


STARTS: dict[str, Callable[[Path, float], None]] = {
    "femseg": start_femseg,
    "Ray Train alone": start_ray_train,
    "torchrun alone": start_torch,
}


def role(process: psutil.Process, root: int) -> str:
    """What a process of the tree is for."""
    words = process.cmdline()
    if process.pid == root:
        return "driver"
    if words[0].startswith("ray::"):
        return words[0].strip().removeprefix("ray::").partition(".")[0]
    known = ("gcs_server", "raylet", "monitor.py", "log_monitor.py", "dashboard.py", "agent.py", "main.py")
    named = {Path(word).name for word in words[:4]} & set(known)
    return named.pop() if named else "rank" if "--rank" in words else "other"


def processor_seconds(root: int) -> dict[str, float]:
    """By role, of a process and all below it."""
    found: dict[str, float] = {}
    for process in (psutil.Process(root), *psutil.Process(root).children(recursive=True)):
        try:
            times, name = process.cpu_times(), role(process, root)
        except psutil.Error:
            continue
        found[name] = found.get(name, 0.0) + times.user + times.system
    return found


def measured(who: str) -> dict[str, Any]:
    """One start, in a process and a folder of its own."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="femseg-start-") as folder, tempfile.TemporaryFile("w+") as said:
        started = time.time()
        command = [sys.executable, "-W", "ignore", "-m", __spec__.name, "--one", who, folder, str(started)]
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL)
        while not (Path(folder) / MARK).exists():
            if process.poll() is not None:
                raise RuntimeError(f"{who} ended with {process.returncode} before its first iteration")
            time.sleep(0.02)
        seconds, by_role = time.time() - started, processor_seconds(process.pid)
        process.wait()
        said.seek(0)
        phases = json.loads(said.read().splitlines()[-1]) if who == "femseg" else None
    total = sum(by_role.values())
    print(f"{who:16} {total:5.1f} s of processor time, {seconds:5.1f} s by the clock, load {load:.1f}", flush=True)
    run = {"processor_seconds": total, "seconds_to_training": seconds, "load_before": load, "processes": by_role}
    return run | ({"phases": phases} if phases else {})


def import_seconds(module: str, repeats: int) -> float:
    """Median processor seconds of a fresh interpreter that imports one module, with what that imports."""
    seconds = []
    for _ in range(repeats):
        code = f"import time, {module}; print(time.process_time())"
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))
    return statistics.median(seconds)


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the repeats of one who started, and all of them."""
    roles = sorted({name for run in runs for name in run["processes"]})
    of_role = {name: statistics.median(run["processes"].get(name, 0.0) for run in runs) for name in roles}
    of_run = {f"median_{key}": statistics.median(run[key] for run in runs) for key in list(runs[0])[:2]}
    spread = [edge(run["processor_seconds"] for run in runs) for edge in (min, max)]
    return {**of_run, "processor_seconds_from_to": spread, "median_of_each_process": of_role, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rank:
        rank_of_torchrun(arguments.rank)
        return
    if arguments.one:
        who, folder, started = arguments.one
        STARTS[who](Path(folder), float(started))
        return
    runs: dict[str, list[dict[str, Any]]] = {who: [] for who in STARTS}
    for _ in range(arguments.repeats):
        for who, done in runs.items():
            done.append(measured(who))
    result = {
        "command": "python -m benchmarks.training.training_startup",
        "measured": "user and system seconds of every process of the tree at the first iteration; all start in turn",
        "cores": len(os.sched_getaffinity(0)),
        "workers": 2,
        "starts": {who: summary(done) for who, done in runs.items()},
        "import_processor_seconds": {name: import_seconds(name, arguments.repeats) for name in PACKAGES},
    }
    for who in STARTS:
        print(f"{who}: median {result['starts'][who]['median_processor_seconds']:.1f} s of processor time")
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
