"""The tracking store: where it is, that it answers, and who may hear the password."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.services.tracking.connect import connect, redacted, tracking_uri
from femseg.services.tracking.store import no_answer, refuse_open_password, store_time_s

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def test_a_relative_sqlite_path_becomes_absolute_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here/mlflow.db")
    absolute = tracking_uri()
    assert absolute == f"sqlite:///{tmp_path}/here/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", absolute)
    monkeypatch.chdir("/")
    assert tracking_uri() == absolute


def test_the_store_lies_under_mlruns_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlruns/mlflow.db"


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "./mlruns", "/tmp/mlruns"])
def test_a_plain_file_store_is_refused_TK_11(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(Refusal) as refused:
        tracking_uri()
    assert (refused.value.faults[0].id, refused.value.exit_code) == ("TK-11", ExitCode.USAGE)
    assert "sqlite:///mlruns/mlflow.db" in str(refused.value)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_server_that_does_not_answer_is_refused_within_10_s_without_its_password_TK_01_SC_15(closed_port):
    started = time.monotonic()
    with pytest.raises(Refusal) as refused:
        connect(f"http://doctor:secret@127.0.0.1:{closed_port}")
    assert time.monotonic() - started < 10
    assert refused.value.exit_code == ExitCode.SERVICE_DOWN
    assert f"http://127.0.0.1:{closed_port}" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "doctor" not in str(refused.value)


@pytest.fixture
def half_dead_server() -> Iterator[str]:
    """It says that it is healthy, and takes every other request without ever answering."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/health":
                ended.wait(60)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET  # noqa: N815  # http.server's names

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        ended.set()
        server.shutdown()


def test_a_server_that_is_healthy_by_its_own_words_only_is_refused_within_10_s_TK_01(half_dead_server):
    started = time.monotonic()
    with pytest.raises(Refusal) as refused:
        connect(half_dead_server)
    assert time.monotonic() - started < 10
    assert (refused.value.faults[0].id, refused.value.exit_code) == ("TK-01", ExitCode.SERVICE_DOWN)


def test_a_store_in_a_file_that_is_no_database_is_refused_TK_01(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database " * 100)
    with pytest.raises(Refusal) as refused:
        connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert refused.value.exit_code == ExitCode.SERVICE_DOWN


def test_a_deleted_experiment_is_named_with_the_way_back_TK_13(tmp_path):
    client, experiment_id = connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client.delete_experiment(experiment_id)
    started = time.monotonic()
    with pytest.raises(Refusal) as refused:
        connect(client.tracking_uri)
    assert time.monotonic() - started < 10  # MLflow's own retries take most of a minute
    (fault,) = refused.value.faults
    assert (fault.id, refused.value.exit_code) == ("TK-13", ExitCode.SERVICE_DOWN)
    assert "'femseg' was deleted" in fault.problem
    assert f"mlflow experiments restore --experiment-id {experiment_id}" in fault.fix
    client.restore_experiment(experiment_id)
    assert connect(client.tracking_uri)[1] == experiment_id


def test_what_a_store_says_is_never_replaced_by_a_guess_TK_01_TK_13(tmp_path):
    said = MlflowException("Run 'abc' is in the deleted state", error_code=INVALID_PARAMETER_VALUE)
    answered = no_answer("http://127.0.0.1:5000", said).faults[0]
    assert (answered.id, "is in the deleted state" in answered.problem) == ("TK-13", True)
    away = no_answer("http://127.0.0.1:5000", MlflowException("API request failed: connection refused")).faults[0]
    assert (away.id, "connection refused" in away.problem) == ("TK-01", True)
    broken = no_answer(f"sqlite:///{tmp_path}/mlflow.db", OSError(5, "Input/output error")).faults[0]
    assert (broken.id, "Input/output error" in broken.problem) == ("TK-01", True)
    assert "server" not in broken.fix


def test_user_and_password_are_left_out_of_a_uri():
    assert redacted("https://u:p@host:5000/x") == "https://host:5000/x"
    assert redacted("sqlite:////a/b.db") == "sqlite:////a/b.db"


@pytest.fixture
def no_credentials(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.delenv("FEMSEG_TRACKING_INSECURE", raising=False)
    return tmp_path


def give(kind: str, home, monkeypatch) -> str:
    """Credentials in one of the places that MLflow knows; returns the server's address."""
    if kind == "file":
        (home / ".mlflow").mkdir()
        (home / ".mlflow/credentials").write_text(
            "[mlflow]\nmlflow_tracking_username = doctor\nmlflow_tracking_password = secret\n"
        )
    elif kind != "address":
        monkeypatch.setenv(f"MLFLOW_TRACKING_{kind}", "secret")
    return "http://doctor:secret@example.org:5000" if kind == "address" else "http://example.org:5000"


@pytest.mark.parametrize("kind", ["file", "PASSWORD", "TOKEN", "address"])
def test_a_password_is_not_sent_in_the_clear_to_another_machine_TK_09(no_credentials, monkeypatch, kind):
    uri = give(kind, no_credentials, monkeypatch)
    with pytest.raises(Refusal) as refused:
        connect(uri)
    assert refused.value.exit_code == ExitCode.SECURITY
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "uri", ["https://example.org", "http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]:5000"]
)
def test_a_password_may_travel_encrypted_or_stay_on_the_machine_TK_09(no_credentials, monkeypatch, uri):
    elsewhere = give("PASSWORD", no_credentials, monkeypatch)
    assert refuse_open_password(uri) is None
    with pytest.raises(Refusal, match="TK-09"):
        refuse_open_password(elsewhere)


def test_a_password_may_travel_in_the_clear_if_the_user_says_so_TK_09(no_credentials, monkeypatch):
    uri = give("PASSWORD", no_credentials, monkeypatch)
    monkeypatch.setenv("FEMSEG_TRACKING_INSECURE", "1")
    assert refuse_open_password(uri) is None
    monkeypatch.setenv("FEMSEG_TRACKING_INSECURE", "0")
    with pytest.raises(Refusal, match="TK-09"):
        refuse_open_password(uri)


def test_a_server_without_password_may_be_anywhere_TK_09(no_credentials, monkeypatch):
    assert refuse_open_password("http://example.org:5000") is None
    give("PASSWORD", no_credentials, monkeypatch)
    with pytest.raises(Refusal, match="TK-09"):
        refuse_open_password("http://example.org:5000")


def test_the_clock_of_a_local_store_is_this_machines():
    assert abs(store_time_s("sqlite:////nowhere.db") - time.time()) < 5
