"""Starting a run, watching its journal, and kill -9 of a part of it at a drawn instant."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chaos import chaos_run
from femseg.exits import command_exit

RUN_LIMIT_S = 600.0
_POLL_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill -9 and what came of it.

    Attributes:
        kind: which part was killed.
        seconds: after the start of the command.
        rows: iterations that the journal held just before.
        redone: of these, how many were computed again; None until something trained again.
        seconds_to_training: until the next iteration was done, by whichever start; None if that was killed first.
        cut_off_after_s: how long nothing had trained again when the next kill came; None if something had.
    """

    kind: str
    seconds: float
    rows: int
    redone: int | None = None
    seconds_to_training: float | None = None
    cut_off_after_s: float | None = None


def started(folder: Path, *, iterations: int, ray_workers: int, warm: bool) -> psutil.Process:
    """The command, in a session of its own, its words in FOLDER/log.txt.

    Args:
        warm: fork this process, which has imported everything, instead of starting Python anew.
    """
    with (folder / "log.txt").open("ab") as log:
        if not warm:
            words = [sys.executable, str(Path(chaos_run.__file__)), str(folder), "--iterations", str(iterations)]
            words += ["--ray", str(ray_workers)] if ray_workers else []
            environment = os.environ | {"MLFLOW_TRACKING_URI": tracking_uri(folder)}
            return psutil.Popen(words, stdout=log, stderr=log, env=environment, start_new_session=True)
        child = os.fork()
        if child:
            return psutil.Process(child)
        os.setsid()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        os.environ["MLFLOW_TRACKING_URI"] = tracking_uri(folder)
        code = 1
        try:
            with command_exit():
                chaos_run.run(folder, iterations=iterations)
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            os._exit(code)


@contextmanager
def gone_afterwards() -> Iterator[Callable[..., psutil.Process]]:
    """`started`, and when the block ends, however it does, whatever was started so is gone with all below it."""
    commands: list[psutil.Process] = []

    def start(folder: Path, **how: Any) -> psutil.Process:
        commands.append(started(folder, **how))
        return commands[-1]

    try:
        yield start
    finally:
        for command in commands:
            for victim in _tree(command) if command.is_running() else []:
                with suppress(psutil.Error):
                    victim.kill()


def tracking_uri(folder: Path) -> str:
    """Every run has an MLflow database of its own."""
    return f"sqlite:///{folder / 'mlflow.db'}"


def _tree(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        process.suspend()  # it starts nothing more
        return [process, *process.children(recursive=True)]
    return []


def _ranks(process: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            found += [child] if "RayTrainWorker" in " ".join(child.cmdline()) else []
    return found


# What each kind of kill hits; `chaos_nodes.two_nodes` has what "node" hits.
VICTIMS: dict[str, Callable[[psutil.Process, random.Random], list[psutil.Process]]] = {
    "process": lambda process, dice: [process],
    "driver": lambda process, dice: [process],
    "tree": lambda process, dice: _tree(process),
    "rank": lambda process, dice: dice.sample(ranks, 1) if (ranks := _ranks(process)) else [],
}


def killed(kind: str, process: psutil.Process, dice: random.Random) -> bool:
    """kill -9; whether there was anything to hit."""
    victims = VICTIMS[kind](process, dice)
    for victim in victims:
        with suppress(psutil.Error):
            victim.send_signal(signal.SIGKILL)
    return bool(victims)


class Journal:
    """How far the run has come, from the file that it appends a line to after every iteration."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inode, self.base = self._state()

    def _state(self) -> tuple[int, int]:
        for path in self._folder.glob("runs/raw-*/curve.jsonl"):
            with suppress(OSError):
                return path.stat().st_ino, path.read_bytes().count(b"\n")
        return 0, 0

    def rows(self) -> int:
        """Iterations so far."""
        return self._state()[1]

    def trained_again(self) -> bool:
        """Whether, since this object was made, the run went on from a checkpoint and did an iteration.

        A run that goes on writes its journal anew; `base` is then the checkpoint's iteration.
        """
        inode, rows = self._state()
        if inode != self._inode:
            self._inode, self.base = inode, rows
            return False
        return rows > self.base


def instants(dice: random.Random, *, start_up_s: float, rows: int) -> Iterator[Callable[[float, int], bool]]:
    """When to kill, again and again: three of ten at an instant of the start-up, the others some iterations later."""
    while True:
        after_s, after_rows = dice.uniform(0.0, start_up_s), dice.randint(1, rows)
        if dice.random() < 0.3:
            yield lambda seconds, done, after_s=after_s: seconds >= after_s
        else:
            pause_s = dice.uniform(0.0, 0.02)
            yield lambda seconds, done, n=after_rows, s=pause_s: done >= n and not time.sleep(s)
