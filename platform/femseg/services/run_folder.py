"""One process at a time works in a run folder; a dead one's claim dies with it."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from femseg.errors import ExitCode, Fault, Refusal


@contextmanager
def claimed(folder: Path, *, fault_id: str = "ST-08") -> Iterator[None]:
    """Hold a run folder while the block runs.

    Raises: Refusal (exit 2) naming host and process of whoever holds it already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".claim").open("a+", encoding="utf-8") as claim:
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.seek(0)
            fault = Fault(
                id=fault_id,
                file=str(folder),
                problem=f"is in use by {claim.read().strip() or 'another process'}",
                fix="wait for it to end, or stop it",
                exit_code=ExitCode.USAGE,
            )
            raise Refusal(fault) from None
        claim.truncate(0)
        claim.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        claim.flush()
        yield
