"""The storage that every node reaches: names and bytes, in a shared folder or in S3.

What is in it is written whole or not at all. Whatever goes wrong is an OSError; what is not there, FileNotFoundError.
Calls to S3 are bounded in time; a shared folder is as bounded as its mount.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from femseg.errors import Refusal, words_of
from femseg.files.durable import write_bytes_durably
from femseg.paths import PARAMS

_S3 = "s3://"
_S3_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()-]+)*")
_CONNECT_S, _READ_S, _ATTEMPTS = 5, 20, 2  # botocore's own: 60 s, five times; s3fs tries these five times over again


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """The `storage:` section of params.yaml.

    Attributes:
        url: a folder that all nodes share, by its absolute path, or `s3://bucket/prefix`; empty keeps data, checkpoints
            and packages in the project's folder alone.
        cache: each node's own folder for what it has fetched; empty is `femseg` in the user's cache folder.
    """

    url: str = ""
    cache: str = ""

    def __post_init__(self) -> None:
        if "@" in self.url:  # the message must not repeat it
            raise ValueError("url: holds a user name or a password; give credentials by the environment")
        if self.url and not Path(self.url).is_absolute() and not _S3_URL.fullmatch(self.url):
            raise ValueError(f"url: expected an absolute path or s3://bucket/prefix, got {self.url!r}")
        if self.cache and not Path(self.cache).is_absolute():
            raise ValueError(f"cache: expected an absolute path, got {self.cache!r}")

    @property
    def cache_folder(self) -> Path:
        """Where this node keeps what it has fetched."""
        if self.cache:
            return Path(self.cache)
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "femseg"


class Storage(Protocol):
    """Bytes under names such as `objects/ab/abcd…`."""

    url: str

    def read(self, name: str) -> bytes:
        """All bytes of a name. Raises: FileNotFoundError; OSError if the storage does not give them."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Put bytes under a name, in place of what was there; they appear whole. Raises: OSError."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes under a name; None if it is not there. Raises: OSError."""
        ...

    def sizes(self, folder: str) -> dict[str, int]:
        """All names below a folder, ascending, with their bytes. Raises: OSError."""
        ...

    def remove(self, name: str) -> None:
        """Take a name away, if it is there. Raises: OSError."""
        ...


def open_storage(url: str) -> Storage:
    """The storage at a URL that `StorageSettings` takes.

    Raises: Refusal CFG-02 (exit 2) if S3 is meant and its client is not installed.
    """
    if not url.startswith(_S3):
        return SharedFolder(url)
    try:
        return S3(url)
    except ImportError as error:
        problem = f"storage.url is in S3, whose client is not installed here ({error})"
        raise Refusal.of("CFG-02", PARAMS, problem, 'pip install "femseg[cluster]" on every node') from None


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


class SharedFolder:
    """A folder; files in it appear whole, by renaming.

    No filesystem of fsspec, as S3 is: that one writes a file in place, or renames it from another disk, without fsync;
    and a subfolder that cannot be listed is empty to its `find`, also with `on_error="raise"`.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def read(self, name: str) -> bytes:
        return self._path(name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        try:
            write_bytes_durably(self._path(name), content)
        except Refusal as refusal:
            raise OSError(refusal.faults[0].problem) from refusal

    def size(self, name: str) -> int | None:
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return None

    def sizes(self, folder: str) -> dict[str, int]:
        found = {}
        for place, _, names in os.walk(self._path(folder), onerror=_raise_unless_gone):
            for path in [Path(place, name) for name in names if not name.startswith(".")]:
                with suppress(FileNotFoundError):  # removed meanwhile
                    found[path.relative_to(self.url).as_posix()] = path.stat().st_size
        return dict(sorted(found.items()))

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)
        with suppress(OSError):  # others may have put something beside it
            self._path(name).parent.rmdir()

    def _path(self, name: str) -> Path:
        return Path(self.url) / name


class S3:
    """A prefix in a bucket. Address and credentials are the environment's (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID …)."""

    def __init__(self, url: str) -> None:
        import s3fs  # an extra: whoever has a shared folder needs none of it
        from botocore.exceptions import BotoCoreError, ClientError

        self.url = url
        self._errors = (BotoCoreError, ClientError)
        self._files: Any = s3fs.S3FileSystem(
            endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
            use_listings_cache=False,
            config_kwargs={
                "connect_timeout": _CONNECT_S,
                "read_timeout": _READ_S,
                "retries": {"total_max_attempts": 1},
            },
        )
        self._files.retries = _ATTEMPTS

    def read(self, name: str) -> bytes:
        with self._answering():
            return bytes(self._files.cat_file(self._path(name)))

    def write(self, name: str, content: bytes) -> None:
        with self._answering():
            self._files.pipe_file(self._path(name), content)

    def size(self, name: str) -> int | None:
        with self._answering():
            try:
                return int(self._files.info(self._path(name))["size"])
            except FileNotFoundError:
                return None

    def sizes(self, folder: str) -> dict[str, int]:
        with self._answering():
            found = self._files.find(self._path(folder), detail=True)
        return {path.removeprefix(self._path("")): int(about["size"]) for path, about in sorted(found.items())}

    def remove(self, name: str) -> None:
        with self._answering():
            self._files.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.url.removeprefix(_S3)}/{name}"

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Whatever the client raises becomes OSError, one line long."""
        try:
            yield
        except self._errors as error:
            raise OSError(words_of(error)) from error


def no_answer(storage: Storage, error: OSError) -> Refusal:
    """ST-09: the storage is there by its settings, yet it does not give or take (exit 6)."""
    fix = "look whether it is up and the credentials in the environment hold, then run the same command again"
    return Refusal.of("ST-09", storage.url, f"the storage does not answer as it should: {words_of(error)}", fix)
