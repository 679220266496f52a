"""A Ray cluster of one's own on this machine: loopback only, with a token, and nothing left when it is down."""

import ipaddress
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ray._private.node import Node
from ray._private.parameter import RayParams

from femseg.errors import Fault, Refusal
from femseg.services.cluster.job_server import NodeStatus, answers, living_nodes, require_job_server, running_jobs
from femseg.services.cluster.processes import MARK, ClusterPlace, ClusterRecord, boot_id, end, leader, processes_of

_UP_WITHIN_S = 180.0
_NO_PORT = "99999"  # Ray's plain metrics servers ask nobody for a token; this keeps them from starting
_CALLERS_OWN = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterWish:
    """What to start.

    Attributes:
        nodes: Ray nodes, the head included; more than one only to try things.
        cpus: of each node.
        dashboard_host: where dashboard and job server listen; everything else stays on loopback.
        with_token: serve only who has the token.
    """

    nodes: int
    cpus: int
    dashboard_host: str = "127.0.0.1"
    with_token: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """A cluster that answers."""

    record: ClusterRecord
    nodes: tuple[NodeStatus, ...]
    jobs: int
    processes: int


def _down_fault(problem: str, fix: str) -> Refusal:
    return Refusal(
        Fault(id="CL-06", file="cluster", problem=problem, fix=fix),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_unsafe(wish: ClusterWish) -> None:
    if not wish.with_token and not is_loopback(wish.dashboard_host):
        fault = Fault(
            id="CL-07",
            file="--dashboard-host",
            problem=f"{wish.dashboard_host} is reached from other machines, and without a token each may run code here",
            fix="leave out --no-token, or listen on 127.0.0.1",
        )
        raise Refusal(fault)


def _free_ports(count: int) -> list[int]:
    """Different ports on which nothing listens now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def exports(record: ClusterRecord, token: Path) -> dict[str, str]:
    """What a shell needs in its environment for `ray job submit`, `dvc repro` and stages to use the cluster."""
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    return (access if record.with_token else {"RAY_AUTH_MODE": "disabled"}) | {
        "RAY_ADDRESS": record.address,
        "RAY_API_SERVER_ADDRESS": record.api_address,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else Ray puts the machine's own address in place of 127.0.0.1
    }


def _environment(record: ClusterRecord, token: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _CALLERS_OWN}
    if "PYTHONPATH" in inherited:  # the nodes start in another folder
        paths = inherited["PYTHONPATH"].split(os.pathsep)
        inherited["PYTHONPATH"] = os.pathsep.join(str(Path(path).absolute()) for path in paths if path)
    own = exports(record, token)
    del own["RAY_ADDRESS"], own["RAY_API_SERVER_ADDRESS"]
    silent = {
        "RAY_JOB_STOP_WAIT_TIME_S": "90",  # a training that is stopped commits a checkpoint first; Ray would wait 3 s
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_enable_metrics_collection": "0",
        "DASHBOARD_METRIC_PORT": _NO_PORT,
        "AUTOSCALER_METRIC_PORT": _NO_PORT,
    }
    return inherited | own | silent | {MARK: record.id}


def _head_command(record: ClusterRecord, wish: ClusterWish, client_port: int, agent_port: int) -> list[str]:
    words = {
        "--node-ip-address": "127.0.0.1",
        "--port": record.gcs_port,
        "--dashboard-host": record.dashboard_host,
        "--dashboard-port": record.dashboard_port,
        "--dashboard-agent-listen-port": agent_port,
        "--ray-client-server-port": client_port,
        "--min-worker-port": 0,  # two clusters on one machine would else take the same ports
        "--max-worker-port": 0,
        "--num-cpus": wish.cpus,
        "--temp-dir": record.folder,
    }
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--include-dashboard=true"]
    return ray + [f"{name}={value}" for name, value in words.items()]


def _start(command: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as stream:
        return subprocess.Popen(
            command,
            env=env,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def _ids(record: ClusterRecord, token: Path | None) -> set[str]:
    """Of the nodes that live; none while the head does not answer."""
    if not answers(record.api_address, token):
        return set()
    return {node.node_id for node in living_nodes(record.api_address, token)}


def _wait_for_node(
    record: ClusterRecord, token: Path | None, known: set[str], started: subprocess.Popen[bytes]
) -> None:
    limit = time.monotonic() + _UP_WITHIN_S
    count = len(record.leaders)
    log = Path(record.folder) / f"node-{count}.log"
    while not _ids(record, token) - known:
        if started.poll() is not None or time.monotonic() > limit:
            said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["nothing"]
            problem = f"node {count} did not start; it said last: {said[-1].strip()[-300:]}"
            raise _down_fault(problem, "mend that, or ask for fewer nodes, and start again; nothing was left running")
        time.sleep(0.2)


def _started(place: ClusterPlace, wish: ClusterWish) -> ClusterRecord:
    """Start the nodes one after the other; the record is written before and after each, so `down` always finds them."""
    gcs_port, dashboard_port, client_port, agent_port = _free_ports(4)
    record = ClusterRecord(
        id=secrets.token_hex(16),
        boot=boot_id(),
        folder=tempfile.mkdtemp(prefix="femseg-", dir="/tmp"),  # a socket's path has room for no more
        gcs_port=gcs_port,
        dashboard_host=wish.dashboard_host,
        dashboard_port=dashboard_port,
        with_token=wish.with_token,
    )
    place.write(record)
    if wish.with_token:
        place.write_token()
    record = _with_node(place, record, _head_command(record, wish, client_port, agent_port))
    for _ in range(1, wish.nodes):
        record = _with_node(place, record, _node_command(record, wish.cpus))
    return record


def _node_command(record: ClusterRecord, cpus: int) -> list[str]:
    return [sys.executable, "-m", "femseg.services.cluster.local", record.address, str(cpus)]


def _with_node(place: ClusterPlace, record: ClusterRecord, command: Sequence[str]) -> ClusterRecord:
    """Start a node, write it down, and wait until the head knows it."""
    token = place.token if record.with_token else None
    known = _ids(record, token) if record.leaders else set()
    log = Path(record.folder) / f"node-{len(record.leaders) + 1}.log"
    started = _start(command, _environment(record, place.token), log)
    record = record.with_leader(leader(started.pid))
    place.write(record)
    _wait_for_node(record, token, known, started)
    return record


def _ended(place: ClusterPlace, record: ClusterRecord) -> int:
    count = end(record.id, Path(record.folder), record.leaders)
    place.clear(record)
    return count


def up(place: ClusterPlace, wish: ClusterWish) -> tuple[ClusterRecord, bool]:
    """Start a cluster, or find this user's that is up; returns it and whether it was started now.

    What is left of one whose head is gone is ended first.

    Raises: Refusal CL-06 (exit 6) if it cannot start; CL-07 (exit 9) for a job server open to all; CL-09 (exit 9) if
        others may read the token's folder.
    """
    _refuse_unsafe(wish)
    require_job_server()
    with place.alone():
        earlier = place.read()
        if earlier is not None:
            if answers(earlier.api_address, place.token if earlier.with_token else None):
                return earlier, False
            _ended(place, earlier)
        try:
            return _started(place, wish), True
        except BaseException:
            half = place.read()
            if half is not None:
                _ended(place, half)
            raise


def add(place: ClusterPlace, *, cpus: int) -> int:
    """Start one node more in this user's cluster, or one for a node that was lost; returns how many live then.

    Raises: Refusal CL-06 (exit 6) if no cluster is up, or the node does not start.
    """
    with place.alone():
        record = status(place).record
        record = _with_node(place, record, _node_command(record, cpus))
        return len(_ids(record, place.token if record.with_token else None))


def status(place: ClusterPlace) -> ClusterStatus:
    """This user's cluster. Raises: Refusal CL-06 (exit 6) if there is none, or it does not answer."""
    record = place.read()
    if record is None:
        raise _down_fault("none of yours is up on this machine", "`femseg cluster up`")
    token = place.token if record.with_token else None
    left = processes_of(record.id, Path(record.folder), record.leaders)
    if not answers(record.api_address, token):
        problem = f"its job server at {record.api_address} does not answer; {len(left)} of its processes are left"
        raise _down_fault(problem, "`femseg cluster down`, then `femseg cluster up`")
    return ClusterStatus(
        record=record,
        nodes=living_nodes(record.api_address, token),
        jobs=running_jobs(record.api_address, token),
        processes=len(left),
    )


def down(place: ClusterPlace) -> int | None:
    """End this user's cluster and no other; returns how many processes it had, None if there was none."""
    with place.alone():
        record = place.read()
        return None if record is None else _ended(place, record)


# One more Ray node on this machine, on loopback: `python -m femseg.services.cluster.local ADDRESS CPUS`.
#
# `ray start --address` would put the machine's own address in place of 127.0.0.1, and listen there.


_OBJECT_STORE_BYTES = 256 * 2**20  # Ray would give each node 30 % of the machine


def main() -> None:
    """Join the cluster and stay until SIGTERM, or until one of the node's own processes is gone."""
    address, cpus = sys.argv[1:]
    params = RayParams(
        node_ip_address="127.0.0.1",
        gcs_address=address,
        num_cpus=int(cpus),
        num_gpus=0,  # the head has them
        object_store_memory=_OBJECT_STORE_BYTES,
        min_worker_port=0,
        max_worker_port=0,
        node_manager_port=0,
        runtime_env_dir_name=f"runtime_resources_{os.getpid()}",  # a node deletes and unpacks anew what jobs upload
        include_log_monitor=False,  # type: ignore[arg-type] # the head's reads the logs of all
    )
    node = Node(params, head=False, shutdown_at_exit=True, spawn_reaper=True)
    while node.remaining_processes_alive():  # type: ignore[no-untyped-call]
        time.sleep(1)
    sys.exit("a process of this node has ended")


if __name__ == "__main__":
    main()
