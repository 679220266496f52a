"""A PostgreSQL server of our own on the loopback address, from Debian's package, gone when its block ends."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

USER = "mlflow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """Where the server listens, and the password of its only user, `mlflow`."""

    port: int
    password: str = field(repr=False)

    def uri(self, database: str = "mlflow") -> str:
        """For SQLAlchemy; with the password, as a careless colleague would write it."""
        return f"postgresql+psycopg2://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def ask(self, statement: str, database: str = "mlflow") -> list[tuple]:
        """Run one SQL statement; the rows that it gives."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=USER, password=self.password, dbname=database
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _programs() -> Path:
    """The folder of `initdb` and `postgres`; Debian keeps it off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    assert found, "these tests need PostgreSQL: apt-get install postgresql"
    return found[-1]


@contextmanager
def postgres(*databases: str) -> Iterator[Postgres]:
    """A fresh server with these databases ("mlflow" if none is named).

    PostgreSQL does not run as root: root's tests run it as the user `postgres` that Debian's package makes.
    """
    programs, folder = _programs(), Path(tempfile.mkdtemp(prefix="femseg-postgres-"))
    server = Postgres(port=free_port(), password=secrets.token_hex(8))
    somebody = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    password, data, log = folder / "password", folder / "data", folder / "log"
    try:
        password.write_text(server.password)
        if somebody:
            for path in (folder, password):
                shutil.chown(path, **somebody)
        words = [f"--pgdata={data}", f"--username={USER}", f"--pwfile={password}", "--auth=scram-sha-256"]
        subprocess.run(
            [programs / "initdb", *words, "--locale=C", "--encoding=UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **somebody,
        )
        with log.open("ab") as stream, _running(programs, data, server.port, stream, somebody) as process:
            _until_it_answers(server, process, log)
            for name in databases or ("mlflow",):
                server.ask(f'CREATE DATABASE "{name}"', database="postgres")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(programs: Path, data: Path, port: int, log, somebody: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",  # what is lost with the machine is not what these tests ask about
        "max_connections": 200,
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    process = subprocess.Popen(
        [programs / "postgres", "-D", data, *options],
        stdout=log,
        stderr=log,
        cwd=data,
        start_new_session=True,
        **somebody,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: clients are sent away
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)  # its immediate one, which ends its children too
            process.wait(30)


def _until_it_answers(server: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit and process.poll() is None:
        with suppress(psycopg2.OperationalError):
            server.ask("SELECT 1", database="postgres")
            return
        time.sleep(0.1)
    raise AssertionError(f"PostgreSQL does not answer:\n{log.read_text()[-2000:]}")
