"""Real MLflow servers: one on SQLite in a few seconds, and the team's server of `docker/` on PostgreSQL."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import psutil
from processes import kill_tree, start
from servers.postgres import Postgres, free_port, postgres

ROOT = Path(__file__).parents[3]


class MlflowServer:
    """A server in a session of its own, which can be ended, frozen and started again at the same address.

    Attributes:
        uri: where it listens, on the loopback address unless told otherwise, without a password.
        folder: its database and artefacts, if it keeps them in files; its log is `server.log`.
        user, password: with basic authentication; else "".
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        folder: Path,
        env: Mapping[str, str] | None = None,
        password: str = "",
        host: str = "127.0.0.1",
    ) -> None:
        self.port, self.uri, self.folder = port, f"http://{host}:{port}", folder
        self.user, self.password = ("admin" if password else ""), password
        self._command, self._env = list(command), _environment(env or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def credentials(self) -> dict[str, str]:
        """What a client's environment needs to be let in."""
        return {"MLFLOW_TRACKING_USERNAME": self.user, "MLFLOW_TRACKING_PASSWORD": self.password} if self.user else {}

    def start(self) -> None:
        """Start, or start again with all that it kept; returns when it answers."""
        self._process = start(self._command, env=self._env, cwd=self.folder, log=self.folder / "server.log")
        limit = time.monotonic() + 180
        while not self.answers():
            assert self._process.poll() is None, (
                f"the server ended with {self._process.returncode}:\n{self.log[-3000:]}"
            )
            assert time.monotonic() < limit, f"the server does not answer:\n{self.log[-3000:]}"
            time.sleep(0.1)

    def answers(self) -> bool:
        with suppress(OSError), urlopen(f"{self.uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def kill(self) -> None:
        """kill -9 of the server and all its workers."""
        if self._process is not None:
            kill_tree(self._process)
            self._process = None

    def freeze(self) -> None:
        """It accepts connections and never answers, until it is thawed."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        leader = psutil.Process(self._process.pid)
        for process in (leader, *leader.children(recursive=True)):
            process.send_signal(number)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours without what a tester's shell or an earlier test says of MLflow; and the server's lighter half."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    programs = Path(sys.executable).parent
    return env | {"PATH": f"{programs}:{env['PATH']}", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **more}


@contextmanager
def _served(server: MlflowServer) -> Iterator[MlflowServer]:
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def mlflow_server(
    folder: Path,
    *,
    store: str = "",
    artifacts: str = "",
    env: Mapping[str, str] | None = None,
    largest_file_mib: int = 0,
) -> Iterator[MlflowServer]:
    """A server without names and passwords, as for one person.

    Args:
        folder: for its files; must exist.
        store: where runs are kept; SQLite in `folder` unless said otherwise.
        artifacts: where the server keeps artefacts (a path or s3://…); `folder`/artifacts unless said otherwise.
        env: more environment, for instance AWS_ENDPOINT_URL and credentials.
        largest_file_mib: beyond this its disk is full; 0 sets no bound.
    """
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store or f"sqlite:///{folder / 'server.db'}"]
    command += ["--artifacts-destination", artifacts or str(folder / "artifacts")]
    if largest_file_mib:
        command = ["sh", "-c", f'ulimit -f {largest_file_mib * 2048}; exec "$@"', "sh", *command]  # blocks of 512 bytes
    with _served(MlflowServer(command, port=port, folder=folder, env=env)) as server:
        yield server


@contextmanager
def team_server(
    folder: Path, *, artifacts: str = "", env: Mapping[str, str] | None = None, host: str = "127.0.0.1"
) -> Iterator[tuple[MlflowServer, Postgres]]:
    """The team's server by `docker/mlflow-server.sh`: PostgreSQL, names and passwords, artefacts through the server.

    Args: as for `mlflow_server`; and
        host: an address of this machine, for the server; PostgreSQL stays on loopback.
    """
    port, keys = free_port(), folder / "secrets"
    keys.mkdir(mode=0o700)
    password = secrets.token_hex(12)
    with postgres("mlflow", "mlflow_auth") as database:
        told = {
            "postgres_password": database.password,
            "mlflow_password": password,
            "mlflow_session_key": secrets.token_hex(16),
        }
        for name, value in told.items():
            (keys / name).write_text(value)
        settings = {
            "TMPDIR": str(folder),  # the script keeps a copy of its secrets in a folder of its own
            "FEMSEG_SECRETS": str(keys),
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(database.port),
            "MLFLOW_ARTIFACTS": artifacts or str(folder / "artifacts"),
            "MLFLOW_HOST": host,
            "MLFLOW_PORT": str(port),
            "MLFLOW_WORKERS": "1",
            "MLFLOW_ALLOWED_HOSTS": f"{host}:{port}",
            **(env or {}),
        }
        command = ["sh", str(ROOT / "docker" / "mlflow-server.sh")]
        server = MlflowServer(command, port=port, folder=folder, env=settings, password=password, host=host)
        with _served(server):
            yield server, database
