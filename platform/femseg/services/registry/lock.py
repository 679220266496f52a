"""One hand at a time on the registry's aliases, also from several machines: the lock is a row that only one can make.

MLflow has no locks, but it makes no two experiments of one name, deleted ones included. So the lock is an experiment
"femseg promotion lock N" and is let go by deleting it; the next one is N + 1. Who died holding it is told by its
process where that is on this host, and anywhere by the time that has passed.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import Fault, Refusal

_NAME = "femseg promotion lock "
_GIVEN_UP_AFTER_S = 600.0
_RETRY_S = 0.1


@contextmanager
def registry_lock(client: MlflowClient, *, wait_s: float = 30.0) -> Iterator[None]:
    """Hold the registry's lock while the block runs.

    Raises: Refusal RG-05 (exit 8) naming the holder if it is not free within `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    while (held := _taken(client)) is None:
        if time.monotonic() > deadline:
            raise _busy(_newest(client))
        time.sleep(_RETRY_S)
    try:
        yield
    finally:
        client.delete_experiment(held)


def _taken(client: MlflowClient) -> str | None:
    """The id of a lock that is now ours, or None."""
    newest = _newest(client)
    if newest is not None and newest.lifecycle_stage == "active" and not _is_dead(newest):
        return None
    number = int(newest.name.removeprefix(_NAME)) + 1 if newest else 1
    tags = {"host": socket.gethostname(), "process": f"{os.getpid()} {_started(os.getpid())}"}
    try:
        made = client.create_experiment(f"{_NAME}{number:06d}", tags=tags)
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


def _is_dead(lock: Experiment) -> bool:
    """Whether its holder can no longer be at work."""
    if time.time() - (lock.creation_time or 0) / 1000 > _GIVEN_UP_AFTER_S:
        return True
    pid, _, started = lock.tags.get("process", "").partition(" ")
    return lock.tags.get("host") == socket.gethostname() and pid.isdigit() and _started(int(pid)) != started


def _started(pid: int) -> str:
    """When a process of this host was started, in the kernel's ticks; "" if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _busy(lock: Experiment | None) -> Refusal:
    tags = lock.tags if lock else {}
    return Refusal(
        Fault(
            id="RG-05",
            file="femseg registry",
            problem=f"another promotion is at work: process {tags.get('process', '?').split()[0]} on "
            f"{tags.get('host', '?')}",
            fix=f"try again; a holder that died is passed over after {_GIVEN_UP_AFTER_S / 60:.0f} minutes at most",
        )
    )
