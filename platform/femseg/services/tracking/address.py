"""Where the tracking store is; asks MLflow for nothing, of which the import alone takes a worker two seconds."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from femseg.errors import Refusal
from femseg.paths import TRACKING_DATABASE, project_root

SQLITE = "sqlite:///"


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the project's own store under `mlruns/`; SQLite paths count from the project's root.

    Raises: Refusal TK-11 (exit 2) for the plain-file store, which MLflow 3.17 no longer takes.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{TRACKING_DATABASE}"
    if uri.startswith(SQLITE):
        return local_uri(project_root() / unquote(uri.removeprefix(SQLITE)))
    if urlsplit(uri).scheme in ("", "file"):
        fix = f"use {SQLITE}{TRACKING_DATABASE} or the address of a server"
        raise Refusal.of("TK-11", "MLFLOW_TRACKING_URI", f"'{uri}' is a plain-file store, which MLflow refuses", fix)
    return uri


def local_uri(database: Path) -> str:
    """The address of a SQLite store; SQLAlchemy reads `%`, `?` and `#` of a path as parts of a URL."""
    return SQLITE + str(database).replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def local_database(uri: str) -> Path | None:
    """The file of a SQLite store; None of any other."""
    return Path(unquote(uri.removeprefix(SQLITE))) if uri.startswith(SQLITE) else None


def redacted(uri: str) -> str:
    """The URI without user name and password."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2]) if "@" in parts.netloc else uri
