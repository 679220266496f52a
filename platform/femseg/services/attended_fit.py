"""Ray Train beside the main thread: what ranks say is shown, a signal is passed on, and no wait is endless."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any

from femseg.errors import Refusal
from femseg.progress import Advance, progress
from femseg.services.driver_desk import DriverSide, News, stopped_before_start
from femseg.services.training_job import TrainingJob

RETRIES = 3
_SECONDS_BETWEEN_NEWS = 0.5
_STOPPED_WITHIN_S = 60.0  # a checkpoint takes less; ranks that wait for a node or a neighbour would take for ever
_ROOM_WITHIN_S = 300.0  # a node that was lost may come back, or a spare one start


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """SIGTERM and SIGINT ask the workers to commit a checkpoint and end, instead of killing this process."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda signum, frame: asked.set()) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
