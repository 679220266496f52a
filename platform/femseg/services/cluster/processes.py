"""The processes of one cluster of ours on this machine: found by a mark that only they carry, and ended for certain."""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from femseg.errors import Fault, Refusal
from femseg.files.durable import read_json, write_json_durably
from femseg.settings import as_plain

MARK = "FEMSEG_CLUSTER_ID"
_ENDED_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The first process of a node, in a session of its own.

    Attributes:
        pid: also the number of the session.
        started_ticks: clock ticks from boot to its start; tells it from a later process of the same number.
    """

    pid: int
    started_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    pid: int
    parent: int
    session: int
    started_ticks: int


def boot_id() -> str:
    """Names this start of this machine; process numbers mean nothing after the next one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _processes() -> list[_Process]:
    """All that live; one that has ended and waits for its parent does not."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent, _, session, *rest = file.read_text().rpartition(")")[2].split()
            if state not in "ZX":
                process = _Process(
                    pid=int(file.parent.name), parent=int(parent), session=int(session), started_ticks=int(rest[15])
                )
                found.append(process)
    return found


def leader(pid: int) -> Leader:
    """A process just started, as `end` will know it again. Raises: ProcessLookupError if it has ended."""
    for process in _processes():
        if process.pid == pid:
            return Leader(pid=pid, started_ticks=process.started_ticks)
    raise ProcessLookupError(pid)


def _carries_mark(pid: int, cluster_id: str) -> bool:
    with suppress(OSError):
        return f"{MARK}={cluster_id}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _lives_in(pid: int, folder: Path) -> bool:
    """Whether its working folder, standard output or error lies there."""
    for link in ("cwd", "fd/1", "fd/2"):
        with suppress(OSError):
            if Path(f"/proc/{pid}/{link}").readlink().is_relative_to(folder):
                return True
    return False


def processes_of(cluster_id: str, folder: Path, leaders: Sequence[Leader]) -> list[int]:
    """Every living process of a cluster, also orphans.

    Ray's workers overwrite their own environment when they rename themselves, and jobs leave the session. So a process
    belongs to the cluster if it carries the mark, or is of a leader's session and lives in the cluster's folder, or
    descends from such a one.

    Args:
        cluster_id: what MARK is set to in the environment of all that the cluster starts.
        folder: where its nodes live.
    """
    processes = _processes()
    sessions = {one.pid: one.started_ticks for one in leaders}
    ours = {
        process.pid
        for process in processes
        if _carries_mark(process.pid, cluster_id)
        or (
            process.started_ticks >= sessions.get(process.session, process.started_ticks + 1)
            and _lives_in(process.pid, folder)
        )
    }
    while below := {process.pid for process in processes if process.parent in ours} - ours:
        ours |= below
    return sorted(ours - {os.getpid()})


def end(cluster_id: str, folder: Path, leaders: Sequence[Leader]) -> int:
    """Ask the leaders to end, then kill whatever is left; returns how many processes there were.

    Raises: TimeoutError if one cannot be killed.
    """
    present = processes_of(cluster_id, folder, leaders)
    for one in leaders:
        if one.pid in present:
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGTERM)
    asked = time.monotonic()
    while left := processes_of(cluster_id, folder, leaders):
        waited_s = time.monotonic() - asked
        if waited_s > 3 * _ENDED_WITHIN_S:
            raise TimeoutError(f"processes {left} cannot be ended")
        if waited_s > _ENDED_WITHIN_S or not {one.pid for one in leaders} & set(left):
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    return len(present)


# What is kept of a running local cluster: one record and one token, for their owner alone.


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRecord:
    """A local cluster, as `femseg cluster status` and `down` find it again.

    Attributes:
        id: random; the mark of its processes.
        boot: this start of the machine.
        folder: Ray's own files, sockets and logs; goes with the cluster.
        gcs_port: where nodes and drivers connect, on 127.0.0.1.
        dashboard_host, dashboard_port: dashboard and job server.
        with_token: whether only holders of the token are served.
        leaders: first process of each node, the head's first.
    """

    id: str
    boot: str
    folder: str
    gcs_port: int
    dashboard_host: str
    dashboard_port: int
    with_token: bool
    leaders: tuple[Leader, ...] = ()

    @property
    def address(self) -> str:
        """For RAY_ADDRESS."""
        return f"127.0.0.1:{self.gcs_port}"

    @property
    def api_address(self) -> str:
        """For RAY_API_SERVER_ADDRESS, and for a browser on this machine."""
        host = "127.0.0.1" if self.dashboard_host in ("0.0.0.0", "localhost") else self.dashboard_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.dashboard_port}"

    def with_leader(self, leader: Leader) -> "ClusterRecord":
        """The same cluster with one node more."""
        return replace(self, leaders=(*self.leaders, leader))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlace:
    """The private folder of this user's cluster on this machine; home folders may be shared by several machines."""

    folder: Path

    @staticmethod
    def of_this_user() -> "ClusterPlace":
        """$XDG_STATE_HOME/femseg/cluster-<host>, as a rule below ~/.local/state."""
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return ClusterPlace(folder=Path(state).absolute() / "femseg" / f"cluster-{socket.gethostname()}")

    @property
    def token(self) -> Path:
        """For RAY_AUTH_TOKEN_PATH; readable by its owner alone."""
        return self.folder / "token"

    @property
    def _record(self) -> Path:
        return self.folder / "cluster.json"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other `femseg cluster` commands of this user waiting. Raises: Refusal CL-09 if others may look in."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = self.folder.stat()
        if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
            fault = Fault(
                id="CL-09",
                file=str(self.folder),
                problem=f"owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o}; expected {os.getuid()} and 700",
                fix="`chmod 700` it if it is yours, or set XDG_STATE_HOME to a folder that is",
            )
            raise Refusal(fault)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def write_token(self) -> None:
        """A new random token, 0600 from its first moment."""
        self.token.unlink(missing_ok=True)
        handle = os.open(self.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(secrets.token_hex(32))

    def read(self) -> ClusterRecord | None:
        """The cluster of this start of the machine. Raises: Refusal ST-02 (exit 4) if the record is torn."""
        if not self._record.exists():
            return None
        plain = read_json(self._record)
        leaders = tuple(Leader(**one) for one in plain.pop("leaders"))
        record = ClusterRecord(**plain, leaders=leaders)
        return record if record.boot == boot_id() else None

    def write(self, record: ClusterRecord) -> None:
        """Keep it."""
        write_json_durably(self._record, as_plain(record))

    def clear(self, record: ClusterRecord) -> None:
        """Forget a cluster that has ended, with its token and Ray's files."""
        shutil.rmtree(record.folder, ignore_errors=True)
        self.token.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)
