"""A worker that trains alone and falls silent is ended: no other worker waits for it, so nobody else would notice."""

import os
import signal
import threading
import time
from collections.abc import Callable

_BOUND_S = 100.0
_LOOKS = 10  # within the bound


class SilenceWatch:
    """Ends this process with kill -9 once its training thread has neither made a step nor computed for the bound.

    A step may take as long as it likes while it computes; a thread that waits for a file server, a lock or a sleep uses
    no processor time. Ray then sees a dead worker and starts another (TR-07). What Ray notices by itself is a process
    that does not answer at all.

    Args:
        last_words: told before the end, with the seconds of silence.
        bound_s: seconds; by default those after which Ray, too, gives a silent worker up.
    """

    def __init__(self, last_words: Callable[[float], None], *, bound_s: float | None = None) -> None:
        self._last_words = last_words
        self._bound_s = bound_s or float(os.environ.get("RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S", _BOUND_S))
        self._steps, self._ended = 0, threading.Event()
        self._clock: int | None = None

    def heard(self) -> None:
        """A step was made; called by the training thread, which is watched from its first step on."""
        self._steps += 1
        if self._clock is None:
            self._clock = time.pthread_getcpuclockid(threading.get_ident())
            threading.Thread(target=self._watch, args=(self._clock,), daemon=True, name="silence").start()

    def close(self) -> None:
        """All steps are made; what is still to be waited for has bounds of its own."""
        self._ended.set()

    def _watch(self, clock: int) -> None:
        seen, since = (-1, 0.0), time.monotonic()
        while not self._ended.wait(self._bound_s / _LOOKS):
            now = (self._steps, time.clock_gettime(clock))
            if now != seen:
                seen, since = now, time.monotonic()
            elif (silent_s := time.monotonic() - since) > self._bound_s:
                self._last_words(silent_s)
                os.kill(os.getpid(), signal.SIGKILL)
