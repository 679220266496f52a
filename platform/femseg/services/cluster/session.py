"""A Ray session: a private one on this machine, or the cluster that RAY_ADDRESS or a Ray job names."""

import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import ray
from ray._private import services

from femseg.errors import Refusal, words_of
from femseg.services.cluster.head_watch import head_watched, place_of, unanswered
from femseg.services.cluster.socket_place import place_for_sockets


def available_cpus() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _require_answer(address: str) -> None:
    """Refuse (CL-06, exit 6) a cluster that nobody listens for; Ray would try for more than a minute."""
    place = place_of(address)
    error = unanswered(place) if place else None
    if error:
        fix = "start one (`ray start --head`), or `unset RAY_ADDRESS` for a private session"
        raise Refusal.of("CL-06", "RAY_ADDRESS", f"no Ray cluster answers at {address}: {error}", fix)


@contextmanager
def _processes_in_a_group_of_their_own() -> Iterator[None]:
    """Ray's own processes start outside our process group, and die with us all the same.

    A signal to the whole group, as from `timeout`, a batch system or a service manager, would end them before this
    process can ask its workers for a checkpoint (TR-06). Ray knows no setting for it.
    """
    popen = services.ConsolePopen
    services.ConsolePopen = partial(popen, process_group=0)  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        services.ConsolePopen = popen  # type: ignore[misc]


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """A process that has its own answer to SIGTERM keeps it; Ray's handler would leave with another exit code."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


@contextmanager
def ray_session(*, cpus: int | None = None) -> Iterator[None]:
    """Connect to the cluster named by RAY_ADDRESS, or start a private one on loopback and stop it afterwards.

    A cluster that loses its head ends the block with CL-06 (exit 6).

    What workers print stays in Ray's own logs: what people should read comes back in files and return values.

    Args:
        cpus: cores of a private session; all available ones by default. A cluster that exists keeps its own size.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)  # its warnings speak of its own set-up
    address = os.environ.get("RAY_ADDRESS")
    with _own_signal_handlers():
        _connect(address, cpus)
    with head_watched(address) if address else nullcontext(lambda: False) as is_lost:
        try:
            yield
        finally:
            if not is_lost():  # nobody is left to say goodbye to
                ray.shutdown()


def _connect(address: str | None, cpus: int | None) -> None:
    if address:
        _require_answer(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        return
    os.environ["RAY_TMPDIR"] = place_for_sockets()
    if not os.access(Path.home(), os.W_OK) and not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # Ray would write one into the home folder
    with _processes_in_a_group_of_their_own():
        try:
            ray.init(
                address="local",
                num_cpus=cpus or available_cpus(),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # Ray raises Exception itself where its processes do not come up in half a minute
            problem = f"a private session does not start: {words_of(error)}"
            fix = "run the same command again once the machine is less busy; Ray's logs lie in its temporary folder"
            raise Refusal.of("CL-06", "Ray", problem, fix) from error


def require_resources(*, what: str, cpus: float = 1, gpus: float = 0, memory_bytes: float = 0) -> None:
    """Refuse at once what the cluster can never give; Ray itself would wait for ever.

    Raises: Refusal CL-01 (exit 5) with what was asked for and what is present.
    """
    present: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    needs = (("CPU", "CPUs", cpus, 1.0), ("GPU", "GPUs", gpus, 1.0), ("memory", "GiB of memory", memory_bytes, 2.0**30))
    for kind, unit, asked, scale in needs:
        if asked > present.get(kind, 0.0):
            problem = f"asks for {asked / scale:.3g} {unit}, the cluster has {present.get(kind, 0.0) / scale:.3g}"
            raise Refusal.of("CL-01", what, problem, "lower the number of workers, or use a larger cluster")
