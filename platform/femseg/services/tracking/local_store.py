"""The local store belongs to the folder it lies in: moved, renamed or copied, its artefacts are those beside it.

MLflow keeps the absolute address of every artefact. So whoever opens a SQLite store rewrites the addresses of another
place first. Every process that has a store open holds a shared lock on a file beside it: what is in use elsewhere under
another name (a container's mount) is never rewritten.
"""

import atexit
import errno
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from femseg.errors import Refusal
from femseg.files.durable import folder_written_durably, refuse_if_unwritable

_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
_ARTIFACTS = "artifacts"
_KEPT_OPEN: dict[tuple[int, int], int] = {}  # by device and inode; a lock lasts as long as its open file
_COPIES: dict[Path, Path] = {}  # they go with the process


def artifact_root(database: Path) -> str:
    """Where runs of a SQLite store keep artefacts: beside the database."""
    return (database.parent / _ARTIFACTS).as_uri()


def may_be_written(database: Path) -> bool:
    """Whether this process may change the database and put files beside it; a store that is not made yet counts."""
    there = next(folder for folder in (database.parent, *database.parent.parents) if folder.exists())
    return os.access(there, os.W_OK | os.X_OK) and (not database.exists() or os.access(database, os.W_OK))


def settle_here(database: Path) -> None:
    """Make the addresses in a store those of where it lies, and hold it as in use from here until the process ends.

    Raises: Refusal TK-12 (exit 2) if a process to which the store lies elsewhere has it open.
    """
    with _in_use(database) as alone:
        elsewhere = recorded_elsewhere(database)
        if elsewhere is None:
            return
        if not alone:
            problem = f"a process to which it lies in {elsewhere} has it open, perhaps in a container"
            fix = "give the project one path for all who use it at once, or wait for that process to end"
            raise Refusal.of("TK-12", database, problem, fix)
        _rewrite(database, elsewhere, database.parent)


def copy_to_read(database: Path) -> Path:
    """A copy of a store's database for this process, with the addresses of here; what is written to it is lost.

    For a store that may not be written, or that somebody uses under another path. The gate's log beside it goes along.
    """
    if database not in _COPIES:
        folder = Path(tempfile.mkdtemp(prefix="femseg-store-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        copy = folder / database.name
        with (
            closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        (copy.parent / "audit").symlink_to(database.parent / "audit")
        elsewhere = recorded_elsewhere(copy, lies_in=database.parent)
        if elsewhere is not None:
            _rewrite(copy, elsewhere, database.parent)
        _COPIES[database] = copy
    return _COPIES[database]


def recorded_elsewhere(database: Path, *, lies_in: Path | None = None) -> Path | None:
    """The folder that a store names as its own, where it is another than the one that it lies in."""
    here = lies_in or database.parent
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as store:
        try:
            rows = store.execute("SELECT artifact_location FROM experiments ORDER BY name = 'femseg' DESC").fetchall()
        except sqlite3.OperationalError:  # no such table: nothing is recorded
            return None
    roots = [place for (address,) in rows if (place := _local(address)) is not None and place.name == _ARTIFACTS]
    if not roots or roots[0].parent == here:
        return None
    with suppress(OSError):
        if roots[0].parent.samefile(here):  # by way of a link
            return None
    return roots[0].parent


def _local(address: str | None) -> Path | None:
    """The path of a local address, which MLflow writes as a file's URI or plainly."""
    parts = urlsplit(address or "")
    if parts.scheme not in ("", "file") or not parts.path.startswith("/"):
        return None
    return Path(unquote(parts.path) if parts.scheme else str(address))


def _rewrite(database: Path, before: Path, now: Path) -> None:
    """Change every address below one folder into the same one below another, in one transaction.

    What lies there alone, as a copy's trainings of an earlier femseg do, is brought here first.
    """
    with closing(sqlite3.connect(database, timeout=60.0)) as store, store:
        store.execute("BEGIN IMMEDIATE")
        for table, column in _ADDRESSES:
            rows = store.execute(f'SELECT DISTINCT "{column}" FROM "{table}"').fetchall()
            for (address,) in rows:
                place = _local(address)
                if place is None or not place.is_relative_to(before):
                    continue
                moved = now / place.relative_to(before)
                if table != "experiments" and place.is_dir() and not moved.exists() and os.access(now, os.W_OK):
                    with folder_written_durably(moved) as brought:
                        shutil.copytree(place, brought, dirs_exist_ok=True)
                change = f'UPDATE "{table}" SET "{column}" = ? WHERE "{column}" = ?'
                store.execute(change, (moved.as_uri() if address.startswith("file:") else str(moved), address))


@contextmanager
def _in_use(database: Path) -> Iterator[bool]:
    """Whether no other process has the store open; from now on this one has. Without locks, it says that none has."""
    try:
        held = os.open(database.parent / f".{database.name}.in-use", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        refuse_if_unwritable(database, error)
        raise
    file = os.fstat(held)
    kept = _KEPT_OPEN.setdefault((file.st_dev, file.st_ino), held)
    if kept != held:
        os.close(held)
    alone = _locked(kept, fcntl.LOCK_EX)
    try:
        yield alone
    finally:
        _locked(kept, fcntl.LOCK_SH)


def _locked(held: int, kind: int) -> bool:
    try:
        fcntl.flock(held, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True
