"""A Ray cluster of two nodes on this machine, one of which is lost now and then; a new one starts in its place."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from femseg.services.cluster.local import ClusterWish, add, down, exports, up
from femseg.services.cluster.processes import ClusterPlace


def _newest(place: ClusterPlace) -> psutil.Process | None:
    """The first process of the node that came last, if it lives and is not the head's."""
    record = place.read()
    with suppress(psutil.Error):
        if record and len(record.leaders) > 1:
            leader = psutil.Process(record.leaders[-1].pid)
            return leader if leader.status() != psutil.STATUS_ZOMBIE else None
    return None


@contextmanager
def two_nodes(folder: Path) -> Iterator[Callable[[], list[psutil.Process]]]:
    """Whatever starts inside the block finds the cluster in its environment: a head and a node, with a core each.

    Yields: the processes of the node, all stopped, so that a kill hits all at once, as when a machine is switched off;
        [] while no such node lives.
    """
    place = ClusterPlace(folder=folder / "cluster")
    record, _ = up(place, ClusterWish(nodes=2, cpus=1))
    found = exports(record, place.token)
    os.environ.update(found)
    over = threading.Event()

    def replace_what_is_lost() -> None:
        while not over.wait(0.2):
            if _newest(place) is None:
                add(place, cpus=1)

    def node() -> list[psutil.Process]:
        processes: list[psutil.Process] = []
        with suppress(psutil.Error):
            leader = _newest(place)
            processes = [leader, *leader.children(recursive=True)] if leader else []
            for process in processes:
                process.suspend()
        return processes

    watch = threading.Thread(target=replace_what_is_lost, daemon=True)
    watch.start()
    try:
        yield node
    finally:
        over.set()
        watch.join()
        for name in found:
            os.environ.pop(name, None)
        down(place)
