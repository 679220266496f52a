"""A driver whose cluster loses its head ends with one line and CL-06; Ray ends it after a minute, in its own words."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from femseg.errors import Refusal
from femseg.faults import ExitCode

_ANSWER_WITHIN_S = 5.0
_SECONDS_BETWEEN_LOOKS = 2.0
_SILENT_S = 20.0  # Ray ends the whole process, with exit code 1, after 60 s
_UNWOUND_WITHIN_S = 15.0  # calls to a Ray without head may never come back


def place_of(address: str) -> tuple[str, int] | None:
    """Host and port of a head; None of "auto", which Ray looks for."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdigit() else None


def unanswered(place: tuple[str, int]) -> OSError | None:
    """What keeps this process from a head; None if it takes connections."""
    try:
        socket.create_connection(place, timeout=_ANSWER_WITHIN_S).close()
    except OSError as error:
        return error
    return None


def _lost(address: str, error: OSError) -> Refusal:
    problem = f"the head of the cluster at {address} has not answered for {_SILENT_S:.0f} s: {error}"
    fix = "start the cluster again, then run the same command: it goes on from the last checkpoint"
    return Refusal.of("CL-06", "RAY_ADDRESS", problem, fix)


@contextmanager
def head_watched(address: str) -> Iterator[Callable[[], bool]]:
    """Raise CL-06 in the main thread once the head of a cluster is lost; gives a question whether it is.

    A main thread that waits in Ray for an answer that cannot come is ended, with the process, by exit code 6.
    Only a main thread is watched over.
    """
    place = place_of(address)
    if place is None or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    over = threading.Event()
    found: list[Refusal] = []

    def watch() -> None:
        answered_at = time.monotonic()
        while not over.wait(_SECONDS_BETWEEN_LOOKS):
            error = unanswered(place)
            if error is None:
                answered_at = time.monotonic()
            elif time.monotonic() - answered_at > _SILENT_S:
                found.append(_lost(address, error))
                break
        if not found:
            return
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        if not over.wait(_UNWOUND_WITHIN_S):
            print(*found[0].faults, sep="\n", file=sys.stderr, flush=True)
        else:
            time.sleep(_UNWOUND_WITHIN_S)  # Ray's own farewells may wait, too
        os._exit(int(ExitCode.SERVICE_DOWN))

    def refuse(signum: int, frame: object) -> None:
        raise found[0]

    before = signal.signal(signal.SIGUSR1, refuse)
    threading.Thread(target=watch, daemon=True, name="head").start()
    try:
        yield lambda: bool(found)
    finally:
        over.set()
        signal.signal(signal.SIGUSR1, before)


# A worker that trains alone and hangs is ended: no other worker waits for it, so nobody else would notice.


_BOUND_S = 100.0
_LOOKS = 10  # within the bound


class Watchdog:
    """Ends this process with kill -9 once its training thread has neither made a step nor computed for the bound.

    A step may take as long as it likes while it computes; a thread that waits for a file server, a lock or a sleep uses
    no processor time. Ray then sees a dead worker and starts another (TR-07). What Ray notices by itself is a process
    that does not answer at all.

    Args:
        on_timeout: called before the end, with the seconds without a step.
        bound_s: seconds; by default those after which Ray, too, gives up a worker that does not answer.
    """

    def __init__(self, on_timeout: Callable[[float], None], *, bound_s: float | None = None) -> None:
        self._on_timeout = on_timeout
        self._bound_s = bound_s or float(os.environ.get("RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S", _BOUND_S))
        self._steps, self._ended = 0, threading.Event()
        self._clock: int | None = None

    def step(self) -> None:
        """A step is made; called by the training thread, which is watched from its first step on."""
        self._steps += 1
        if self._clock is None:
            self._clock = time.pthread_getcpuclockid(threading.get_ident())
            threading.Thread(target=self._watch, args=(self._clock,), daemon=True, name="watchdog").start()

    def close(self) -> None:
        """All steps are made; what is still to be waited for has bounds of its own."""
        self._ended.set()

    def _watch(self, clock: int) -> None:
        seen, since = (-1, 0.0), time.monotonic()
        while not self._ended.wait(self._bound_s / _LOOKS):
            now = (self._steps, time.clock_gettime(clock))
            if now != seen:
                seen, since = now, time.monotonic()
            elif (idle_s := time.monotonic() - since) > self._bound_s:
                self._on_timeout(idle_s)
                os.kill(os.getpid(), signal.SIGKILL)
