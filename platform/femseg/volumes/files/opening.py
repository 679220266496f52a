"""The one way in which intake opens a file that somebody else wrote."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from femseg.errors import Fault, Refusal
from femseg.plain_files import name_fault, open_plain


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
    return Refusal(Fault(id="IN-26", file=str(path), problem=problem, fix=fix))
