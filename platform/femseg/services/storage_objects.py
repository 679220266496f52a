"""Objects: bytes in the storage under their own SHA-256, and each node's cache of them, proven at every use."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from femseg.durable import write_bytes_durably
from femseg.errors import ExitCode, Fault, Refusal
from femseg.services.storage import Storage, no_answer

_PATIENCE_S = 60.0  # an outage that is over by then is not told of
_PAUSE_S = 2.0


def object_name(sha256: str) -> str:
    """Where the storage keeps the bytes of this SHA-256."""
    return f"objects/{sha256[:2]}/{sha256}"


class ObjectCache:
    """Objects by way of a folder of this node. It may be emptied at any time; other processes may use it, too."""

    def __init__(self, storage: Storage, folder: Path, *, say: Callable[[str], None] = print) -> None:
        self._storage, self._folder, self._say = storage, folder, say
        self._keeps = True

    def read(self, sha256: str) -> bytes:
        """Bytes with this SHA-256: the cache's if they have it, else the storage's, which the cache then keeps.

        Raises: Refusal ST-02 (exit 4) if the storage has lost or altered the object, ST-09 (6) if it does not answer
            within a minute.
        """
        path = self._folder / object_name(sha256)
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() == sha256:
            return content
        content = self._fetched(sha256)
        if self._keeps:
            self._keep(path, content)
        return content

    def _fetched(self, sha256: str) -> bytes:
        limit = time.monotonic() + _PATIENCE_S
        while True:
            try:
                content = self._storage.read(object_name(sha256))
                break
            except FileNotFoundError:
                raise self._lost(sha256, "is missing") from None
            except OSError as error:
                if time.monotonic() > limit:
                    raise no_answer(self._storage, error) from error
                time.sleep(_PAUSE_S)
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise self._lost(sha256, f"SHA-256 is {found[:12]}…, expected {sha256[:12]}…")
        return content

    def _keep(self, path: Path, content: bytes) -> None:
        """A node whose disk is full still trains, if more slowly."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # what is kept shows patients
            write_bytes_durably(path, content)
        except (Refusal, OSError) as error:
            words = error.faults[0].problem if isinstance(error, Refusal) else error
            self._keeps = False
            self._say(f"warning ST-06: {self._folder} keeps nothing more: {words}")

    def _lost(self, sha256: str, problem: str) -> Refusal:
        return Refusal(
            Fault(
                id="ST-02",
                file=f"{self._storage.url}/{object_name(sha256)}",
                problem=problem,
                fix="remove it there, then run the stage again where the data is: it uploads what is missing",
                exit_code=ExitCode.INTEGRITY,
            )
        )
