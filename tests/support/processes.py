"""Start commands of their own, watch what they write, and end them the hard way."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """All processes below one, found by their parents; itself left out."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(stat.parent.name))
    found, queue = [], [pid]
    while queue:
        children = parents.get(queue.pop(), [])
        found += children
        queue += children
    return found


def command_line(pid: int) -> str:
    """What a process was started with, as far as it still says; Ray's workers say what they are."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def start(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    """In a session of its own, so that it can be ended with all that it started."""
    with log.open("ab") as stream:
        return subprocess.Popen(command, env=env, cwd=cwd, stdout=stream, stderr=stream, start_new_session=True)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    """Wait for a condition while a process works; it must not end before."""
    limit = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode} too early:\n{log.read_text()[-3000:]}"
        assert time.monotonic() < limit, f"not within {timeout_s} s:\n{log.read_text()[-3000:]}"
        time.sleep(0.02)


def ended(process: subprocess.Popen[bytes], log: Path, timeout_s: float) -> int:
    """How a process ends; one that does not in time is killed and is an error."""
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        kill_tree(process)
        raise AssertionError(f"no end within {timeout_s} s:\n{log.read_text()[-3000:]}") from None


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a process and all that it started; it is stopped first, to start and write nothing meanwhile."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGSTOP)
    below = descendants(process.pid)
    for pid in (process.pid, *below):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    limit = time.monotonic() + 30
    while any(command_line(pid) for pid in below):
        assert time.monotonic() < limit
        time.sleep(0.05)
