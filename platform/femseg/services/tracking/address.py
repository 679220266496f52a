"""Where the tracking store is; asks MLflow for nothing, of which the import alone takes a worker two seconds."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from femseg.errors import Refusal
from femseg.paths import TRACKING_DATABASE

SQLITE = "sqlite:///"


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the local store under `mlruns/`; SQLite paths are made absolute, once.

    Raises: Refusal TK-11 (exit 2) for the plain-file store, which MLflow 3.17 no longer takes.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", f"{SQLITE}{TRACKING_DATABASE}")
    if uri.startswith(SQLITE):
        return SQLITE + str(Path(uri.removeprefix(SQLITE)).absolute())
    if urlsplit(uri).scheme in ("", "file"):
        fix = f"use {SQLITE}{TRACKING_DATABASE} or the address of a server"
        raise Refusal.of("TK-11", "MLFLOW_TRACKING_URI", f"'{uri}' is a plain-file store, which MLflow refuses", fix)
    return uri


def redacted(uri: str) -> str:
    """The URI without user name and password."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2]) if "@" in parts.netloc else uri
