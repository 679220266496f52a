"""Files opened for what they are: a pipe or a folder in a file's place is said so, never waited for."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from femseg.errors import Refusal

_KINDS = {
    stat.S_IFIFO: "is a pipe",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
}


def open_plain(path: Path) -> BufferedReader:
    """Open a regular file for reading. Raises: OSError whose `strerror` says what else it is.

    Opening a pipe as usual waits for a writer, for ever if there is none.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = stat.S_IFMT(os.fstat(handle).st_mode)
    if kind == stat.S_IFREG:
        return os.fdopen(handle, "rb")
    os.close(handle)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, "is a folder where a file is meant", str(path))
    raise OSError(errno.EINVAL, _KINDS.get(kind, "is no regular file"), str(path))


def is_folder(path: Path) -> bool:
    """Whether there is a folder, or a link to one; False also where nobody may look, or no name can be so long."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether there is a regular file, or a link to one; False also where `is_folder` is."""
    try:
        return path.is_file()
    except OSError:
        return False


def name_fault(path: Path) -> str:
    """What is wrong with a path's characters: bytes that are no UTF-8, or break lines and terminals; "" if none.

    Letters of any script and pictures are right; what no program can write down again is not.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    controls = sorted({character for character in str(path) if ord(character) < 32 or ord(character) == 127})
    return f"its name holds control characters ({', '.join(map(repr, controls))})" if controls else ""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes. Raises: Refusal IN-26 if it cannot be opened or read, is no regular file, or is misnamed."""
    try:
        with open_plain(path) as stream:
            require_plain_name(path)
            yield stream
    except OSError as error:
        problem = f"cannot be opened: {error.strerror or error}"
        raise _refusal(path, problem, "restore the file or its permissions, or remove it") from None


def require_plain_name(path: Path) -> None:
    """Raises: Refusal IN-26 if a file's or folder's name cannot be written down again."""
    if problem := name_fault(path):
        raise _refusal(path, problem, "rename it; letters of any language are fine")


def _refusal(path: Path, problem: str, fix: str) -> Refusal:
    return Refusal.of("IN-26", path, problem, fix)
