"""The points of a run's curves, each step once, kept in the run's own folder until and after the store has them."""

import json
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

SPOOL = "metrics.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One number of a curve. Its time is taken once: sent twice, it is the same point to MLflow, not a second one."""

    name: str
    value: float
    step: int
    time_ms: int


class PointSpool:
    """Takes points in microseconds and keeps those that wait to be sent; thread-safe.

    With a file, every point is handed to the operating system before `add` returns, so that kill -9 loses none; a run
    that goes on finds them all, holds each step for known and sends again whatever the store may have missed.
    A disk that is full costs the copy on disk, not the training: its points then wait in memory alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._steps: dict[str, set[int]] = {}
        self._waiting: list[Point] = []
        self._file = -1
        self._begin_line = False
        if path is not None:
            content = path.read_bytes() if path.exists() else b""
            for point in _points(content):
                self._take(point)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._begin_line = bool(content) and not content.endswith(b"\n")

    def add(self, name: str, value: float, *, step: int) -> None:
        """Take a point, unless this step of the curve is known."""
        point = Point(name=name, value=float(value), step=step, time_ms=int(time.time() * 1000))
        with self._lock:
            if self._take(point) and self._file >= 0:
                self._write(point)

    def _take(self, point: Point) -> bool:
        steps = self._steps.setdefault(point.name, set())
        if point.step in steps:
            return False
        steps.add(point.step)
        self._waiting.append(point)
        return True

    def _write(self, point: Point) -> None:
        plain = asdict(point) | {"value": point.value if math.isfinite(point.value) else str(point.value)}
        line = ("\n" if self._begin_line else "") + json.dumps(plain, allow_nan=False) + "\n"
        try:
            self._begin_line = os.write(self._file, line.encode()) < len(line)
        except OSError:
            self._begin_line = True

    def waiting(self, at_most: int) -> list[Point]:
        """The oldest points that were not sent yet."""
        with self._lock:
            return self._waiting[:at_most]

    def sent(self, count: int) -> None:
        """Let go of the oldest points; the file keeps them."""
        with self._lock:
            del self._waiting[:count]

    def __len__(self) -> int:
        return len(self._waiting)

    def sync(self) -> None:
        """Make what was written durable against a power cut."""
        with suppress(OSError):
            if self._file >= 0:
                os.fsync(self._file)

    def close(self) -> None:
        """Make it durable and let go of the file."""
        self.sync()
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1


def _points(content: bytes) -> Iterator[Point]:
    """The whole lines of a spool; what a power cut has torn is passed over, and comes again from the checkpoint."""
    for line in content.splitlines():
        with suppress(ValueError, TypeError, KeyError):
            plain = json.loads(line)
            value, step, time_ms = float(plain["value"]), int(plain["step"]), int(plain["time_ms"])
            yield Point(name=str(plain["name"]), value=value, step=step, time_ms=time_ms)
