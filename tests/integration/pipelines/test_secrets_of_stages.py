"""SC-15: a password in the tracking address or the environment is in nothing that a stage prints, records or leaves."""

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from security.traces import search
from servers.mlflow_server import MlflowServer, free_port
from tiny_project import changed, environment

from .stage_in_process import run_here

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself
# never whole in this file, which the project under test holds too
USER, PASSWORD, KEY = "surgeon", "-".join(("Pass", "Kanari", "4711")), "-".join(("Key", "Kanari", "0815"))
SECRETS = (PASSWORD, KEY)
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": f"id-{KEY}", "AWS_SECRET_ACCESS_KEY": f"secret-{KEY}"}


class _Muddled(BaseHTTPRequestHandler):
    """Answers everything with a page that repeats what it was asked, the way proxies do."""

    def do_GET(self) -> None:
        said = f"cannot serve {self.path} of {dict(self.headers)}".encode()
        self.send_response(502)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET  # noqa: N815  # as the library has it

    def log_message(self, *words: object) -> None:
        """Nothing."""


@contextmanager
def muddled_server() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Muddled)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(project: Path, stage: str, uri: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *f"pipelines.{stage}".split()],
        cwd=project,
        env=environment(project) | ENVIRONMENT | {"MLFLOW_TRACKING_URI": uri} | more,
        capture_output=True,
        text=True,
        timeout=500,
    )


def assert_secret(said: str, *folders: Path) -> None:
    assert not any(secret in said for secret in SECRETS), said
    found = search(folders, SECRETS)
    assert found.files > 0
    assert found.hits == (), "\n".join(found.hits[:20])


STORES = {
    "nobody listens": (f"http://{USER}:{PASSWORD}@127.0.0.1:1", 6, "TK-01"),
    "another machine": (f"http://{USER}:{PASSWORD}@192.0.2.7:5000", 9, "TK-09"),
    "a database without its driver": (f"postgresql+pg8000://{USER}:{PASSWORD}@127.0.0.1:1/mlflow", 6, "TK-01"),
    "a database that is away": (f"postgresql+psycopg2://{USER}:{PASSWORD}@127.0.0.1:1/mlflow", 6, "TK-01"),
    "a kind that is none": (f"gopher://{USER}:{PASSWORD}@127.0.0.1:1", 6, "TK-01"),
    "a muddled server": ("", 6, "TK-01"),
}
QUICK = ("another machine", "a database")  # the others are asked more than once


@contextmanager
def address(name: str) -> Iterator[str]:
    with muddled_server() as port:
        yield STORES[name][0] or f"http://{USER}:{PASSWORD}@127.0.0.1:{port}"


@pytest.mark.parametrize(
    "name", [name if name.startswith(QUICK) else pytest.param(name, marks=pytest.mark.slow) for name in STORES]
)
def test_a_password_in_a_tracking_address_that_fails_is_not_repeated_SC_15(light_copy, name):
    _, wanted, fault_id = STORES[name]
    start = time.time()
    with address(name) as uri:
        exit_code, said = run_here(light_copy, "register", MLFLOW_TRACKING_URI=uri, **ENVIRONMENT)
    assert (exit_code, f"error {fault_id}: " in said) == (wanted, True), said
    assert len(said.splitlines()) == 1, said
    assert not any(secret in said for secret in SECRETS), said
    assert [path for path in light_copy.rglob("*") if path.is_file() and path.stat().st_mtime >= start] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", STORES)
def test_nor_is_it_in_the_traceback_that_debugging_shows_SC_15(copy, name):
    with address(name) as uri:
        done = run(copy, "register", uri, FEMSEG_DEBUG="1")
    assert "Traceback" in done.stderr
    assert_secret(done.stdout + done.stderr, copy)


@contextmanager
def server_with_a_password(folder: Path) -> Iterator[MlflowServer]:
    """MLflow's own basic authentication on SQLite."""
    port = free_port()
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = {USER}\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    env = {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-this-test"}
    server = MlflowServer(command, port=port, folder=folder, env=env)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_password_that_works_is_in_nothing_that_training_and_registering_leave_SC_15(copy, tmp_path):
    """The stages, their files, Ray's logs, what the server keeps; a wrong password is refused in the same silence."""
    ray = Path(tempfile.mkdtemp(prefix="fs-", dir="/tmp"))
    (tmp_path / "server").mkdir()
    changed(copy / "params.yaml", {"train": {"learning_rate": 0.004, "workers": 1}})
    where = {"RAY_TMPDIR": str(ray), "TMPDIR": str(tmp_path)}
    try:
        with server_with_a_password(tmp_path / "server") as server:
            address = f"{USER}:{{}}@127.0.0.1:{server.port}"
            wrong = run(copy, "register", f"http://{address.format('wrong-' + KEY)}")
            assert (wrong.returncode, "error TK-01: " in wrong.stderr) == (6, True), wrong.stderr
            uri = f"http://{address.format(PASSWORD)}"
            trained = run(copy, "train --input-mode raw", uri, **where)
            assert trained.returncode == 0, trained.stdout + trained.stderr
            registered = run(copy, "register", uri, **where)
            assert registered.returncode == 0, registered.stdout + registered.stderr
            time.sleep(1)
        (tmp_path / "server/auth.ini").unlink()  # is where the server itself has it from
        said = "".join(done.stdout + done.stderr for done in (wrong, trained, registered))
        assert list(ray.rglob("*.log"))
        assert_secret(said, copy, ray, tmp_path / "server")
    finally:
        shutil.rmtree(ray, ignore_errors=True)
