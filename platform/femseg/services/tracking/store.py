"""Where the MLflow store is, whether one may talk to it, and that it answers in time."""

import ipaddress
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from requests import Response
from sqlalchemy.exc import SQLAlchemyError

from femseg.errors import Refusal, words_of
from femseg.services.tracking.address import local_database, local_uri, redacted
from femseg.services.tracking.local_store import artifact_root, copy_to_read, may_be_written
from femseg.services.tracking.schema import require_schema

STORE_ERRORS = (MlflowException, SQLAlchemyError, OSError)  # what a store that is away makes of a request
_ANSWERS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST")
_ANSWER_WITHIN_S = 5.0
_EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=1"
_CLIENT_BOUNDS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}  # MLflow's own: minutes


def open_store(uri: str, *, to_read: bool = False) -> MlflowClient:
    """A client of a store that answers and has the schema of this MLflow.

    Args:
        to_read: a local store that may not be written, or lies elsewhere to those who use it, is read by a copy.
    Raises: Refusal TK-01 (exit 6) if it does not answer within ten seconds, TK-09 (9) if a password would travel in the
        clear, TK-10 (2) if another MLflow made its schema.
    """
    try:
        if _is_server(uri):
            refuse_open_password(uri)
            _ask(uri, _EXPERIMENTS)  # a server may be healthy by its own words and its database away
        elif to_read and (database := local_database(uri)) and database.exists():
            return client_of(_readable(uri, database))
        else:
            require_schema(uri)
        return client_of(uri)
    except (*STORE_ERRORS, ImportError) as error:
        raise no_answer(uri, error) from error


def _readable(uri: str, database: Path) -> str:
    try:
        if may_be_written(database):
            require_schema(uri)
            return uri
    except Refusal as refusal:
        if refusal.faults[0].id != "TK-12":
            raise
    copy = local_uri(copy_to_read(database))
    require_schema(copy)
    return copy


def client_of(uri: str) -> MlflowClient:
    """A client whose requests end within half a minute, and that asks nothing yet of a server."""
    for name, value in _CLIENT_BOUNDS.items():
        os.environ.setdefault(name, value)
    return MlflowClient(uri)


def no_answer(uri: str, error: Exception) -> Refusal:
    """TK-01: the store is away, or it does not let us in; TK-13: it answers and refuses. Its own words are kept."""
    if isinstance(error, MlflowException) and error.get_http_status_code() in (401, 403):
        problem = "the tracking server does not take the user name and password, or they may not do this"
        fix = "put the right ones into ~/.mlflow/credentials"
    elif isinstance(error, MlflowException) and error.error_code in _ANSWERS:
        problem, fix = f"the tracking store answers and refuses: {words_of(error)}", "mend what it says in MLflow"
        return Refusal.of("TK-13", redacted(uri), problem, fix)
    elif isinstance(error, ImportError):
        problem = f"the Python package {error.name}, by which this database is reached, is not installed"
        fix = "install it, or give MLFLOW_TRACKING_URI the address of an MLflow server"
    else:
        problem = f"the tracking store does not answer ({type(error).__name__}: {words_of(error)})"
        fix = "start the MLflow server, or unset MLFLOW_TRACKING_URI to use the local store"
        if local_database(uri):
            fix = "look at this file: it may be damaged, locked by another program, or no MLflow database"
    return Refusal.of("TK-01", redacted(uri), problem, fix)


def refuse_open_password(uri: str) -> None:
    """Raises: Refusal TK-09 (exit 9) if a password or token would travel unencrypted to another machine.

    FEMSEG_TRACKING_INSECURE=1 allows it, for a network that nobody else is on.
    """
    parts = urlsplit(uri)
    allowed = os.environ.get("FEMSEG_TRACKING_INSECURE", "") not in ("", "0")
    if parts.scheme != "http" or _is_loopback(parts.hostname or "") or allowed:
        return
    known = get_default_host_creds(uri)
    if parts.password or known.password or known.token:
        problem = "your MLflow password would travel to another machine in the clear (http)"
        fix = "give the server https, or set FEMSEG_TRACKING_INSECURE=1 if nobody else is on this network"
        raise Refusal.of("TK-09", redacted(uri), problem, fix)


def store_time_s(uri: str) -> float:
    """Seconds since 1970 by the clock that all who use this store share: a server's own, else this machine's."""
    date = _ask(uri, "/health").headers.get("Date") if _is_server(uri) else None
    return parsedate_to_datetime(date).timestamp() if date else time.time()


def experiment_named(client: MlflowClient, name: str) -> str:
    """The id of an experiment, made if need be; of several processes that make it at once all get the same.

    Raises: Refusal TK-13 (exit 6) if it was deleted, for MLflow gives its name to no other.
    """
    known = client.get_experiment_by_name(name)
    if known is not None:
        if known.lifecycle_stage != "active":
            problem = f"its experiment '{name}' was deleted in MLflow"
            fix = f"bring it back: `mlflow experiments restore --experiment-id {known.experiment_id}`"
            fix += f" with MLFLOW_TRACKING_URI={redacted(client.tracking_uri)}"
            raise Refusal.of("TK-13", redacted(client.tracking_uri), problem, fix)
        return str(known.experiment_id)
    try:
        database = local_database(client.tracking_uri)  # a server has its own place
        return str(client.create_experiment(name, artifact_location=artifact_root(database) if database else None))
    except MlflowException:
        known = client.get_experiment_by_name(name)
        if known is None:
            raise
        return str(known.experiment_id)


def _is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in ("http", "https")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ask(uri: str, endpoint: str) -> Response:
    """Ask a server once; any answer will do. Raises: MlflowException if none came."""
    creds = get_default_host_creds(uri)
    answer: Response = http_request(
        creds, endpoint, "GET", max_retries=0, timeout=_ANSWER_WITHIN_S, raise_on_status=False
    )
    return answer


@contextmanager
def artefacts_taken(client: MlflowClient, what: str) -> Iterator[None]:
    """Log artefacts in this block. MLflow gives a file its name once it is whole, so what failed is not listed.

    Args:
        what: is logged, for the message.
    Raises: Refusal TK-08 (exit 5) if the store does not take them, TK-01 (6) if it does not answer at all.
    """
    try:
        yield
    except (MlflowException, OSError) as error:
        try:
            store_time_s(client.tracking_uri)
        except STORE_ERRORS:
            raise no_answer(client.tracking_uri, error) from error
        said = (isinstance(error, OSError) and error.strerror) or words_of(error)
        problem = f"the artefact store did not take {what}: {said}"
        fix = "free space where the artefacts are kept, then run the same command again"
        raise Refusal.of("TK-08", redacted(client.tracking_uri), problem, fix) from error
