"""`femseg cluster`: a Ray cluster of one's own on this machine."""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from femseg.errors import Fault, Refusal
from femseg.services.cluster.local import ClusterWish, add, down, exports, is_loopback, status, up
from femseg.services.cluster.processes import ClusterPlace

_SUBMIT = "ray job submit --working-dir . --runtime-env ray-runtime-env.yaml -- python -m pipelines.split"


def _share_of_cpus(nodes: int, cpus: int | None) -> int:
    """Cores of each node: as said, or the machine's in equal parts. Raises: Refusal CFG-01 (exit 2)."""
    if nodes < 1 or (cpus is not None and cpus < 1):
        problem = f"expected at least 1 node with at least 1 CPU, got {nodes} and {cpus}"
        fix = "leave the option out, or give a larger number"
        raise Refusal(Fault(id="CFG-01", file="--nodes", problem=problem, fix=fix))
    return cpus or max(1, len(os.sched_getaffinity(0)) // nodes)


def cluster_up(*, nodes: int, cpus: int | None, dashboard_host: str, with_token: bool) -> None:
    """Start it, and print what the shell needs: `eval "$(femseg cluster up)"`."""
    share = _share_of_cpus(nodes, cpus)
    place = ClusterPlace.of_this_user()
    wish = ClusterWish(nodes=nodes, cpus=share, dashboard_host=dashboard_host, with_token=with_token)
    record, is_new = up(place, wish)
    if is_new:
        print(f"# a Ray cluster is up: {nodes} node(s) with {share} CPU(s) each")
    else:
        print("# your Ray cluster was up already and stays as it is; `femseg cluster down` ends it")
    print(f"# dashboard: {record.api_address}")
    if not is_loopback(record.dashboard_host):
        print("# the dashboard is reached from other machines, and the token crosses the network in the clear")
    for name, value in exports(record, place.token).items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"# then: {_SUBMIT}")


def cluster_add(*, cpus: int) -> None:
    """One node more."""
    living = add(ClusterPlace.of_this_user(), cpus=_share_of_cpus(1, cpus))
    print(f"{living} nodes are up, one of them new, with {cpus} CPU(s)")


def cluster_status(*, as_json: bool) -> None:
    """Say what runs."""
    found = status(ClusterPlace.of_this_user())
    if as_json:
        said = {"address": found.record.address, "dashboard": found.record.api_address, "jobs": found.jobs}
        print(json.dumps(said | {"nodes": [asdict(node) for node in found.nodes]}, indent=2))
        return
    print(f"up: {len(found.nodes)} node(s), {found.jobs} job(s) running, {found.processes} processes")
    for node in found.nodes:
        kind = "head" if node.is_head else "node"
        print(f"  {kind} {node.node_id[:8]}: {node.cpus:g} CPU(s), {node.gpus:g} GPU(s)")
    print(f"address {found.record.address}, dashboard {found.record.api_address}")


def cluster_submit(command: Sequence[str], *, folder: Path | None) -> None:
    """Leave with the job's exit code."""
    from femseg.services.cluster.submit import submitted

    sys.exit(submitted(command, folder=folder))


def cluster_down() -> None:
    """End it."""
    count = down(ClusterPlace.of_this_user())
    if count is None:
        print("none of your clusters is up on this machine")
    else:
        print(f"ended {count} processes; `unset RAY_ADDRESS RAY_API_SERVER_ADDRESS` in shells that knew the cluster")
