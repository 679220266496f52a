"""Ray Train round `training.session.fit`: the same code on one CPU and on many GPUs."""

import os
import shlex
import shutil
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.exceptions import RayError
from ray.train import LoggingConfig
from ray.train.torch import TorchConfig, get_device, prepare_model
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.exceptions import TrainingFailedError
from ray.train.v2.torch.torch_trainer import TorchTrainer

from femseg.errors import Fault, Refusal
from femseg.exits import on_signal
from femseg.faults import ExitCode
from femseg.progress import Advance, progress
from femseg.services.cluster.head_watch import SilenceWatch
from femseg.services.cluster.node_agreement import require_agreement
from femseg.services.cluster.session import require_resources
from femseg.services.fit.control import DriverSide, News, RankSide, Verdict, refusal_of, stopped_before_start
from femseg.services.fit.job import TrainingJob, fit_job, newest_checkpoint, node_folder
from femseg.services.storage.reach import ray_storage_path, require_reach
from femseg.services.tracking.background_recorder import BackgroundRecorder
from femseg.settings import as_plain, checked
from femseg.training.settings import fewest_workers
from femseg.training.surroundings import NoRecorder, Surroundings

# Ray Train beside the main thread: what ranks say is shown, a signal is passed on, and no wait is endless.


RETRIES = 3
_SECONDS_BETWEEN_NEWS = 0.5
_STOPPED_WITHIN_S = 60.0  # a checkpoint takes less; ranks that wait for a node or a neighbour would take for ever
_ROOM_WITHIN_S = 300.0  # a node that was lost may come back, or a spare one start


def beside(function: Callable[[], Any]) -> Future[None]:
    """Run a function in a thread that nobody needs to wait for; on the main thread Ray would take SIGINT for itself."""
    outcome: Future[None] = Future()

    def run() -> None:
        try:
            function()
            outcome.set_result(None)
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True, name="fit").start()
    return outcome


def _relay(news: News | None, told: News | None, advance: Advance, most: int) -> News | None:
    """Show what ranks have said and how far they are; returns what has been told now."""
    if news is None:
        return told
    for line in news.lines:
        print(line, flush=True)
    if news.attempts > 1 and (told is None or news.attempts > told.attempts):
        retry = f"{news.attempts - 1} of {RETRIES}"
        print(f"a worker was lost; all start again from the last checkpoint ({retry})", flush=True)
    if told is not None and 0 < told.workers != news.workers:
        print(f"training goes on with {news.workers} of {most} workers; each batch stays what it was", flush=True)
    if news.done and (told is None or news.done != told.done):
        advance(news.done, news.note)
    return news


def attend(
    outcome: Future[None],
    desk: DriverSide,
    asked: threading.Event,
    job: TrainingJob,
    title: str,
    *,
    require_room: Callable[[], None],
) -> None:
    """Relay between ranks and terminal until Ray Train ends.

    Args:
        require_room: refuses a cluster that has no room for the workers.
    Raises: Refusal TR-06 if a stop takes too long, or what `require_room` raises if nodes are lost and none comes in
        their place.
    """
    told: News | None = None
    asked_at, room_at, room = None, time.monotonic(), beside(require_room)
    with progress(title, total=job.train.max_iterations) as advance:
        while not outcome.done():
            wait([outcome], timeout=_SECONDS_BETWEEN_NEWS)
            if asked.is_set():
                desk.ask_to_stop()
                asked_at = asked_at or time.monotonic()
                if time.monotonic() - asked_at > _STOPPED_WITHIN_S:
                    raise stopped_before_start(title, job.run_folder)
            told = _relay(desk.news(), told, advance, job.train.workers)
            if room.done():
                problem = room.exception()
                if problem is None:
                    room_at = time.monotonic()
                elif not isinstance(problem, Refusal) or time.monotonic() - room_at > _ROOM_WITHIN_S:
                    raise problem
                room = beside(require_room)  # a head that is gone never answers


# One worker of a data-parallel training: what Ray Train runs on every rank.


_SECONDS_BETWEEN_LOOKS = 2.0


class _Drain:
    """Notices that a node of this training is being taken away; Ray answers only when all ranks ask, so all do."""

    def __init__(self, desk: RankSide) -> None:
        self._desk = desk
        self._noticed = threading.Event()
        self.noticed = self._noticed.is_set
        threading.Thread(target=self._watch, daemon=True, name="drain").start()

    def _watch(self) -> None:
        while True:
            try:
                if ray.train.get_preemption_info() is not None:
                    break
            except (RayError, RuntimeError):
                return  # a rank has ended, and with it this group
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        self._desk.drain()
        self._noticed.set()


def run_rank(plain: dict[str, Any]) -> None:
    """Train to the end, or to a refusal, which the driver hears.

    Args:
        plain: `job`, a TrainingJob as plain values; `desk`, the driver's actor; `drains`, whether nodes may be taken
            away.
    """
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # kernels of one voxel have no one layout
    context = ray.train.get_context()
    rank = context.get_world_rank()
    desk = RankSide(plain["desk"], rank)
    if not desk.start(context.get_world_size()):
        return
    try:
        _train(plain, desk, rank, context.get_world_size())
    except Refusal as refusal:
        desk.refuse(refusal)
        if refusal.exit_code != ExitCode.RESUMABLE:
            raise  # Ray must free the ranks that wait for this one; a stop is agreed on, and all return
    except Exception as error:
        desk.break_down(error)
        raise


def _train(plain: dict[str, Any], desk: RankSide, rank: int, world_size: int) -> None:
    job = checked(TrainingJob, plain["job"], where="job", file="training job")
    records = rank == 0 and bool(job.mlflow_run_id)
    folder = node_folder(job)
    recorder = BackgroundRecorder(job.tracking_uri, job.mlflow_run_id, folder, say=desk.say) if records else None
    drain_noticed = _Drain(desk).noticed if plain["drains"] else (lambda: False)
    watch = SilenceWatch(lambda s: desk.break_down(TimeoutError(f"no step and no computing for {s:.0f} s")))

    def progress(done: int, note: str) -> None:
        desk.advance(done, note)
        if done == job.train.max_iterations:
            watch.close()
        elif world_size == 1:  # of several, the others notice
            watch.heard()

    surroundings = Surroundings(
        rank=rank,
        world_size=world_size,
        device=get_device(),
        recorder=recorder or NoRecorder(),
        progress=progress,
        say=desk.say,
        wrap=prepare_model,
        stop_requested=lambda: desk.stop_requested() or drain_noticed(),
    )
    try:
        _, result = fit_job(job, surroundings)
        if result.iterations < job.train.max_iterations:  # the others would wait for this one
            raise RuntimeError(f"training ended after {result.iterations} of {job.train.max_iterations} iterations")
        if rank == 0:
            desk.advance(result.iterations, "", last=True)
    finally:
        watch.close()
        if recorder:
            recorder.close()  # what the store does not take, `record_curve` sends when all is done


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
    asked = threading.Event()  # to commit a checkpoint and end
    with on_signal(asked.set):
        while not _fit(job, asked, title):
            pass
