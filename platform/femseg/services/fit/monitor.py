"""The driver beside Ray Train: ranks' lines and progress reach the terminal, a signal the ranks; no wait is endless."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from femseg.errors import Refusal
from femseg.progress import Advance, progress
from femseg.services.cluster.session import require_resources
from femseg.services.fit.control import DriverControl, Status, stopped_before_start
from femseg.services.fit.job import TrainingJob
from femseg.training.settings import fewest_workers

RETRIES = 3
_SECONDS_BETWEEN_LOOKS = 0.5
_STOPPED_WITHIN_S = 60.0  # a checkpoint takes less; ranks that wait for a node or a neighbour would take for ever
_ROOM_WITHIN_S = 300.0  # a node that was lost may come back, or a spare one start


def in_background(function: Callable[[], Any]) -> Future[None]:
    """Run a function in a thread that nobody needs to wait for; on the main thread Ray would take SIGINT for itself."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            function()
            future.set_result(None)
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="fit").start()
    return future


def require_room(job: TrainingJob, title: str) -> None:
    """Raises: Refusal CL-01 (exit 5) if the cluster has no room for as many workers as there must be."""
    workers = fewest_workers(job.train, job.network)
    require_resources(what=title, cpus=workers, gpus=workers if job.train.use_gpu else 0)


def monitor(
    fitting: Future[None], control: DriverControl, stop_requested: threading.Event, job: TrainingJob, title: str
) -> None:
    """Relay between ranks and terminal until Ray Train ends.

    Raises: Refusal TR-06 if a stop takes too long, CL-01 if nodes are lost and none comes in their place.
    """
    status: Status | None = None
    stop_at, room_at, room = None, time.monotonic(), in_background(lambda: require_room(job, title))
    with progress(title, total=job.train.max_iterations) as advance:
        while not fitting.done():
            wait([fitting], timeout=_SECONDS_BETWEEN_LOOKS)
            if stop_requested.is_set():
                control.request_stop()
                stop_at = stop_at or time.monotonic()
                if time.monotonic() - stop_at > _STOPPED_WITHIN_S:
                    raise stopped_before_start(title, job.run_folder)
            status = _shown(control.status(), status, advance, job.train.workers)
            if room.done():
                problem = room.exception()
                if problem is None:
                    room_at = time.monotonic()
                elif not isinstance(problem, Refusal) or time.monotonic() - room_at > _ROOM_WITHIN_S:
                    raise problem
                room = in_background(lambda: require_room(job, title))  # a head that is gone never answers


def _shown(status: Status | None, before: Status | None, advance: Advance, most: int) -> Status | None:
    """Show the ranks' lines and how far they are; the newest status that is known."""
    if status is None:
        return before
    for line in status.lines:
        print(line, flush=True)
    if status.attempts > 1 and (before is None or status.attempts > before.attempts):
        retry = f"{status.attempts - 1} of {RETRIES}"
        print(f"a worker was lost; all start again from the last checkpoint ({retry})", flush=True)
    if before is not None and 0 < before.workers != status.workers:
        print(f"training goes on with {status.workers} of {most} workers; each batch stays what it was", flush=True)
    if status.done and (before is None or status.done != before.done):
        advance(status.done, status.note)
    return status
