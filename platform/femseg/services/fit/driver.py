"""Ray Train round the `Trainer`: the same code on one CPU and on many GPUs."""

import os
import shlex
import shutil
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.exceptions import RayError
from ray.train import LoggingConfig
from ray.train.torch import TorchConfig, get_device, prepare_model
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
from ray.train.v2.api.config import FailureConfig, RunConfig
from ray.train.v2.api.exceptions import TrainingFailedError
from ray.train.v2.torch.torch_trainer import TorchTrainer

from femseg.errors import Refusal, words_of
from femseg.exits import on_signal
from femseg.faults import ExitCode
from femseg.services.cluster.head_watch import Watchdog
from femseg.services.cluster.node_agreement import require_agreement
from femseg.services.fit.control import DriverControl, GroupOutcome, RankControl, refusal_of
from femseg.services.fit.job import TrainingJob, job_trainer, newest_checkpoint, node_folder
from femseg.services.fit.monitor import RETRIES, in_background, monitor, require_room
from femseg.services.fit.scaling import WorkersOfOneMachine, scaling_config
from femseg.services.storage.reach import ray_storage_path, require_reach
from femseg.services.tracking.background_recorder import BackgroundRecorder
from femseg.settings import as_plain, checked
from femseg.training.context import NoRecorder, TrainerContext
from femseg.training.settings import fewest_workers

_SECONDS_BETWEEN_LOOKS = 2.0
_CLOSED_WITHIN_S = 10.0  # a cluster without head never answers
_BOUNDS = {
    "RAY_TRAIN_COLLECTIVE_TIMEOUT_S": "100",  # a rank waits no longer for another; Ray's own wait has no end
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "100",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",  # a rank that hangs does not let go, and is killed next
}


class _PreemptionWatch:
    """Notices that a node of this training is being taken away; Ray answers only when all ranks ask, so all do."""

    def __init__(self, control: RankControl) -> None:
        self._control = control
        self._noticed = threading.Event()
        self.noticed = self._noticed.is_set
        threading.Thread(target=self._watch, daemon=True, name="preemption").start()

    def _watch(self) -> None:
        while True:
            try:
                if ray.train.get_preemption_info() is not None:
                    break
            except (RayError, RuntimeError):
                return  # a rank has ended, and with it this group
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        self._control.drain()
        self._noticed.set()


def run_rank(plain: dict[str, Any]) -> None:
    """What Ray Train runs on every rank: train to the end, or to a refusal, which the driver gets.

    Args:
        plain: `job`, a TrainingJob as plain values; `control`, the control actor; `preemptible`, whether nodes may be
            taken away.
    """
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # kernels of one voxel have no one layout
    ranks = ray.train.get_context()
    rank, world_size = ranks.get_world_rank(), ranks.get_world_size()
    control = RankControl(plain["control"], rank)
    if not control.start(world_size):
        return
    with control.failures_reported():
        job = checked(TrainingJob, plain["job"], where="job", file="training job")
        context = TrainerContext(rank=rank, world_size=world_size, device=get_device(), wrap=prepare_model)
        with _reporting(context, job, control, preemptible=plain["preemptible"]) as reporting:
            with job_trainer(job, reporting) as trainer:
                result = trainer.fit()
            if result.iterations < job.train.max_iterations:  # the others would wait for this one
                raise RuntimeError(f"training ended after {result.iterations} of {job.train.max_iterations} iterations")
            if rank == 0:
                control.progress(result.iterations, "", last=True)


@contextmanager
def _reporting(
    context: TrainerContext, job: TrainingJob, control: RankControl, *, preemptible: bool
) -> Iterator[TrainerContext]:
    """The context with the driver, MLflow and the watchdog as its listeners."""
    records = context.rank == 0 and bool(job.mlflow_run_id)
    folder = node_folder(job)
    recorder = BackgroundRecorder(job.tracking_uri, job.mlflow_run_id, folder, say=control.log) if records else None
    preempted = _PreemptionWatch(control).noticed if preemptible else (lambda: False)
    watchdog = Watchdog(lambda s: control.fail(TimeoutError(f"no step and no computing for {s:.0f} s")))

    def progress(done: int, note: str) -> None:
        control.progress(done, note)
        if done == job.train.max_iterations:
            watchdog.close()
        elif context.world_size == 1:  # of several, the others notice
            watchdog.step()

    try:
        yield replace(
            context,
            recorder=recorder or NoRecorder(),
            progress=progress,
            say=control.log,
            stop_requested=lambda: control.stop_requested() or preempted(),
        )
    finally:
        watchdog.close()
        if recorder:
            recorder.close()  # what the store does not take, `record_curve` sends when all is done


