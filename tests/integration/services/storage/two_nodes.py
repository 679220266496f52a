"""Two Ray nodes on this machine, the second with an environment of its own, and what a training job makes of them.

python two_nodes.py reach <store> <runs> <url>[,<url>…] [NAME=VALUE…]    does every node reach these storages?
python two_nodes.py train <store> <runs> <url> [NAME=VALUE…]             train with a worker on each node
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray.cluster_utils import Cluster
from train_driver import tiny_job, tracked

from femseg.errors import Refusal
from femseg.exits import command_exit
from femseg.services.cluster.session import ray_session
from femseg.services.fit.job import TrainingJob
from femseg.services.storage.arrays import publish
from femseg.services.storage.backend import StorageSettings, open_storage
from femseg.services.storage.reach import require_reach


@contextmanager
def two_nodes(second: dict[str, str]) -> Iterator[None]:
    """A core on each; `second` is put into the second one's environment. RAY_ADDRESS names them afterwards."""
    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=1, include_dashboard=False)
        cluster.add_node(num_cpus=1, env_vars=second)
        cluster.wait_for_nodes()
        os.environ["RAY_ADDRESS"] = cluster.address
        yield
    finally:
        cluster.shutdown()


def reach(job: TrainingJob, urls: list[str]) -> None:
    """Of each storage: its URL and what is said of it."""
    with ray_session():
        for url in urls:
            try:
                require_reach(StorageSettings(url=url), Path(job.run_folder))
                print(f"{url}: every node reaches it")
            except Refusal as refusal:
                print(*refusal.faults, int(refusal.exit_code), sep="\n")


def main() -> None:
    what, store, runs, urls, *second = sys.argv[1:]
    with two_nodes(dict(word.split("=", 1) for word in second)):
        job = tiny_job(Path(store), Path(runs), 20, StorageSettings(url="" if what == "reach" else urls))
        if what == "reach":
            reach(job, urls.split(","))
            return
        data = Path(store)
        publish(open_storage(urls), stores=[data / "raw", data / "mask"], files=[data / "split.json"])
        tracked(job, Path(runs))


if __name__ == "__main__":
    with command_exit():
        main()
