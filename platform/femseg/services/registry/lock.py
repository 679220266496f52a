"""One process at a time moves the registry's aliases, on whatever machine: the lock is a row that only one can make.

MLflow has no locks, but it makes no two experiments of one name, deleted ones included. So the lock is an experiment
"femseg promotion lock N" and is released by deleting it; the next one is N + 1.

Whether its holder lives: of a local store the kernel says so, for the holder locks a file beside the database until it
dies, in whatever container. Otherwise a dead process of this boot and PID namespace is passed over at once, and any
other once it has given no sign of life for a while.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import Refusal
from femseg.files.lock import lives, process_named, this_process
from femseg.services.tracking.address import local_database
from femseg.services.tracking.store import store_time_s

_NAME = "femseg promotion lock "
_OWNER, _BEAT, _FILE = "owner", "beat", "file"
_BEAT_S, _SILENT_S = 20.0, 600.0
_RETRY_S = 0.1


@contextmanager
def registry_lock(client: MlflowClient, *, wait_s: float = 30.0) -> Iterator[None]:
    """Hold the registry's lock while the block runs.

    Raises: Refusal RG-05 (exit 8) naming the holder if it is not free within `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    with _file_of(client) as file:
        while (held := _taken(client, file)) is None:
            if time.monotonic() > deadline:
                raise _busy(_newest(client))
            time.sleep(_RETRY_S)
        try:
            with _signs_of_life(client, held):
                yield
        finally:
            client.delete_experiment(held)


@contextmanager
def _file_of(client: MlflowClient) -> Iterator[int | None]:
    """The open file beside a local store that its lock's holder locks; None of a server, or where none can be made."""
    database = local_database(client.tracking_uri)
    try:
        file = os.open(database.with_name(f".{database.name}.promotion"), os.O_CREAT | os.O_RDWR) if database else None
    except OSError:
        file = None
    try:
        yield file
    finally:
        if file is not None:
            os.close(file)


def _locked(file: int | None) -> bool | None:
    """Whether the file is locked by us now; None where there is no file, or the file system knows no locks."""
    if file is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def _signs_of_life(client: MlflowClient, lock_id: str) -> Iterator[None]:
    """Say in the lock's row that its holder lives, while the block runs: for those whom no kernel tells."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(_BEAT_S):
            with suppress(Exception):  # a store that is away for a moment
                client.set_experiment_tag(lock_id, _BEAT, str(int(store_time_s(client.tracking_uri))))

    thread = threading.Thread(target=beat, name="lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _taken(client: MlflowClient, file: int | None) -> str | None:
    """The id of a lock that is now ours, or None."""
    ours = _locked(file)
    if ours is False:
        return None
    newest = _newest(client)
    if newest is not None and newest.lifecycle_stage == "active":
        by_file = ours and newest.tags.get(_FILE)  # its holder locked the file that we have locked now
        if not by_file and not _is_dead(client, newest):
            if ours:
                fcntl.flock(file, fcntl.LOCK_UN)  # type: ignore[arg-type]  # there is a file, for it was locked
            return None
    number = int(newest.name.removeprefix(_NAME)) + 1 if newest else 1
    signed = {
        _OWNER: this_process(),
        _BEAT: str(int(store_time_s(client.tracking_uri))),
        _FILE: "locked" if ours else "",
    }
    try:
        made = client.create_experiment(f"{_NAME}{number:06d}", tags=signed)
    except MlflowException as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS":  # somebody was quicker
            return None
        raise
    if newest is not None and newest.lifecycle_stage == "active":
        client.delete_experiment(newest.experiment_id)
    return str(made)


def _newest(client: MlflowClient) -> Experiment | None:
    found = client.search_experiments(
        view_type=ViewType.ALL, filter_string=f"name LIKE '{_NAME}%'", order_by=["name DESC"], max_results=1
    )
    return found[0] if found else None


def _is_dead(client: MlflowClient, lock: Experiment) -> bool:
    """Whether its holder can no longer be at work."""
    alive = lives(lock.tags.get(_OWNER, ""))
    if alive is None:
        heard_s = float(lock.tags.get(_BEAT) or (lock.creation_time or 0) / 1000)
        return store_time_s(client.tracking_uri) - heard_s > _SILENT_S
    return not alive


def _busy(lock: Experiment | None) -> Refusal:
    holder = process_named(lock.tags.get(_OWNER, "") if lock else "")
    fix = f"try again; a holder that died is passed over after {_SILENT_S / 60:.0f} minutes at most"
    return Refusal.of("RG-05", "femseg registry", f"another promotion is at work: {holder}", fix)
