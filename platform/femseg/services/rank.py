"""One worker of a data-parallel training: what Ray Train runs on every rank."""

import threading
import time
import warnings
from typing import Any

import ray
import ray.train
from ray.exceptions import RayError
from ray.train.torch import get_device, prepare_model

from femseg.errors import ExitCode, Refusal
from femseg.services.background_recorder import BackgroundRecorder
from femseg.services.driver_desk import RankSide
from femseg.services.silence import SilenceWatch
from femseg.services.training_job import TrainingJob, fit_job, node_folder
from femseg.settings import checked
from femseg.training.recorder import NoRecorder
from femseg.training.surroundings import Surroundings

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
