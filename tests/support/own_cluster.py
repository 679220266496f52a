"""A Ray cluster started by the commands of docs/how-to/ml-engineer/my-workstation.md, on ports of its own."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
from processes import start, wait_until
from tiny_project import ROOT, environment

HOW_TO = ROOT / "docs/how-to/ml-engineer/my-workstation.md"
TOKEN, START, USE, SEVERAL = re.findall(r"```bash\n(.*?)```", HOW_TO.read_text(), flags=re.S)
UP_S, ENDED_S = 180, 60
_FEWER_BYTES = {"--object-store-memory": 256 * 2**20}  # Ray would give each node 30 % of the machine
_ANY_PORT = {"--min-worker-port": 0, "--max-worker-port": 0}  # two clusters on one machine would take the same


def exports(block: str) -> dict[str, str]:
    words = [word for line in block.splitlines() if line.startswith("export ") for word in shlex.split(line, True)[1:]]
    return dict(word.split("=", 1) for word in words)


def ray_start(block: str, which: str, options: Mapping[str, Any]) -> list[str]:
    """The how-to's line with `--head` or `--address`, and options of which the last word of each counts."""
    (line,) = (line for line in block.splitlines() if line.startswith("ray start ") and which in line)
    return [*shlex.split(line, True), *(f"{name}={value}" for name, value in options.items())]


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


class OwnCluster:
    """`env` is a stranger's environment, `inside` has what the how-to exports where the cluster is used.

    With one node all is on loopback, as in the how-to; `several` nodes are joined by the machine's address.
    """

    def __init__(self, home: Path, *, cpus: int, several: bool, project: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.cpus, self.several = cpus, several
        self.env = environment(project) | {"HOME": str(home)}
        self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a socket's path has room for no more
        self.token_file = home / ".ray" / "auth_token"
        self.leaders: list[subprocess.Popen[bytes]] = []
        self._known: set[psutil.Process] = set()
        subprocess.run(["bash", "-ec", TOKEN], env=self.env, check=True)
        self._node_env = self.env | exports(START)
        if several:
            del self._node_env["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"]

    @property
    def token(self) -> str:
        return self.token_file.read_text().strip()

    def start_head(self) -> None:
        """Also anew, after one was lost."""
        self.port, self.dashboard, client, agent = free_ports(4)
        ports = {"--port": self.port, "--dashboard-port": self.dashboard, "--ray-client-server-port": client}
        ports |= {"--dashboard-agent-listen-port": agent}
        log = self._started(ray_start(SEVERAL if self.several else START, "--head", ports), self._node_env)
        address = re.search(r"Local node IP: (\S+)", re.sub(r"\x1b\[\d+m", "", log)).group(1)
        inside = exports(SEVERAL if self.several else USE) | {"RAY_AUTH_MODE": "token"}
        inside |= {"RAY_ADDRESS": f"{address}:{self.port}"}
        inside |= {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{self.dashboard}"}
        self.inside = self.env | inside
        limit = time.monotonic() + UP_S
        while not self._living():
            assert time.monotonic() < limit, log
            time.sleep(0.2)

    def add_node(self, **env: str) -> None:
        before, address = self._living(), self.inside["RAY_ADDRESS"]
        self._started(ray_start(SEVERAL, "--address", {"--address": address}), self._node_env | env)
        limit = time.monotonic() + UP_S
        while not self._living() - before:
            assert time.monotonic() < limit
            time.sleep(0.2)

    def _started(self, command: Sequence[str], env: Mapping[str, str]) -> str:
        """Start a node; returns what it has printed."""
        number = len(self.leaders) + 1
        own = {"--num-cpus": self.cpus, "--temp-dir": self.folder / str(number), **_FEWER_BYTES, **_ANY_PORT}
        words = [*command, *(f"{name}={value}" for name, value in own.items())]
        log = self.folder / f"node-{number}.log"
        self.leaders.append(start(words, env=env, cwd=self.folder, log=log))
        wait_until(lambda: "Ray runtime started" in log.read_text(), self.leaders[-1], log, UP_S)
        return log.read_text()

    def asked(self, path: str) -> Any:
        """The JSON that the job server answers."""
        url = f"http://127.0.0.1:{self.dashboard}{path}"
        with urlopen(Request(url, headers={"Authorization": f"Bearer {self.token}"}), timeout=10) as answer:
            return json.load(answer)

    def listed(self, what: str) -> list[dict[str, Any]]:
        """Ray's own list of nodes or actors."""
        return self.asked(f"/api/v0/{what}?detail=1")["data"]["result"]["result"]

    def _living(self) -> set[str]:
        with suppress(OSError):
            return {node["node_id"] for node in self.listed("nodes") if node["state"] == "ALIVE"}
        return set()

    def processes(self) -> list[psutil.Process]:
        """The first process of each node, and all below them."""
        leaders = [psutil.Process(one.pid) for one in self.leaders if one.poll() is None]
        found = leaders + [child for one in leaders for child in one.children(recursive=True)]
        self._known |= set(found)
        return found

    def end(self) -> None:
        """Ctrl-C in each node's terminal, the head's last; what is left then, or outlived a node, is killed."""
        self.processes()
        for leader in reversed(self.leaders):
            if leader.poll() is None:
                os.killpg(leader.pid, signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    leader.wait(ENDED_S)
        for process in self._known:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for leader in self.leaders:
            leader.wait(ENDED_S)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def own_cluster(
    home: Path, *, nodes: int = 1, cpus: int = 1, several: bool = False, project: Path = ROOT
) -> Iterator[OwnCluster]:
    """`cpus` of each node; `several` lets more nodes join one that starts alone."""
    cluster = OwnCluster(home, cpus=cpus, several=several or nodes > 1, project=project)
    try:
        cluster.start_head()
        for _ in range(1, nodes):
            cluster.add_node()
        yield cluster
    finally:
        cluster.end()


def listeners(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    """Address and port of every TCP socket that takes connections."""
    found = set()
    for process in processes:
        try:
            found |= {tuple(c.laddr) for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        except psutil.NoSuchProcess:
            continue
    return found


def any_left(processes: list[psutil.Process]) -> list[int]:
    """Of these very processes, not of later ones with their numbers; zombies have ended."""
    return [p.pid for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def texts_of(process: psutil.Process) -> str:
    """What others could read of it: command line and environment."""
    try:
        return " ".join([*process.cmdline(), *process.environ().values()])
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def files_below(folder: Path) -> list[Path]:
    return [Path(at) / name for at, _, names in os.walk(folder) for name in names]
