"""One driver at a time trains a run of the storage, on whatever host: a lease beside its checkpoints, renewed (ST-08).

S3 knows no locks. The lease holds a count that its holder raises; who finds a lease waits until it moves, or until it
has stood still for so long that its holder must be dead. No two clocks are compared.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from femseg.files.lock import in_use, lives, process_named, this_process
from femseg.services.storage.backend import Storage, no_answer


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Attributes:
    renewed_every_s: by a living holder.
    dead_after_s: without a renewal; several of them may fail in an outage.
    settled_after_s: of two that take it at once, the later one's stands by then.
    looked_every_s: at another's lease.
    """

    renewed_every_s: float = 10.0
    dead_after_s: float = 45.0
    settled_after_s: float = 1.0
    looked_every_s: float = 2.0


_TIMES = LeaseTimes()


@contextmanager
def run_lease(
    storage: Storage, run: str, *, say: Callable[[str], None] = print, times: LeaseTimes = _TIMES
) -> Iterator[None]:
    """Hold a run of the storage while the block runs. A dead holder's is taken over; `say` hears of it.

    Args:
        run: its name below `runs/`.
    Raises: Refusal ST-08 (exit 2) naming host and process of whoever holds it; ST-09 (6) if no storage answers.
    """
    name, me = f"runs/{run}/LEASE", uuid.uuid4().hex
    place = f"{storage.url}/runs/{run}"
    over = threading.Event()
    try:
        _await_turn(storage, name, place, say, times)
        _write(storage, name, me, 0)
        time.sleep(times.settled_after_s)
        there = _read(storage, name)
    except OSError as error:
        raise no_answer(storage, error) from error
    if there.get("id") != me:
        raise in_use("ST-08", place, _holder(there))
    renewing = threading.Thread(target=_renew, args=(storage, name, me, over, times), daemon=True, name="lease")
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join(times.renewed_every_s)
        with suppress(OSError):
            if _read(storage, name).get("id") == me:
                storage.remove(name)


def _await_turn(storage: Storage, name: str, place: str, say: Callable[[str], None], times: LeaseTimes) -> None:
    found = _read(storage, name)
    if not found:
        return
    limit = time.monotonic() + times.dead_after_s
    if lives(_owner(found)) is False:
        limit = 0.0
    else:
        say(f"{place}: leased by {_holder(found)}; waiting {times.dead_after_s:.0f} s for a sign of life")
    while time.monotonic() < limit:
        time.sleep(times.looked_every_s)
        now = _read(storage, name)
        if not now:
            return
        if now != found:
            raise in_use("ST-08", place, _holder(now))
    say(f"{place}: taken over from {_holder(found)}, which ended without letting go")


def _renew(storage: Storage, name: str, me: str, over: threading.Event, times: LeaseTimes) -> None:
    count = 0
    while not over.wait(times.renewed_every_s):
        count += 1
        with suppress(OSError):  # an outage; the lease stands, and is renewed after it
            if _read(storage, name).get("id") in (me, None):
                _write(storage, name, me, count)


def _write(storage: Storage, name: str, me: str, count: int) -> None:
    lease = {"id": me, "owner": this_process(), "count": count}
    storage.write(name, json.dumps(lease).encode())


def _read(storage: Storage, name: str) -> dict[str, Any]:
    """A lease; empty without one, or of one that nobody can read."""
    try:
        found = json.loads(storage.read(name))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _holder(lease: dict[str, Any]) -> str:
    return process_named(_owner(lease))


def _owner(lease: dict[str, Any]) -> str:
    return str(lease.get("owner", ""))
