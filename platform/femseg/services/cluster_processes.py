"""The processes of one cluster of ours on this machine: found by a mark that only they carry, and ended for certain."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "FEMSEG_CLUSTER_ID"
_ENDED_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The first process of a node, in a session of its own.

    Attributes:
        pid: also the number of the session.
        started_ticks: clock ticks from boot to its start; tells it from a later process of the same number.
    """

    pid: int
    started_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    pid: int
    parent: int
    session: int
    started_ticks: int


def boot_id() -> str:
    """Names this start of this machine; process numbers mean nothing after the next one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _processes() -> list[_Process]:
    """All that live; one that has ended and waits for its parent does not."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent, _, session, *rest = stat.read_text().rpartition(")")[2].split()
            if state not in "ZX":
                process = _Process(
                    pid=int(stat.parent.name), parent=int(parent), session=int(session), started_ticks=int(rest[15])
                )
                found.append(process)
    return found


def leader(pid: int) -> Leader:
    """A process just started, as `end` will know it again. Raises: ProcessLookupError if it has ended."""
    for process in _processes():
        if process.pid == pid:
            return Leader(pid=pid, started_ticks=process.started_ticks)
    raise ProcessLookupError(pid)


def _carries_mark(pid: int, cluster_id: str) -> bool:
    with suppress(OSError):
        return f"{MARK}={cluster_id}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _lives_in(pid: int, folder: Path) -> bool:
    """Whether its working folder, standard output or error lies there."""
    for link in ("cwd", "fd/1", "fd/2"):
        with suppress(OSError):
            if Path(f"/proc/{pid}/{link}").readlink().is_relative_to(folder):
                return True
    return False


def processes_of(cluster_id: str, folder: Path, leaders: Sequence[Leader]) -> list[int]:
    """Every living process of a cluster, also orphans.

    Ray's workers overwrite their own environment when they rename themselves, and jobs leave the session. So a process
    belongs to the cluster if it carries the mark, or is of a leader's session and lives in the cluster's folder, or
    descends from such a one.

    Args:
        cluster_id: what MARK is set to in the environment of all that the cluster starts.
        folder: where its nodes live.
    """
    processes = _processes()
    sessions = {one.pid: one.started_ticks for one in leaders}
    ours = {
        process.pid
        for process in processes
        if _carries_mark(process.pid, cluster_id)
        or (
            process.started_ticks >= sessions.get(process.session, process.started_ticks + 1)
            and _lives_in(process.pid, folder)
        )
    }
    while below := {process.pid for process in processes if process.parent in ours} - ours:
        ours |= below
    return sorted(ours - {os.getpid()})


def end(cluster_id: str, folder: Path, leaders: Sequence[Leader]) -> int:
    """Ask the leaders to end, then kill whatever is left; returns how many processes there were.

    Raises: TimeoutError if one cannot be killed.
    """
    present = processes_of(cluster_id, folder, leaders)
    for one in leaders:
        if one.pid in present:
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGTERM)
    asked = time.monotonic()
    while left := processes_of(cluster_id, folder, leaders):
        waited_s = time.monotonic() - asked
        if waited_s > 3 * _ENDED_WITHIN_S:
            raise TimeoutError(f"processes {left} cannot be ended")
        if waited_s > _ENDED_WITHIN_S or not {one.pid for one in leaders} & set(left):
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    return len(present)
