"""Every node of a cluster must run the same software: a job that trains on several is refused where they differ."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from femseg.errors import Fault, Refusal
from femseg.lineage.provenance import code_sha256

_PACKAGES = ("femseg", "ray", "torch", "numpy", "mlflow")
_CODE = ("cohorts", "networks", "training", "services")
NODE_ANSWERS_WITHIN_S = 180.0  # it may have to start a worker first; on a busy one that is slow


def software() -> dict[str, str]:
    """What this node runs: versions, and the start of a hash over femseg's own source."""
    found = {"python": python_version(), "femseg's code": code_sha256(_CODE)[:12]}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def differences(software_of_nodes: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Of each thing that is not alike on all nodes, what each node has."""
    names = sorted({name for found in software_of_nodes.values() for name in found})
    table = {name: {node: found.get(name, "?") for node, found in software_of_nodes.items()} for name in names}
    return {name: row for name, row in table.items() if len(set(row.values())) > 1}


def _living() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def require_agreement(*, what: str) -> None:
    """Ask every living node of the session, and compare with this process; one node alone is taken at its word.

    Raises: Refusal CL-05 (exit 2) with the table of what differs, one line for each thing.
    """
    nodes = _living()
    if len(nodes) < 2:
        return
    ask = ray.remote(num_cpus=0, max_retries=0)(software)
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[f"{node['NodeManagerAddress']}/{node['NodeID'][:8]}"] = ask.options(scheduling_strategy=there).remote()
    found = {"the driver": software()}
    for name, answer in asked.items():
        try:
            found[name] = ray.get(answer, timeout=NODE_ANSWERS_WITHIN_S)
        except RayError as error:
            if name.rpartition("/")[2] in {node["NodeID"][:8] for node in _living()}:
                found[name] = {"femseg": f"does not run: {type(error).__name__}"}
    faults = [
        Fault(
            "CL-05",
            what,
            f"{name} differs: " + ", ".join(f"{node} has {has}" for node, has in sorted(row.items())),
            "install the same on every node, or submit with --working-dir so that all run the same code",
        )
        for name, row in differences(found).items()
    ]
    if faults:
        raise Refusal(faults)
