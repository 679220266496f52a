"""When a checkpoint is due."""

import time
from collections.abc import Callable


class CheckpointTimes:
    """Every so many iterations, or so many minutes after the last one, whichever comes first.

    Minutes are those of a clock that never steps back (TR-17). They differ from run to run, and so does what a kill
    costs; the result does not: a checkpoint changes nothing in the run that writes it.
    """

    def __init__(self, *, every: int, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`every` iterations; `minutes` 0 leaves it at that."""
        self._every, self._seconds, self._clock = every, minutes * 60, clock
        self._last = clock()

    def due(self, iteration: int) -> bool:
        """Whether this worker would write one after this iteration; if any would, all do."""
        return iteration % self._every == 0 or 0 < self._seconds <= self._clock() - self._last

    def written(self) -> None:
        """A checkpoint was written just now."""
        self._last = self._clock()
