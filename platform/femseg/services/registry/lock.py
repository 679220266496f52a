"""One process at a time moves the registry's aliases, on whatever machine: the lock is a row that only one can make.

MLflow has no locks, but it makes no two experiments of one name, deleted ones included. So the lock is an experiment
"femseg promotion lock N" and is released by deleting it; the next one is N + 1. A dead holder of this boot and PID
namespace is passed over at once. Any other counts as alive until its time is over.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import Refusal
from femseg.files.lock import lives, process_named, this_process

_NAME = "femseg promotion lock "
_OWNER = "owner"
_GIVEN_UP_AFTER_S = 600.0  # aliases move in seconds
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
    try:
        made = client.create_experiment(f"{_NAME}{number:06d}", tags={_OWNER: this_process()})
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
    alive = lives(lock.tags.get(_OWNER, ""))
    if alive is None:
        return time.time() - (lock.creation_time or 0) / 1000 > _GIVEN_UP_AFTER_S
    return not alive


def _busy(lock: Experiment | None) -> Refusal:
    holder = process_named(lock.tags.get(_OWNER, "") if lock else "")
    fix = f"try again; a holder that died is passed over after {_GIVEN_UP_AFTER_S / 60:.0f} minutes at most"
    return Refusal.of("RG-05", "femseg registry", f"another promotion is at work: {holder}", fix)
