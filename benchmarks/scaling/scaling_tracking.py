"""What a point of a curve costs: MLflow on SQLite and behind a server, 1, 2 and 4 runs that write at once."""

import itertools
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from femseg.services.tracking.connect import connect

_WRITERS, _POINTS_A_REQUEST = (1, 2, 4), (1, 50)
_SERVER_STARTS_WITHIN_S = 180.0


def tracking_costs(repeats: int) -> list[dict[str, Any]]:
    """Rows of store, writers, points a request, seconds a request (median) and points a second over all writers."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="femseg-tracking-") as folder:
        sqlite = f"sqlite:///{folder}/direct.db"
        connect(sqlite)
        rows += _rows("sqlite", sqlite, repeats)
        with _server(Path(folder)) as address:
            connect(address)
            rows += _rows("server on sqlite", address, repeats)
    return rows


def _rows(store: str, uri: str, repeats: int) -> list[dict[str, Any]]:
    rows = []
    for writers in _WRITERS:
        with ProcessPoolExecutor(writers, mp_context=get_context("spawn")) as pool:
            list(pool.map(_write, [uri] * writers, [1] * writers, [2] * writers))  # starts the processes
            for points in _POINTS_A_REQUEST:
                started = time.perf_counter()
                requests = max(4, repeats * 20 // points)
                taken = list(pool.map(_write, [uri] * writers, [points] * writers, [requests] * writers))
                seconds = time.perf_counter() - started
                rows.append(
                    {
                        "store": store,
                        "writers": writers,
                        "points_a_request": points,
                        "seconds_a_request": statistics.median(itertools.chain.from_iterable(taken)),
                        "points_a_second": writers * points * requests / seconds,
                    }
                )
    return rows


def _write(uri: str, points: int, requests: int) -> list[float]:
    """Seconds of each request, in a run of its own."""
    client, experiment_id = connect(uri)
    run_id = client.create_run(experiment_id).info.run_id
    return [_request_seconds(client, run_id, points, first=number * points) for number in range(requests)]


def _request_seconds(client: MlflowClient, run_id: str, points: int, *, first: int) -> float:
    now = int(time.time() * 1000)
    metrics = [Metric("train_dice_loss", 0.5, now, first + n) for n in range(points)]
    started = time.perf_counter()
    client.log_batch(run_id, metrics=metrics)
    return time.perf_counter() - started


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "a")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _SERVER_STARTS_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"{address}/health", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the MLflow server at {address} did not start")
