"""What a training reads, as objects of the storage: array stores by the hash of their index, the split by its own."""

import hashlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from femseg.cohorts.split import Split, split_from_bytes
from femseg.cohorts.store import INDEX_NAME, ArrayStore, bytes_needed
from femseg.errors import Refusal
from femseg.files.durable import sha256_of_file, write_bytes_durably
from femseg.services.storage.backend import Storage, no_answer

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

    def file(self, sha256: str) -> Path | None:
        """The same as a file of this node; None where the cache takes nothing more. Raises: Refusal, as `read`."""
        path = self._folder / object_name(sha256)
        if not path.is_file():
            self.read(sha256)
        return path if path.is_file() else None

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
        return Refusal.of(
            "ST-02",
            f"{self._storage.url}/{object_name(sha256)}",
            problem,
            "remove it there, then run the stage again where the data is: it uploads what is missing",
        )


_AT_ONCE = 8


def publish(storage: Storage, *, stores: Iterable[Path], files: Iterable[Path] = ()) -> int:
    """Upload finished array stores and single files, as far as the storage does not hold them; returns how many.

    Every array is proven before it is sent, and an index is sent after its arrays: whoever can read an index can read
    all that it names.

    Raises: Refusal (exit 4) if something is torn or altered here, ST-09 (6) if the storage does not take it.
    """
    try:
        there = storage.sizes("objects")
        sent = sum(_publish_store(storage, there, ArrayStore.open(folder)) for folder in stores)
        return sent + sum(_publish_bytes(storage, there, sha256_of_file(path), path.read_bytes()) for path in files)
    except OSError as error:
        raise no_answer(storage, error) from error


def _publish_store(storage: Storage, there: dict[str, int], store: ArrayStore) -> int:
    entries = {case_id: store.entry(case_id) for case_id in store.case_ids}
    missing = [
        case_id
        for case_id, entry in entries.items()
        if there.get(object_name(entry.sha256)) != bytes_needed(store.recipe, store.kind, [entry.shape_zyx])
    ]

    def send(case_id: str) -> None:
        storage.write(object_name(store.entry(case_id).sha256), store.content(case_id))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(send, missing):
            pass
    return len(missing) + _publish_bytes(storage, there, store.sha256, (store.folder / INDEX_NAME).read_bytes())


def _publish_bytes(storage: Storage, there: dict[str, int], sha256: str, content: bytes) -> int:
    name = object_name(sha256)
    if there.get(name) == len(content):
        return 0
    storage.write(name, content)
    return 1


def fetched_store(cache: ObjectCache, index_sha256: str) -> ArrayStore:
    """The array store whose index has this hash; its arrays come as they are asked for.

    Raises: Refusal ST-02 (exit 4) or ST-09 (6), as `ObjectCache.read`.
    """
    name = Path(object_name(index_sha256)) / INDEX_NAME
    return ArrayStore.from_index(name, cache.read(index_sha256), cache.read, cache.file)


def fetched_split(cache: ObjectCache, sha256: str) -> Split:
    """The split whose file has this hash. Raises: Refusal, as `fetched_store`."""
    return split_from_bytes(cache.read(sha256), Path(object_name(sha256)))
