"""Between the driver and its ranks: a small Ray actor, by which ranks report and are stopped on any node."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from femseg.errors import Fault, Refusal, words_of
from femseg.faults import ExitCode

_ANSWER_WITHIN_S = 60.0
_SECONDS_BETWEEN_PROGRESS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far the ranks are.

    Attributes:
        attempts: how often a group of ranks has started, but for those that have grown.
        workers: ranks in the newest group; 0 before the first.
        done, note: how far rank 0 has come; 0 and "" before its first iteration.
        lines: log lines of the ranks since the last status, such as a checkpoint set aside.
    """

    attempts: int
    workers: int
    done: int
    note: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOutcome:
    """How the newest group of ranks has ended.

    Attributes:
        faults: of the ranks that refused, in the order in which they came.
        error: "rank 1: RuntimeError: ..." of the rank that failed first, or "".
        draining: a node that is being taken away made the ranks stop.
    """

    faults: tuple[Fault, ...]
    error: str
    draining: bool


class ControlActor:
    """Lives on the driver's node and dies with the driver; nobody needs its state after that."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._attempts, self._workers, self._done, self._note = 0, 0, 0, ""
        self._lines: list[str] = []
        self._faults: list[Fault] = []
        self._errors: list[str] = []
        self._draining = False

    async def start(self, workers: int) -> bool:
        """A group of ranks starts; False if an earlier one refused for a stated reason, which a retry cannot change.

        One with more ranks than the last starts because there is room for them, and not because one was lost.
        """
        if not 0 < self._workers < workers:
            self._attempts += 1
        self._workers = workers
        self._errors.clear()
        return not self._faults

    async def wait_for_stop(self) -> None:
        """Answers when the driver asks the ranks to stop."""
        await self._stop.wait()

    async def request_stop(self) -> None:
        self._stop.set()

    async def progress(self, done: int, note: str) -> None:
        self._done, self._note = done, note

    async def log(self, line: str) -> None:
        self._lines.append(line)

    async def refuse(self, faults: list[Fault]) -> None:
        self._faults += [fault for fault in faults if fault not in self._faults]

    async def fail(self, error: str) -> None:
        self._errors.append(error)

    async def drain(self) -> None:
        self._draining = True

    async def status(self) -> Status:
        lines, self._lines = tuple(self._lines), []
        return Status(attempts=self._attempts, workers=self._workers, done=self._done, note=self._note, lines=lines)

    async def outcome(self) -> GroupOutcome:
        error = self._errors[0] if self._errors else ""
        return GroupOutcome(faults=tuple(self._faults), error=error, draining=self._draining)


class DriverControl:
    """The control actor as the driver uses it; plain calls that wait for their answer, within a bound."""

    def __init__(self) -> None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.actor: Any = (
            ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(ControlActor)
            .options(scheduling_strategy=here)
            .remote()
        )

    def request_stop(self) -> None:
        """Ask every rank to commit a checkpoint and end; asking again does no harm."""
        self.actor.request_stop.remote()

    def status(self) -> Status | None:
        """How far the ranks are; None if the actor is too busy to answer."""
        try:
            answer: Status = ray.get(self.actor.status.remote(), timeout=_ANSWER_WITHIN_S)
        except RayError:
            return None
        return answer

    def outcome(self) -> GroupOutcome:
        """How the newest group of ranks has ended; if the actor is lost, as on a node out of memory, that is why."""
        try:
            answer: GroupOutcome = ray.get(self.actor.outcome.remote(), timeout=_ANSWER_WITHIN_S)
        except RayError as error:
            return GroupOutcome(faults=(), error=f"{type(error).__name__}: {words_of(error)}", draining=False)
        return answer

    def close(self) -> None:
        """Let it go; a session may outlive the training."""
        with suppress(RayError):
            ray.kill(self.actor)


class RankControl:
    """The control actor as a rank uses it."""

    def __init__(self, actor: Any, rank: int) -> None:
        self._actor, self._rank = actor, rank
        self._stopped = actor.wait_for_stop.remote()
        self._last_progress = 0.0

    def start(self, workers: int) -> bool:
        """Whether this rank's group, of so many workers, should start; rank 0 counts it as one more attempt."""
        if self._rank == 0:
            return bool(ray.get(self._actor.start.remote(workers), timeout=_ANSWER_WITHIN_S))
        outcome: GroupOutcome = ray.get(self._actor.outcome.remote(), timeout=_ANSWER_WITHIN_S)
        return not outcome.faults

    def stop_requested(self) -> bool:
        """Whether the driver asks to stop; costs no message."""
        return bool(ray.wait([self._stopped], timeout=0)[0])

    def progress(self, done: int, note: str, *, last: bool = False) -> None:
        """Report how far training has come, twice a second at most."""
        now = time.monotonic()
        if last:
            self._send(self._actor.progress.remote(done, note))
        elif now - self._last_progress > _SECONDS_BETWEEN_PROGRESS:
            self._last_progress = now
            self._actor.progress.remote(done, note)

    def log(self, line: str) -> None:
        """A line for the driver's log."""
        self._send(self._actor.log.remote(line))

    def refuse(self, refusal: Refusal) -> None:
        """This rank goes no further, for stated reasons."""
        self._send(self._actor.refuse.remote(list(refusal.faults)))

    def fail(self, error: Exception) -> None:
        """This rank fails, and perhaps others after it; the first one's error is worth showing."""
        self._send(self._actor.fail.remote(f"rank {self._rank}: {type(error).__name__}: {words_of(error)}"))

    @contextmanager
    def failures_reported(self) -> Iterator[None]:
        """Report a refusal or an error of the block to the driver, and raise it.

        A stop (exit 75) is not raised: all ranks agree on it and return. Anything else is: Ray frees the ranks that
        wait for this one.
        """
        try:
            yield
        except Refusal as refusal:
            self.refuse(refusal)
            if refusal.exit_code != ExitCode.RESUMABLE:
                raise
        except Exception as error:
            self.fail(error)
            raise

    def drain(self) -> None:
        """The node of a rank is about to be taken away."""
        self._send(self._actor.drain.remote())

    def _send(self, answer: Any) -> None:
        with suppress(RayError):  # a driver that is gone takes no message
            ray.get(answer, timeout=_ANSWER_WITHIN_S)


def refusal_of(outcome: GroupOutcome) -> Refusal | None:
    """The refusals of the ranks, the first first; TR-08, that another rank refused, only if there is nothing else."""
    reasons = [fault for fault in outcome.faults if fault.id != "TR-08"] or list(outcome.faults)
    return Refusal(reasons) if reasons else None


def stopped_before_start(what: str, run_folder: str) -> Refusal:
    """A stop that was asked for before any rank could commit a checkpoint."""
    problem = f"{what} was asked to stop before its workers had started; earlier checkpoints are as they were"
    return Refusal.of("TR-06", run_folder, problem, "run the same command again to go on")
