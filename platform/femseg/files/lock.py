"""One process at a time works in a folder: a lock on a file in it, which dies with its holder and says who that is."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from femseg.errors import Fault, Refusal, printable
from femseg.files.durable import refuse_if_unwritable

_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_POLL_S = 0.1


@contextmanager
def claimed_by(
    file: Path, *, fault_id: str = "ST-08", wait_s: float = 0.0, say: Callable[[str], None] = print
) -> Iterator[None]:
    """Hold `file` while the block runs; its folder is made if need be.

    A holder that died has let go, whatever it died of; that its claim is taken over is told to `say`. Where the file
    system knows no locks, the claim is a note that nobody heeds, and that is told too.

    Args:
        wait_s: how long to wait for a holder that is about to end.
    Raises: Refusal (exit 2) naming host and process of whoever holds it; (exit 5) if the disk takes no file.
    """
    with _opened(file) as claim:
        _lock(claim, file, fault_id, wait_s, say)
        claim.seek(0)
        if left := claim.read().strip():
            say(f"{printable(file.parent)}: taken over from {printable(left)}, which ended without letting go")
        with suppress(OSError):  # on a full disk the lock holds without its holder's name
            claim.truncate(0)
            claim.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            claim.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                claim.truncate(0)


def _opened(file: Path) -> TextIO:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a+", encoding="utf-8")
    except OSError as error:
        refuse_if_unwritable(file, error)
        raise


def _lock(claim: TextIO, file: Path, fault_id: str, wait_s: float, say: Callable[[str], None]) -> None:
    limit = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < limit:
                time.sleep(_POLL_S)
                continue
            claim.seek(0)
            fault = Fault(
                id=fault_id,
                file=str(file.parent),
                problem=f"is in use by {printable(claim.read().strip()) or 'another process'}",
                fix="wait for it to end, or stop it",
            )
            raise Refusal(fault) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            where = printable(file.parent)
            say(f"warning {fault_id}: {where}: this file system knows no locks; start one run at a time")
        return


# One process at a time works in a run folder; a dead one's claim dies with it.


@contextmanager
def claimed(folder: Path, *, fault_id: str = "ST-08") -> Iterator[None]:
    """Hold a run folder while the block runs; a dead holder's claim is taken over, and said so.

    Raises: Refusal (exit 2) naming host and process of whoever holds it already.
    """
    with claimed_by(folder / ".claim", fault_id=fault_id):
        yield
