"""How far long work has come and how long it will still take: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

Advance = Callable[[int, str], None]

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(
    title: str, *, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Advance]:
    """Give a function `advance(done, note)` to be called with how much of `total` is done.

    The time left is judged by the pace since the first call, so what an earlier run had done does not flatter it.

    Args:
        stream: where to write; standard error if None.
        clock: seconds.
    """
    stream = stream or sys.stderr
    if stream.isatty():
        with _bar(title, total, stream) as advance:
            yield advance
    else:
        yield _plain_lines(title, total, stream, clock)


def time_left(seconds: float) -> str:
    """Seconds as people say them: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _plain_lines(title: str, total: int, stream: TextIO, clock: Callable[[], float]) -> Advance:
    first: tuple[int, float] | None = None
    last_line = -_SECONDS_BETWEEN_LINES

    def advance(done: int, note: str = "") -> None:
        nonlocal first, last_line
        now = clock()
        first = first or (done, now)
        if done < total and now - last_line < _SECONDS_BETWEEN_LINES:
            return
        last_line = now
        parts = [f"{title}: {done} of {total}"]
        if note:
            parts.append(note)
        if first[0] < done < total:
            parts.append(f"{time_left((total - done) * (now - first[1]) / (done - first[0]))} left")
        print(", ".join(parts), file=stream, flush=True)

    return advance


@contextmanager
def _bar(title: str, total: int, stream: TextIO) -> Iterator[Advance]:
    from rich.console import Console  # here, so that training runs where rich is not installed
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(file=stream), speed_estimate_period=300) as bar:
        task = bar.add_task(title, total=total, note="")

        def advance(done: int, note: str = "") -> None:
            bar.update(task, completed=done, note=note)

        yield advance
