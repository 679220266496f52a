"""Ray Train round `training.session.fit`: the same code on one CPU and on many GPUs."""

import os
import shutil
import signal
import tempfile
import threading
import uuid
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.train import LoggingConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device, prepare_model
from ray.train.v2.api.config import FailureConfig, RunConfig
from ray.train.v2.api.exceptions import TrainingFailedError

from femseg.durable import read_json, write_json_durably
from femseg.errors import ExitCode, Fault, Refusal
from femseg.progress import progress
from femseg.services.clusters import require_resources
from femseg.services.storage_on_ray import ray_storage_path, require_reach
from femseg.services.tracking import MlflowRecorder, connect
from femseg.services.training_job import TrainingJob, fit_job
from femseg.settings import as_plain, checked
from femseg.training.recorder import NoRecorder
from femseg.training.surroundings import Surroundings

_STOP, _MESSAGES = "stop", "messages.log"
_RETRIES = 3
_COLLECTIVE_TIMEOUT_S = 120


def _rank(plain: dict[str, Any]) -> None:
    """A Ray Train worker."""
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # kernels of one voxel have no one layout
    job = checked(TrainingJob, plain["job"], where="job", file="training job")
    refusals = Path(plain["refusals"])
    if any(refusals.iterdir()):
        return  # a rank has refused for a stated reason; trying again would not change it
    context = ray.train.get_context()
    rank = context.get_world_rank()
    records = rank == 0 and bool(job.mlflow_run_id)
    recorder = MlflowRecorder(connect(job.tracking_uri)[0], job.mlflow_run_id) if records else None
    stop = Path(job.run_folder) / _STOP
    surroundings = Surroundings(
        rank=rank,
        world_size=context.get_world_size(),
        device=get_device(),
        recorder=recorder or NoRecorder(),
        say=lambda line: _append(Path(job.run_folder) / _MESSAGES, line),
        wrap=prepare_model,
        stop_requested=stop.exists,
    )
    try:
        fit_job(job, surroundings)
    except Refusal as refusal:
        write_json_durably(refusals / f"rank-{rank}.json", [fault.as_dict() for fault in refusal.faults])
        if refusal.exit_code != ExitCode.RESUMABLE:
            raise  # Ray must free the ranks that wait for this one; a stop is agreed on, and all return
    finally:
        if recorder:
            recorder.offer()  # what it does not take, `record_curve` sends when all is done


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


@contextmanager
def _stop_file_on_signal(path: Path) -> Iterator[None]:
    """SIGTERM and SIGINT ask the workers to commit a checkpoint and end, instead of killing this process."""

    def request(signum: int, frame: object) -> None:
        path.touch()

    path.unlink(missing_ok=True)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        path.unlink(missing_ok=True)


@contextmanager
def _watched(job: TrainingJob, title: str) -> Iterator[None]:
    """Show how far rank 0's journal has come, and what the workers have to say, while the block runs."""
    journal, messages = Path(job.run_folder) / "curve.jsonl", Path(job.run_folder) / _MESSAGES
    messages.unlink(missing_ok=True)
    ended = threading.Event()

    def watch() -> None:
        said, last = 0, False
        with progress(title, total=job.train.max_iterations) as advance:
            while not last:
                last = ended.wait(1.0)
                lines = messages.read_text(encoding="utf-8").splitlines() if messages.exists() else []
                for line in lines[said:]:
                    print(line, flush=True)
                said = len(lines)
                done = journal.read_bytes().count(b"\n") if journal.exists() else 0
                if done:
                    advance(done, "")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(timeout=5)


def _refusal(folder: Path) -> Refusal | None:
    """What the ranks refused, each fault once; that another rank refused is worth saying only if nothing else is."""
    plain = [fault for file in sorted(folder.glob("rank-*.json")) for fault in read_json(file)]
    faults = [Fault(**{**fault, "exit_code": ExitCode(fault["exit_code"])}) for fault in plain]
    reasons = [fault for fault in faults if fault.id != "TR-08"] or faults
    return Refusal(list(dict.fromkeys(reasons))) if faults else None


def _retries_spent(error: TrainingFailedError, job: TrainingJob) -> Refusal:
    words = " ".join(str(error).split())[-300:]
    return Refusal(
        Fault(
            id="TR-15",
            file=job.run_folder,
            problem=f"training failed after {_RETRIES} retries: {words}",
            fix="look at the workers' log, then start the same command again; it goes on from the last checkpoint",
            exit_code=ExitCode.TRAINING_FAILED,
        )
    )


def cores_for_each(workers: int, cores_of_nodes: Sequence[int]) -> int:
    """The most cores that every worker can have, each worker on one node; Ray would wait for ever for more."""
    even = sum(cores_of_nodes) // workers
    return next((n for n in range(even, 1, -1) if sum(cores // n for cores in cores_of_nodes) >= workers), 1)


def _share(workers: int, use_gpu: bool) -> dict[str, float]:
    """What one worker gets: a GPU and a core, or on CPUs an even share of the cores, which are its threads."""
    if use_gpu:
        return {"GPU": 1, "CPU": 1}
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return {"CPU": cores_for_each(workers, [int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]])}


def train_on_ray(job: TrainingJob, *, title: str) -> None:
    """Run a job data-parallel on the Ray session at hand. Returns when the run is complete.

    The result lies in the job's run folder: `fit_job` on a complete run returns it without training.
    Raises: Refusal CL-01 (exit 5) if the cluster is too small, CL-04 (2) if a node does not reach the storage, TR-06
        (75) if it was stopped by a signal, TR-15 (7) when the retries are spent, or the reason that a worker gave.
    """
    workers, use_gpu = job.train.workers, job.train.use_gpu
    require_resources(what=title, cpus=workers, gpus=workers if use_gpu else 0)
    folder, name = Path(job.run_folder), uuid.uuid4().hex
    folder.mkdir(parents=True, exist_ok=True)
    require_reach(job.storage, folder)
    for leftover in (*folder.glob("ray-*"), *folder.glob("refusals-*")):  # of a driver that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    os.environ.setdefault("RAY_TRAIN_COLLECTIVE_TIMEOUT_S", str(_COLLECTIVE_TIMEOUT_S))
    with (
        ray_storage_path(job.storage, folder, name) as storage,
        tempfile.TemporaryDirectory(prefix="refusals-", dir=folder) as refusals,
        _stop_file_on_signal(folder / _STOP),
        _watched(job, title),
        ThreadPoolExecutor(1) as beside,  # on the main thread Ray would put its own handler of SIGINT over ours
    ):
        trainer = TorchTrainer(
            _rank,
            train_loop_config={"job": as_plain(job), "refusals": refusals},
            scaling_config=ScalingConfig(
                num_workers=workers, use_gpu=use_gpu, resources_per_worker=_share(workers, use_gpu)
            ),
            torch_config=TorchConfig(timeout_s=_COLLECTIVE_TIMEOUT_S),
            run_config=RunConfig(  # type: ignore[arg-type]  # its annotation still names the older class
                name=name,
                storage_path=storage,
                logging_config=LoggingConfig(log_level="ERROR"),
                failure_config=FailureConfig(max_failures=_RETRIES, controller_failure_limit=_RETRIES),
            ),
        )
        failed = None
        try:
            beside.submit(trainer.fit).result()
        except TrainingFailedError as error:
            failed = error
        if refusal := _refusal(Path(refusals)):
            raise refusal
        if failed:
            raise _retries_spent(failed, job) from None
