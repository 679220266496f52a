"""Files that matter appear whole or not at all: temporary name, fsync, read back, rename, fsync of the folder.

A writer holds a lock on what it writes under the temporary name, and the lock dies with it, whatever it dies of. So the
next one to write the same name knows what a killed one has left, and removes it.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from femseg.errors import Fault, Refusal
from femseg.files.plain import open_plain

# What killed writers leave behind, told from what living ones are about to finish: a lock dies with its process.


def claimed_name(target: Path, ending: str) -> Path:
    """A fresh hidden name beside a target, from which the target is told."""
    return target.parent / f"{_beginning(target)}{uuid.uuid4().hex[:20]}{ending}"


def _beginning(target: Path) -> str:
    return f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


def lock(handle: int, path: Path) -> bool:
    """Lock an open file or folder against `remove_interrupted_writes`; False if `path` is no longer the name of it.

    Where the file system knows no locks, nothing is locked, and nothing is ever swept.
    """
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def remove_interrupted_writes(target: Path) -> None:
    """Remove what dead writers of `target` have left beside it.

    Of a folder that a writer died in the middle of replacing, the earlier one comes back first.
    """
    with suppress(OSError):  # whoever cannot look here is told so by the writing
        for interrupted in target.parent.glob(f"{_beginning(target)}*"):
            _remove_if_dead(interrupted, target)


def _remove_if_dead(interrupted: Path, target: Path) -> None:
    try:
        handle = os.open(interrupted, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its writer lives, or there are no locks here
        return
    else:
        if interrupted.suffix == ".old" and not target.exists():
            interrupted.rename(target)
        elif interrupted.is_dir():
            shutil.rmtree(interrupted, ignore_errors=True)
        else:
            interrupted.unlink(missing_ok=True)
    finally:
        os.close(handle)


JSON_AT_MOST_BYTES = 1 << 30  # the largest is a manifest: some 100 MB for 1000 studies of 400 slices
_CHUNK_BYTES = 1 << 20


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes. Raises: OSError if it is no regular file, too."""
    with open_plain(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_json(value: Any) -> str:
    """Hex SHA-256 of a JSON value in canonical form: a fingerprint of settings."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.ESTALE)


def refuse_if_unwritable(path: Path, error: OSError) -> None:
    """Raises: Refusal (ST-06, exit 5) if the error is the disk's: full, over quota, read-only, broken or gone."""
    if error.errno in _UNWRITABLE:
        fix = "free space or choose a writable folder; what was there before is untouched"
        raise Refusal.of("ST-06", path, f"cannot be written: {error.strerror}", fix) from error


def _make_place(path: Path) -> None:
    """Make the folder that `path` is to lie in. Raises: Refusal (exit 5 or 2) where there is no such place."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse_if_unwritable(path, error)
        _refuse_misplaced(path, error.strerror or str(error))


def _refuse_misplaced(path: Path, problem: str) -> NoReturn:
    raise Refusal.of("ST-10", path, f"cannot be written there: {problem}", "choose another place; nothing was written")


def require_writable(path: Path) -> None:
    """Refuse now (exit 2 or 5) what `written_durably` would refuse after the work; makes nothing."""
    for folder in path.absolute().parents:
        if os.path.lexists(folder):
            break
    _refuse_unusable(path)
    probe = claimed_name(folder / path.name, ".part")
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        probe.unlink()
    except OSError as error:
        refuse_if_unwritable(path, error)
        _refuse_misplaced(path, error.strerror or str(error))


def _refuse_unusable(path: Path) -> None:
    """Refuse (exit 2) a folder in a file's place, and a name that no file can have."""
    try:
        if path.is_dir():
            _refuse_misplaced(path, os.strerror(errno.EISDIR))
    except OSError as error:
        refuse_if_unwritable(path, error)
        _refuse_misplaced(path, error.strerror or str(error))


@contextmanager
def written_durably(
    path: Path, *, check: Callable[[Path], None] | None = None, keep_earlier: bool = False, mode: int = 0o666
) -> Iterator[Path]:
    """Give an empty temporary file beside `path`; once the block has written it, make it durable under its final name.

    Args:
        path: final name; its folder is made if need be. The temporary name keeps its suffixes.
        check: called with the temporary path after fsync; it reads back and raises to refuse.
        keep_earlier: leave a file that has the final name by then, also one of another process, as it is.
        mode: who may read and write it, from the first byte on; the umask narrows it.
    Raises: Refusal (exit 5) when the disk is full or unwritable, (exit 2) when `path` is a folder or its folder cannot
        be one. On any error no file is left under either name and an earlier file under the final name stays as it was.
    """
    _make_place(path)
    _refuse_unusable(path)
    try:
        temporary, claim = _claimed_temporary(path, mode)
    except OSError as error:
        refuse_if_unwritable(path, error)
        _refuse_misplaced(path, error.strerror or str(error))
    try:
        yield temporary
        _fsync(temporary)
        if check is not None:
            check(temporary)
        if keep_earlier:
            with suppress(FileExistsError):
                os.link(temporary, path)  # unlike a rename, never over what is there
        else:
            temporary.replace(path)
        _fsync(path.parent)
    except OSError as error:
        refuse_if_unwritable(path, error)
        raise
    finally:
        temporary.unlink(missing_ok=True)
        os.close(claim)


def _claimed_temporary(path: Path, mode: int) -> tuple[Path, int]:
    """An empty file that nobody else removes while the returned handle is open; interrupted writes go."""
    remove_interrupted_writes(path)
    while True:
        temporary = claimed_name(path, ".part" + "".join(path.suffixes[-2:])[-20:])
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode)
        if lock(handle, temporary):
            return temporary, handle
        os.close(handle)  # swept away by another writer between the two calls


