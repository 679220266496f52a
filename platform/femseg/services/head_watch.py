"""A driver whose cluster loses its head ends with one line and CL-06; Ray ends it after a minute, in its own words."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from femseg.errors import ExitCode, Fault, Refusal

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
    return Refusal(
        Fault(
            id="CL-06",
            file="RAY_ADDRESS",
            problem=f"the head of the cluster at {address} has not answered for {_SILENT_S:.0f} s: {error}",
            fix="start the cluster again, then run the same command: it goes on from the last checkpoint",
            exit_code=ExitCode.SERVICE_DOWN,
        )
    )


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
