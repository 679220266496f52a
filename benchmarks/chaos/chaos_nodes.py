"""A Ray cluster of two nodes on this machine, one of which is lost now and then; a new one starts in its place."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

SUPPORT = next(folder for folder in Path(__file__).parents if (folder / "tests").is_dir()) / "tests/support"
sys.path.insert(0, str(SUPPORT))

from own_cluster import OwnCluster, own_cluster  # noqa: E402


def _newest(cluster: OwnCluster) -> psutil.Process | None:
    """The first process of the node that came last, if it lives and is not the head's."""
    last = cluster.leaders[-1]
    return psutil.Process(last.pid) if len(cluster.leaders) > 1 and last.poll() is None else None


@contextmanager
def two_nodes(folder: Path) -> Iterator[Callable[[], list[psutil.Process]]]:
    """Whatever starts inside the block finds the cluster in its environment: a head and a node, with a core each.

    Yields: the processes of the node, all stopped, so that a kill hits all at once, as when a machine is switched off;
        [] while no such node lives.
    """
    over = threading.Event()
    with own_cluster(folder / "home", nodes=2) as cluster:

        def replace_what_is_lost() -> None:
            while not over.wait(0.2):
                if _newest(cluster) is None:
                    cluster.add_node()

        def node() -> list[psutil.Process]:
            processes: list[psutil.Process] = []
            with suppress(psutil.Error):
                leader = _newest(cluster)
                processes = [leader, *leader.children(recursive=True)] if leader else []
                for process in processes:
                    process.suspend()
            return processes

        found = {name: value for name, value in cluster.inside.items() if name.startswith("RAY_")}
        found["RAY_AUTH_TOKEN_PATH"] = str(cluster.token_file)
        os.environ.update(found)
        watch = threading.Thread(target=replace_what_is_lost, daemon=True)
        watch.start()
        try:
            yield node
        finally:
            over.set()
            watch.join()
            for name in found:
                os.environ.pop(name, None)