def _retries_spent(error: BaseException, outcome: GroupOutcome, job: TrainingJob) -> Refusal:
    newest = newest_checkpoint(job, say=lambda line: None)
    words = outcome.error or words_of(error)
    kept = f"the last good checkpoint is of iteration {newest.iteration}" if newest else "there is no checkpoint yet"
    command = shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]])
    problem = f"training failed after {RETRIES} retries ({words}); {kept}"
    return Refusal.of("TR-15", job.run_folder, problem, f"mend what the first worker says, then go on with: {command}")


def _preemptible() -> bool:
    """Whether a cluster is at hand, of which nodes may be taken away, and not a Ray of our own."""
    return "RAY_ADDRESS" in os.environ


class _LeanTrainer(TorchTrainer):
    """Ray's trainer without three actors of which nothing here makes use; each would take a second or two to start.

    The cleaner of placement groups is for controllers that a Tune run kills; here the job ends with its controller. It
    asks the dashboard of whichever Ray it finds on the machine, and with several of them holds up every end for 12 s.
    The datasets are Ray Data's. The third asks an autoscaler for nodes, which a Ray of our own has not.
    """

    def _create_default_callbacks(self) -> list[Any]:
        unused = ("PlacementGroupCleanerCallback", "DatasetsCallback")
        return [one for one in super()._create_default_callbacks() if type(one).__name__ not in unused]

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        policy = parts["scaling_policy"]
        if not _preemptible() and isinstance(policy, FixedScalingPolicy):
            parts["scaling_policy"] = WorkersOfOneMachine(policy.scaling_config)
        return super()._initialize_and_run_controller(**parts)


@contextmanager
def _controlled(job: TrainingJob) -> Iterator[tuple[DriverControl, RunConfig]]:
    """The control actor of one placement of workers, and Ray's settings for it."""
    name = uuid.uuid4().hex
    with ray_storage_path(job.storage, Path(job.run_folder), name) as storage:
        config = RunConfig(
            name=name,
            storage_path=storage,  # checkpoints are our own, and nothing is reported to Ray
            logging_config=LoggingConfig(log_level="ERROR"),
            failure_config=FailureConfig(max_failures=RETRIES, controller_failure_limit=RETRIES),
        )
        control = DriverControl()
        try:
            yield control, config
        finally:
            wait([in_background(control.close)], timeout=_CLOSED_WITHIN_S)


def _require_success(error: BaseException | None, outcome: GroupOutcome, job: TrainingJob, title: str) -> None:
    """Raises: Refusal with the ranks' reasons, CL-01 if the cluster has shrunk, or TR-15; else the error itself."""
    if refusal := refusal_of(outcome):
        raise refusal
    if isinstance(error, TrainingFailedError | RayError):
        require_room(job, title)  # a cluster that has shrunk is the better reason
        raise _retries_spent(error, outcome, job) from None
    if error:
        raise error


def train_on_ray(job: TrainingJob, *, title: str) -> None:
    """Run a job data-parallel on the Ray session at hand. Returns when the run is complete.

    The result lies in the job's run folder: `finished_job` returns it.
    Raises: Refusal CL-01 (exit 5) if the cluster is or becomes too small, CL-04 (2) if a node does not reach the
        storage, CL-05 (2) if its nodes differ, TR-06 (75) if it was stopped by a signal, TR-15 (7) when the retries are
        spent, or the reason that a worker gave.
    """
    _require_cluster(job, title)
    stop_requested = threading.Event()  # the ranks commit a checkpoint and end
    with on_signal(stop_requested.set):
        preempted = True
        while preempted:
            with _controlled(job) as (control, run_config):
                trainer = _LeanTrainer(
                    run_rank,
                    train_loop_config={"job": as_plain(job), "control": control.actor, "preemptible": _preemptible()},
                    scaling_config=scaling_config(
                        job.train.workers, least=fewest_workers(job.train, job.network), use_gpu=job.train.use_gpu
                    ),
                    torch_config=TorchConfig(timeout_s=int(os.environ["RAY_TRAIN_COLLECTIVE_TIMEOUT_S"])),
                    run_config=run_config,
                )
                fitting = in_background(trainer.fit)
                monitor(fitting, control, stop_requested, job, title)
                outcome = control.outcome()
            refusal = refusal_of(outcome)
            stopped = refusal is not None and refusal.exit_code == ExitCode.RESUMABLE
            preempted = stopped and outcome.draining and not stop_requested.is_set()
            if refusal and preempted:
                print(f"a node is being taken away; {refusal.faults[0].problem}, and goes on elsewhere", flush=True)
            else:
                _require_success(fitting.exception(), outcome, job, title)


def _require_cluster(job: TrainingJob, title: str) -> None:
    """Refuse a cluster that cannot train this job; set the bounds of Ray's own waits."""
    require_room(job, title)
    require_agreement(what=title)
    folder = Path(job.run_folder)
    folder.mkdir(parents=True, exist_ok=True)
    require_reach(job.storage, folder)
    for leftover in folder.glob("ray-*"):  # of a driver that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    for name, bound in _BOUNDS.items():
        os.environ.setdefault(name, bound)
    os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = str(int(_preemptible()))
