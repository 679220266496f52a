"""What killed writers leave behind, told from what living ones are about to finish: a lock dies with its process."""

import fcntl
import hashlib
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path


def claimed_name(target: Path, ending: str) -> Path:
    """A fresh hidden name beside a target, from which the target is told."""
    return target.parent / f"{_beginning(target)}{uuid.uuid4().hex[:20]}{ending}"


def _beginning(target: Path) -> str:
    return f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


def lock(handle: int, path: Path) -> bool:
    """Lock an open file or folder against `sweep`; False if `path` is no longer the name of it.

    Where the file system knows no locks, nothing is locked, and nothing is ever swept.
    """
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def sweep(target: Path) -> None:
    """Remove what dead writers of `target` have left beside it.

    Of a folder that a writer died in the middle of replacing, the earlier one comes back first.
    """
    with suppress(OSError):  # whoever cannot look here is told so by the writing
        for leftover in target.parent.glob(f"{_beginning(target)}*"):
            _remove_if_dead(leftover, target)


def _remove_if_dead(leftover: Path, target: Path) -> None:
    try:
        handle = os.open(leftover, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its writer lives, or there are no locks here
        return
    else:
        if leftover.suffix == ".old" and not target.exists():
            leftover.rename(target)
        elif leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    finally:
        os.close(handle)
