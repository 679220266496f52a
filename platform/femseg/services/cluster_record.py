"""What is kept of a running local cluster: one record and one token, for their owner alone."""

import fcntl
import os
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from femseg.durable import read_json, write_json_durably
from femseg.errors import ExitCode, Fault, Refusal
from femseg.services.cluster_processes import Leader, boot_id
from femseg.settings import as_plain


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
                exit_code=ExitCode.SECURITY,
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
