"""Ray Train round `training.session.fit`: the same code on one CPU and on many GPUs."""

import os
import shlex
import shutil
import sys
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import ray
from ray.train import LoggingConfig
from ray.train.torch import TorchConfig
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.exceptions import TrainingFailedError
from ray.train.v2.torch.torch_trainer import TorchTrainer

from femseg.errors import ExitCode, Fault, Refusal
from femseg.services.attended_fit import RETRIES, attend, beside, stop_on_signal
from femseg.services.clusters import require_resources
from femseg.services.driver_desk import DriverSide, Verdict, refusal_of
from femseg.services.node_agreement import require_agreement
from femseg.services.rank import run_rank
from femseg.services.storage_on_ray import ray_storage_path, require_reach
from femseg.services.training_job import TrainingJob, newest_checkpoint
from femseg.settings import as_plain
from femseg.training.settings import fewest_workers

_CLOSED_WITHIN_S = 10.0  # a cluster without head never answers
_BOUNDS = {
    "RAY_TRAIN_COLLECTIVE_TIMEOUT_S": "100",  # a rank waits no longer for another; Ray's own wait has no end
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "100",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",  # a rank that hangs does not let go, and is killed next
}


def _retries_spent(error: BaseException, verdict: Verdict, job: TrainingJob) -> Refusal:
    newest = newest_checkpoint(job, say=lambda line: None)
    words = verdict.broken or " ".join(str(error).split())[-300:]
    kept = f"the last good checkpoint is of iteration {newest.iteration}" if newest else "there is no checkpoint yet"
    command = shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]])
    return Refusal(
        Fault(
            id="TR-15",
            file=job.run_folder,
            problem=f"training failed after {RETRIES} retries ({words}); {kept}",
            fix=f"mend what the first worker says, then go on with: {command}",
            exit_code=ExitCode.TRAINING_FAILED,
        )
    )


def cores_for_each(workers: int, cores_of_nodes: Sequence[int]) -> int:
    """The most cores that every worker can have, each worker on one node; Ray would wait for ever for more."""
    even = sum(cores_of_nodes) // workers
    return next((n for n in range(even, 1, -1) if sum(cores // n for cores in cores_of_nodes) >= workers), 1)


def _require_room(job: TrainingJob, title: str) -> None:
    """Raises: Refusal CL-01 (exit 5) if the cluster has no room for as many workers as there must be."""
    workers = fewest_workers(job.train, job.network)
    require_resources(what=title, cpus=workers, gpus=workers if job.train.use_gpu else 0)


def _share(workers: int, use_gpu: bool) -> dict[str, float]:
    """What one worker gets: a GPU and a core, or on CPUs an even share of the cores, which are its threads."""
    if use_gpu:
        return {"GPU": 1, "CPU": 1}
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return {"CPU": cores_for_each(workers, [int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]])}


def _others_rule() -> bool:
    """Whether a cluster is at hand, of which nodes may be taken away, and not a Ray of our own."""
    return "RAY_ADDRESS" in os.environ


class _LeanTrainer(TorchTrainer):
    """Ray's trainer without two actors of which nothing here makes use; each would take a second to start.

    The cleaner of placement groups is for controllers that a Tune run kills; here the job ends with its controller. It
    asks the dashboard of whichever Ray it finds on the machine, and with several of them holds up every end for 12 s.
    The datasets are Ray Data's.
    """

    def _create_default_callbacks(self) -> list[Any]:
        unused = ("PlacementGroupCleanerCallback", "DatasetsCallback")
        return [one for one in super()._create_default_callbacks() if type(one).__name__ not in unused]


def _trainer(job: TrainingJob, desk: DriverSide, name: str, storage: str) -> TorchTrainer:
    workers, least, use_gpu = job.train.workers, fewest_workers(job.train, job.network), job.train.use_gpu
    return _LeanTrainer(
        run_rank,
        train_loop_config={"job": as_plain(job), "desk": desk.actor, "drains": _others_rule()},
        scaling_config=ScalingConfig(
            num_workers=(least, workers) if least < workers else workers,
            use_gpu=use_gpu,
            resources_per_worker=_share(workers, use_gpu),
        ),
        torch_config=TorchConfig(timeout_s=int(os.environ["RAY_TRAIN_COLLECTIVE_TIMEOUT_S"])),
        run_config=RunConfig(
            name=name,
            storage_path=storage,  # checkpoints are our own, and nothing is reported to Ray
            logging_config=LoggingConfig(log_level="ERROR"),
            failure_config=FailureConfig(max_failures=RETRIES, controller_failure_limit=RETRIES),
        ),
    )


def _fit(job: TrainingJob, asked: threading.Event, title: str) -> bool:
    """Train with one placement of workers; False if a node was taken away from them, with a checkpoint committed."""
    name = uuid.uuid4().hex
    with ray_storage_path(job.storage, Path(job.run_folder), name) as storage:
        desk = DriverSide()
        outcome = beside(_trainer(job, desk, name, storage).fit)
        try:
            attend(outcome, desk, asked, job, title, require_room=lambda: _require_room(job, title))
            verdict = desk.verdict()
        finally:
            wait([beside(desk.close)], timeout=_CLOSED_WITHIN_S)
    refusal, error = refusal_of(verdict), outcome.exception()
    if refusal and refusal.exit_code == ExitCode.RESUMABLE and verdict.draining and not asked.is_set():
        print(f"a node is being taken away; {refusal.faults[0].problem}, and goes on elsewhere", flush=True)
        return False
    if refusal:
        raise refusal
    if isinstance(error, TrainingFailedError):
        _require_room(job, title)  # a cluster that has shrunk is the better reason
        raise _retries_spent(error, verdict, job) from None
    if error:
        raise error
    return True


def train_on_ray(job: TrainingJob, *, title: str) -> None:
    """Run a job data-parallel on the Ray session at hand. Returns when the run is complete.

    The result lies in the job's run folder: `fit_job` on a complete run returns it without training.
    Raises: Refusal CL-01 (exit 5) if the cluster is or becomes too small, CL-04 (2) if a node does not reach the
        storage, CL-05 (2) if its nodes differ, TR-06 (75) if it was stopped by a signal, TR-15 (7) when the retries are
        spent, or the reason that a worker gave.
    """
    _require_room(job, title)
    require_agreement(what=title)
    folder = Path(job.run_folder)
    folder.mkdir(parents=True, exist_ok=True)
    require_reach(job.storage, folder)
    for leftover in folder.glob("ray-*"):  # of a driver that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    for name, bound in _BOUNDS.items():
        os.environ.setdefault(name, bound)
    os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = str(int(_others_rule()))
    with stop_on_signal() as asked:
        while not _fit(job, asked, title):
            pass
