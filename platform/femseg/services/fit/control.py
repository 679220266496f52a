"""What ranks and their driver tell one another: a small Ray actor, so that ranks are heard and stopped on any node."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from femseg.errors import Fault, Refusal

_ANSWER_WITHIN_S = 60.0
_SECONDS_BETWEEN_PROGRESS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What has happened since the last time.

    Attributes:
        attempts: how often a group of ranks has started, but for those that have grown.
        workers: ranks in the newest group; 0 before the first.
        done, note: how far rank 0 has come; 0 and "" before its first iteration.
        lines: what ranks had to say, such as a checkpoint set aside.
    """

    attempts: int
    workers: int
    done: int
    note: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How the newest group of ranks has ended.

    Attributes:
        faults: what ranks refused, in the order in which they came.
        broken: "rank 1: RuntimeError: ..." of the rank that broke first, or "".
        draining: a node that is being taken away made the ranks stop.
    """

    faults: tuple[Fault, ...]
    broken: str
    draining: bool


class _Desk:
    """Lives on the driver's node and dies with the driver; what it knows is needed by nobody after that."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._attempts, self._workers, self._done, self._note = 0, 0, 0, ""
        self._lines: list[str] = []
        self._faults: list[Fault] = []
        self._broken: list[str] = []
        self._draining = False

    async def start(self, workers: int) -> bool:
        """A group of ranks starts; False if an earlier one refused for a stated reason, which a retry cannot change.

        One with more ranks than the last starts because there is room for them, and not because one was lost.
        """
        if not 0 < self._workers < workers:
            self._attempts += 1
        self._workers = workers
        self._broken.clear()
        return not self._faults

    async def stopped(self) -> None:
        """Answers when the driver asks the ranks to stop."""
        await self._stop.wait()

    async def stop(self) -> None:
        self._stop.set()

    async def advance(self, done: int, note: str) -> None:
        self._done, self._note = done, note

    async def say(self, line: str) -> None:
        self._lines.append(line)

    async def refuse(self, faults: list[Fault]) -> None:
        self._faults += [fault for fault in faults if fault not in self._faults]

    async def break_down(self, words: str) -> None:
        self._broken.append(words)

    async def drain(self) -> None:
        self._draining = True

    async def news(self) -> News:
        lines, self._lines = tuple(self._lines), []
        return News(attempts=self._attempts, workers=self._workers, done=self._done, note=self._note, lines=lines)

    async def verdict(self) -> Verdict:
        broken = self._broken[0] if self._broken else ""
        return Verdict(faults=tuple(self._faults), broken=broken, draining=self._draining)


class DriverSide:
    """The desk as the driver uses it; plain calls that wait for their answer, but never for ever."""

    def __init__(self) -> None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.actor: Any = (
            ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Desk)
            .options(scheduling_strategy=here)
            .remote()
        )

    def ask_to_stop(self) -> None:
        """Ask every rank to commit a checkpoint and end; asking again does no harm."""
        self.actor.stop.remote()

    def news(self) -> News | None:
        """What has happened since the last time; None if the desk is too busy to say."""
        try:
            answer: News = ray.get(self.actor.news.remote(), timeout=_ANSWER_WITHIN_S)
        except RayError:
            return None
        return answer

    def verdict(self) -> Verdict:
        """How the newest group of ranks has ended. Raises: RayError if the desk is lost."""
        answer: Verdict = ray.get(self.actor.verdict.remote(), timeout=_ANSWER_WITHIN_S)
        return answer

    def close(self) -> None:
        """Let it go; a session may outlive the training."""
        with suppress(RayError):
            ray.kill(self.actor)


class RankSide:
    """The desk as a rank uses it."""

    def __init__(self, actor: Any, rank: int) -> None:
        self._actor, self._rank = actor, rank
        self._stopped = actor.stopped.remote()
        self._last_progress = 0.0

    def start(self, workers: int) -> bool:
        """Rank 0 says that its group, of so many, starts; every rank asks whether it should."""
        if self._rank == 0:
            return bool(ray.get(self._actor.start.remote(workers), timeout=_ANSWER_WITHIN_S))
        verdict: Verdict = ray.get(self._actor.verdict.remote(), timeout=_ANSWER_WITHIN_S)
        return not verdict.faults

    def stop_requested(self) -> bool:
        """Whether the driver asks to stop; costs no message."""
        return bool(ray.wait([self._stopped], timeout=0)[0])

    def advance(self, done: int, note: str, *, last: bool = False) -> None:
        """Say how far training has come, twice a second at most."""
        now = time.monotonic()
        if last:
            self._tell(self._actor.advance.remote(done, note))
        elif now - self._last_progress > _SECONDS_BETWEEN_PROGRESS:
            self._last_progress = now
            self._actor.advance.remote(done, note)

    def say(self, line: str) -> None:
        """A line for the driver's log."""
        self._tell(self._actor.say.remote(line))

    def refuse(self, refusal: Refusal) -> None:
        """This rank goes no further, for stated reasons."""
        self._tell(self._actor.refuse.remote(list(refusal.faults)))

    def break_down(self, error: Exception) -> None:
        """This rank fails, and perhaps others after it; the first one's words are worth showing."""
        words = " ".join(str(error).split())[:300]
        self._tell(self._actor.break_down.remote(f"rank {self._rank}: {type(error).__name__}: {words}"))

    def drain(self) -> None:
        """The node of a rank is about to be taken away."""
        self._tell(self._actor.drain.remote())

    def _tell(self, answer: Any) -> None:
        with suppress(RayError):  # a driver that is gone cannot be told
            ray.get(answer, timeout=_ANSWER_WITHIN_S)


def refusal_of(verdict: Verdict) -> Refusal | None:
    """What the ranks refused, the first first; that another rank refused is worth saying only if nothing else is."""
    reasons = [fault for fault in verdict.faults if fault.id != "TR-08"] or list(verdict.faults)
    return Refusal(reasons) if reasons else None


def stopped_before_start(what: str, run_folder: str) -> Refusal:
    """A stop that was asked for before any rank could commit a checkpoint."""
    return Refusal(
        Fault(
            id="TR-06",
            file=run_folder,
            problem=f"{what} was asked to stop before its workers had started; earlier checkpoints are as they were",
            fix="run the same command again to go on",
        )
    )
