"""What a training reads, as objects of the storage: array stores by the hash of their index, the split by its own."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from femseg.cohorts.split import Split, split_from_bytes
from femseg.cohorts.store import INDEX_NAME, ArrayStore, bytes_needed
from femseg.durable import sha256_of_file
from femseg.services.storage import Storage, no_answer
from femseg.services.storage_objects import ObjectCache, object_name

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
    size = bytes_needed(store.recipe, store.kind, cases=1)
    missing = [c for c in store.case_ids if there.get(object_name(store.entry(c).sha256)) != size]

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
    return ArrayStore.from_index(name, cache.read(index_sha256), cache.read)


def fetched_split(cache: ObjectCache, sha256: str) -> Split:
    """The split whose file has this hash. Raises: Refusal, as `fetched_store`."""
    return split_from_bytes(cache.read(sha256), Path(object_name(sha256)))
