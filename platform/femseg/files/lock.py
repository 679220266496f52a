"""Who holds a lock, and whether that process lives; and a lock on a file, which ends with its holder."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from femseg.errors import Refusal, printable
from femseg.files.durable import refuse_if_unwritable

_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_RETRY_S = 0.1


def this_process() -> str:
    """This process as it signs a lock, a lease or a run: its host, its number, and what the number means.

    A number means something within a boot and a PID namespace, and until another process gets it: hence the start.
    """
    here = "".join(f" {key}={value}" for key, value in _here().items())
    return f"host={socket.gethostname()} pid={os.getpid()} began={_began('self')}{here}"


def parts(owner: str) -> dict[str, str]:
    """The words of `this_process` by name."""
    return dict(word.split("=", 1) for word in owner.split() if "=" in word)


def process_named(owner: str) -> str:
    """The same for people: process and host."""
    found = parts(owner)
    return printable(f"process {found.get('pid', '?')} on {found.get('host', 'an unknown host')}")


def lives(owner: str) -> bool | None:
    """Whether a process lives; None, which is no proof of death, of one in another boot or PID namespace."""
    found, here = parts(owner), _here()
    if not here or any(found.get(key) != value for key, value in here.items()):
        return None
    began = _began(found.get("pid", ""))
    return None if began is None else bool(began) and began == found.get("began")


def _here() -> dict[str, str]:
    """Boot and PID namespace; nothing where /proc is missing or shows another namespace."""
    try:
        if Path("/proc/self").readlink().name != str(os.getpid()):
            return {}
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return {"boot": boot, "namespace": str(Path("/proc/self/ns/pid").readlink())}
    except OSError:
        return {}


def _began(pid: str) -> str | None:
    """Start of a process in ticks since boot, which no change of the clock moves; "" of none, and of a zombie.

    None of one that may not be looked at: /proc can hide the processes of other users.
    """
    if not (pid.isdecimal() or pid == "self"):
        return ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except OSError:
        pass
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return None
    except (OSError, ValueError, OverflowError):
        return ""
    return None


@contextmanager
def locked(
    folder: Path,
    *,
    name: str = ".lock",
    fault_id: str = "ST-08",
    wait_s: float = 0.0,
    say: Callable[[str], None] = print,
) -> Iterator[None]:
    """Hold a folder, made if need be, while the block runs: one process at a time works in it.

    The kernel releases the lock when its holder dies, also one in another PID namespace; the file only names the
    holder. `say` hears of a lock that a dead process left, and of a file system without locks, where nothing is held.

    Args:
        name: of the lock's file.
        wait_s: how long to wait for a holder that is about to end.
    Raises: Refusal (exit 2) naming host and process of the holder; (exit 5) if the disk takes no file.
    """
    with _opened(folder / name) as lock:
        _lock(lock, folder, fault_id, wait_s, say)
        if left := _holder(lock):
            say(f"{printable(folder)}: taken over from {left}, which ended without letting go")
        with suppress(OSError):  # on a full disk the lock holds without its holder's name
            lock.truncate(0)
            lock.write(this_process())
            lock.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                lock.truncate(0)


def _opened(file: Path) -> TextIO:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a+", encoding="utf-8")
    except OSError as error:
        refuse_if_unwritable(file, error)
        raise


def _holder(lock: TextIO) -> str:
    lock.seek(0)
    owner = lock.read()
    return process_named(owner) if owner.strip() else ""


def _lock(lock: TextIO, folder: Path, fault_id: str, wait_s: float, say: Callable[[str], None]) -> None:
    limit = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < limit:
                time.sleep(_RETRY_S)
                continue
            raise in_use(fault_id, str(folder), _holder(lock) or "another process") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            where = printable(folder)
            say(f"warning {fault_id}: {where}: this file system knows no locks; start one run at a time")
        return


def in_use(fault_id: str, what: str, holder: str) -> Refusal:
    """The refusal (exit 2) of something that another process holds."""
    return Refusal.of(fault_id, what, f"is in use by {holder}", "wait for it to end, or stop it")
