"""Questions to a cluster's job server, with the token."""

import json
from dataclasses import dataclass
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from packaging.requirements import Requirement

from femseg.errors import Fault, Refusal

_ANSWER_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One living node and what it offers to jobs."""

    node_id: str
    is_head: bool
    cpus: float
    gpus: float


def asked(address: str, path: str, token: Path | None) -> Any:
    """The JSON that the job server answers. Raises: OSError, HTTPException or ValueError if it does not."""
    headers = {"Authorization": f"Bearer {token.read_text().strip()}"} if token else {}
    direct = build_opener(ProxyHandler({}))  # a token is for this machine, not for a proxy
    with direct.open(Request(address + path, headers=headers), timeout=_ANSWER_WITHIN_S) as answer:
        return json.load(answer)


def answers(address: str, token: Path | None) -> bool:
    """Whether the job server takes requests."""
    try:
        asked(address, "/api/jobs/", token)
    except (OSError, HTTPException, ValueError):
        return False
    return True


def living_nodes(address: str, token: Path | None) -> tuple[NodeStatus, ...]:
    """The head first."""
    listed = asked(address, "/api/v0/nodes", token)["data"]["result"]["result"]
    nodes = [
        NodeStatus(
            node_id=node["node_id"],
            is_head=node["is_head_node"],
            cpus=node["resources_total"].get("CPU", 0.0),
            gpus=node["resources_total"].get("GPU", 0.0),
        )
        for node in listed
        if node["state"] == "ALIVE"
    ]
    return tuple(sorted(nodes, key=lambda node: not node.is_head))


def running_jobs(address: str, token: Path | None) -> int:
    """Jobs submitted and not ended."""
    return sum(job["status"] in ("PENDING", "RUNNING") for job in asked(address, "/api/jobs/", token))


def missing_requirements(package: str, extra: str) -> list[str]:
    """Which packages of an extra are not installed here."""
    wanted = [Requirement(text) for text in requires(package) or ()]
    missing = []
    for requirement in wanted:
        if requirement.marker and requirement.marker.evaluate({"extra": extra}):
            try:
                version(requirement.name)
            except PackageNotFoundError:
                missing.append(requirement.name)
    return missing


def require_job_server(package: str = "ray", extra: str = "default") -> None:
    """Refuse (CL-06, exit 6) where Ray is installed without dashboard and job server."""
    missing = missing_requirements(package, extra)
    if missing:
        fault = Fault(
            id="CL-06",
            file=package,
            problem=f"its job server needs packages that are not installed: {', '.join(sorted(missing))}",
            fix=f"pip install '{package}[{extra}]=={version(package)}'",
        )
        raise Refusal(fault)
