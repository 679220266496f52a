"""What a tracking server that is away for ten minutes costs a training: its wait per point, lost and doubled points.

    python -m benchmarks.chaos.tracking_outage --output benchmarks/results/tracking_outage.json

A real `mlflow server` on SQLite is killed (kill -9) in the middle of a run of ten points a second, started again after
ten minutes, and frozen (SIGSTOP) for half a minute. Then the store is compared with what was recorded.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

from servers.curves_in_mlflow import history
from servers.mlflow_server import MlflowServer, mlflow_server

from femseg.errors import Refusal
from femseg.services.tracking.connect import BackgroundRecorder, connect, start_run

STEP_S, FROZEN_S, BEFORE_S = 0.1, 30.0, 10.0


def outages(server: MlflowServer, away_s: float, over: threading.Event) -> None:
    """Kill, restart, freeze and thaw the server."""
    time.sleep(BEFORE_S)
    server.kill()
    time.sleep(away_s)
    server.start()
    time.sleep(BEFORE_S)
    server.freeze()
    time.sleep(FROZEN_S)
    server.thaw()
    time.sleep(BEFORE_S)
    over.set()


def refused_after_s(uri: str) -> float:
    """How long a command takes to say that a server is away."""
    started = time.monotonic()
    try:
        connect(uri)
    except Refusal:
        return time.monotonic() - started
    raise SystemExit("the server answers")


def measured(folder: Path, away_s: float) -> dict[str, object]:
    over, waits, step = threading.Event(), [], 0
    (folder / "server").mkdir()
    with mlflow_server(folder / "server") as server:
        client, experiment_id = connect(server.uri)
        run_id = start_run(client, experiment_id, name="run", params={})
        recorder = BackgroundRecorder(server.uri, run_id, folder / "run", say=print)
        watcher = threading.Thread(target=outages, args=(server, away_s, over))
        watcher.start()
        while not over.is_set():
            started = time.perf_counter()
            recorder.metric("loss", 1 / (step + 3), step=step)
            waits.append(time.perf_counter() - started)
            step += 1
            time.sleep(STEP_S)
        watcher.join()
        recorder.close(120)
        held = history(client, run_id, "loss")
        server.kill()
        closed_s = refused_after_s(server.uri)
    steps = {at for at, _ in held}
    return {
        "seconds_away": away_s,
        "seconds_frozen": FROZEN_S,
        "points": step,
        "points_lost": step - len(steps),
        "points_doubled": len(held) - len(steps),
        "points_altered": sum(value != 1 / (at + 3) for at, value in held),
        "wait_per_point_us_median": statistics.median(waits) * 1e6,
        "wait_per_point_ms_longest": max(waits) * 1e3,
        "seconds_to_refuse_a_server_that_is_away": closed_s,
        "load_average_at_the_end": os.getloadavg()[0],
        "cores": len(os.sched_getaffinity(0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="femseg-outage-") as folder:
        found = measured(Path(folder), 60 * arguments.minutes)
    result = {"command": "python -m benchmarks.chaos.tracking_outage", **found}
    print(json.dumps(result, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
