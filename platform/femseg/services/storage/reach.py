"""The storage and Ray: whether every node of the cluster reaches it (CL-04), and a place in it for Ray's own files."""

import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from femseg.errors import Fault, Refusal, words_of
from femseg.files.durable import write_bytes_durably
from femseg.services.cluster.node_agreement import NODE_ANSWERS_WITHIN_S
from femseg.services.storage.backend import Storage, StorageSettings, open_storage


def require_reach(settings: StorageSettings, run_folder: Path) -> None:
    """Refuse now what a worker would meet later: a storage, or without one a run folder, that some node does not reach.

    Every node has to read what this process writes, and to write what this process reads: a folder that a node has for
    itself alone is found out, too. A node's cache must take files. Needs a Ray session.

    Raises: Refusal CL-04 (exit 2), one line for each node that does not reach it, with the node's address.
    """
    nodes: list[dict[str, Any]] = [one for one in ray.nodes() if one["Alive"]]  # type: ignore[no-untyped-call]
    if settings.url:
        _require_reach(settings, nodes, with_cache=True)
    elif len(nodes) > 1:
        _require_reach(StorageSettings(url=str(run_folder)), nodes, with_cache=False)


def _require_reach(settings: StorageSettings, nodes: Sequence[dict[str, Any]], *, with_cache: bool) -> None:
    storage, probe = open_storage(settings.url), f"probes/{uuid.uuid4().hex}"
    addresses = {str(one["NodeID"]): f"{one['NodeManagerAddress']} ({one['NodeID'][:8]})" for one in nodes}
    try:
        problems = {socket.gethostname(): _problem_here(storage, probe)}
        if not any(problems.values()):
            problems = _problems_there(settings, storage, probe, list(addresses), with_cache=with_cache)
    finally:
        _tidy(storage, [probe, *(f"{probe}-{node}" for node in addresses)])
    faults = [_fault(settings.url, addresses.get(node, node), words) for node, words in problems.items() if words]
    if faults:
        raise Refusal(faults)


def _problem_here(storage: Storage, probe: str) -> str:
    try:
        storage.write(probe, probe.encode())
        return "" if storage.read(probe) == probe.encode() else "gives other bytes than were written"
    except OSError as error:
        return words_of(error)


def _problems_there(
    settings: StorageSettings, storage: Storage, probe: str, nodes: Sequence[str], *, with_cache: bool
) -> dict[str, str]:
    """By node; "" where all is well."""
    ask = ray.remote(num_cpus=0, max_retries=0)(_problem_on_this_node)
    asked = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            settings, probe, f"{probe}-{node}", with_cache
        ): node
        for node in nodes
    }
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=NODE_ANSWERS_WITHIN_S)
    return {node: _judged(task, task in answered, storage, f"{probe}-{node}") for task, node in asked.items()}


def _judged(task: "ray.ObjectRef[str]", answered: bool, storage: Storage, answer: str) -> str:
    """What a node says of itself, and whether this process can read what that node wrote."""
    if not answered:
        return f"no answer within {NODE_ANSWERS_WITHIN_S:.0f} s"
    try:
        problem = ray.get(task)
        if not problem and storage.read(answer) != answer.encode():
            problem = "what it writes reads differently elsewhere"
    except FileNotFoundError:
        problem = "what it writes is not there for others; it has a folder of its own there"
    except (OSError, ray.exceptions.RayError) as error:
        problem = words_of(error)
    return problem


def _problem_on_this_node(settings: StorageSettings, probe: str, answer: str, with_cache: bool) -> str:
    """What keeps this node from the storage; "" if nothing does. Reads `probe`, writes `answer`."""
    try:
        storage = open_storage(settings.url)
        if storage.read(probe) != probe.encode():
            return "what others write reads differently there"
        storage.write(answer, answer.encode())
        if with_cache:
            probed = settings.cache_folder / answer
            settings.cache_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_bytes_durably(probed, answer.encode())
            probed.unlink()
    except FileNotFoundError:
        return "what others write is not there"
    except OSError as error:
        return words_of(error)
    except Refusal as refusal:  # no client for S3, or a cache that takes no files
        return f"{refusal.faults[0].file} {refusal.faults[0].problem}"
    return ""


def _tidy(storage: Storage, names: list[str]) -> None:
    for name in names:
        try:
            storage.remove(name)
        except OSError:
            return  # it was told of already, or a leftover of a few bytes


def _fault(url: str, node: str, problem: str) -> Fault:
    fix = "set storage.url to what all nodes reach; give S3's address and credentials to every node's environment"
    return Fault("CL-04", url, f"node {node} does not reach it: {problem}", fix)


@contextmanager
def ray_storage_path(settings: StorageSettings, run_folder: Path, name: str) -> Iterator[str]:
    """Where Ray keeps its own files of a run of this name, gone afterwards; Ray insists that all workers reach it."""
    if not settings.url:
        with TemporaryDirectory(prefix="ray-", dir=run_folder, ignore_cleanup_errors=True) as folder:
            yield folder
        return
    storage = open_storage(settings.url)
    try:
        yield f"{settings.url}/ray"
    finally:
        _tidy(storage, _listed(storage, f"ray/{name}"))


def _listed(storage: Storage, folder: str) -> list[str]:
    try:
        return list(storage.sizes(folder))
    except OSError:
        return []