@contextmanager
def folder_written_durably(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`; once the block has filled it, it takes the final name, whole.

    Files that must survive a power cut are to be written into it by this module's functions. An earlier folder of that
    name is replaced; on any error it stays and nothing else is left.

    Raises: Refusal (exit 5) when the disk is full or unwritable, (exit 2) when there cannot be a folder at this place.
    """
    _make_place(folder)
    remove_interrupted_writes(folder)
    temporary, replaced = (claimed_name(folder, kind) for kind in (".part", ".old"))
    claims: list[int] = []
    try:
        temporary.mkdir()
        claims.append(os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        lock(claims[-1], temporary)
        yield temporary
        if folder.exists():
            claims.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            lock(claims[-1], folder)
            folder.rename(replaced)
        temporary.rename(folder)
        _fsync(folder.parent)
    except OSError as error:
        refuse_if_unwritable(folder, error)
        raise
    finally:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        for unfinished in (temporary, replaced):
            shutil.rmtree(unfinished, ignore_errors=True)
        for claim in claims:
            os.close(claim)


def write_bytes_durably(path: Path, content: bytes) -> str:
    """Write bytes whole or not at all; returns their SHA-256, proven by reading the file back."""
    expected = hashlib.sha256(content).hexdigest()

    def same_bytes(temporary: Path) -> None:
        if sha256_of_file(temporary) != expected:
            raise OSError(errno.EIO, "bytes read back differ from bytes written")

    with written_durably(path, check=same_bytes) as temporary, temporary.open("wb") as stream:
        for start in range(0, len(content), _CHUNK_BYTES):
            stream.write(content[start : start + _CHUNK_BYTES])
    return expected


def write_json_durably(path: Path, value: Any) -> str:
    """Write strict JSON (no NaN, sorted keys, final newline); returns the file's SHA-256."""
    return write_bytes_durably(path, (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())


def require_free_space(folder: Path, needed_bytes: int) -> None:
    """Refuse before starting what the disk cannot hold (PP-09, exit 5). `folder` need not exist yet."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        problem = f"{needed_bytes} bytes are needed, {free_bytes} are free"
        raise Refusal.of("PP-09", folder, problem, "free space or choose another folder; nothing was written")


def read_json(path: Path) -> Any:
    """Read JSON that one of our own stages wrote; a missing or torn file is refused with its name (exit 4)."""
    try:
        with open_plain(path) as stream:
            content = stream.read(JSON_AT_MOST_BYTES + 1)
        if len(content) > JSON_AT_MOST_BYTES:
            raise ValueError(f"more than {JSON_AT_MOST_BYTES} bytes")
        return json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        problem = "is missing" if isinstance(error, FileNotFoundError) else f"is no readable JSON ({error})"
        fault = Fault("ST-02", path, problem, "run the stage that writes it again (`dvc repro`), or `dvc pull`")
        raise Refusal(fault) from error
