"""kill -9 at random instants, again and again; then: is anything lost, and are the bits those of a run left in peace?

    python -m benchmarks.chaos.chaos --kills 100 --ray 12 --nodes 8 --output benchmarks/results/chaos.json

The plain loop is killed as one process. Through a Ray of its own, in turn: one of two ranks, the driver, the whole
tree. On a cluster of two nodes, in turn: a node, for which another one starts, and the driver. A command that is gone
is started again, until its run is complete; then the next run begins, until all kills are spent. Compared with an
undisturbed run: SHA-256 of best and last weights, the curve point by point, and every point in MLflow, once.
Ends with 1 if a run was lost or differs.
"""

import argparse
import importlib.metadata
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
from mlflow.tracking import MlflowClient

from benchmarks.chaos import chaos_kills, chaos_nodes, chaos_run
from benchmarks.chaos.chaos_kills import Journal, Kill
from femseg.services.tracking.connect import connect

Part = dict[str, Any]


def prepared(folder: Path) -> Path:
    """A fresh folder with the store and an empty tracking database, which is made once and then copied."""
    template = folder.parent / "template"
    if not template.exists():
        template.mkdir(parents=True)
        chaos_run.write_store(template)
        connect(chaos_kills.tracking_uri(template))  # here, so that what is forked has imported all of MLflow
    shutil.copytree(template, folder)
    return folder


def undisturbed(folder: Path, how: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """A run left in peace: what it leaves, and the seconds from its start to its first iteration."""
    journal, began = Journal(folder), time.monotonic()
    with chaos_kills.gone_afterwards() as start:
        process = start(folder, **how)
        while not journal.trained_again() and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.005)
        start_up_s = time.monotonic() - began
        if process.wait(chaos_kills.RUN_LIMIT_S) != 0:
            sys.exit(f"the undisturbed run failed:\n{(folder / 'log.txt').read_text()[-3000:]}")
    return json.loads((folder / "left.json").read_text()), start_up_s


def chaotic_run(
    folder: Path,
    start: Callable[..., psutil.Process],
    kinds: Iterator[str],
    when: Iterator[Any],
    dice: random.Random,
    most_kills: int,
    how: dict[str, Any],
) -> tuple[list[Kill], str]:
    """Kill and start again until the run is complete; the kills, and what was lost ("" if nothing)."""
    kills: list[Kill] = []
    limit = time.monotonic() + chaos_kills.RUN_LIMIT_S
    last_kill, process, kind = 0.0, None, next(kinds)
    while time.monotonic() < limit:
        if process is None:
            process, began, hit = start(folder, **how), time.monotonic(), False
            journal, first_row, waiting, due = Journal(folder), None, bool(kills), next(when)
        if (code := _exit_code(process)) is not None:
            if hit and code == -9:
                process = None
                continue
            if hit and code == 0:
                kills.pop()  # it was complete before the kill came
            return kills, "" if code == 0 else f"ended with {code}: {(folder / 'log.txt').read_text()[-600:]}"
        if journal.trained_again():
            first_row = journal.base if first_row is None else first_row
            if waiting and kills[-1].seconds_to_training is None:
                redone = max(0, kills[-1].rows - journal.base)
                kills[-1] = replace(kills[-1], redone=redone, seconds_to_training=time.monotonic() - last_kill)
            waiting = False
        rows, seconds = journal.rows(), time.monotonic() - began
        done = rows - first_row if first_row is not None else 0
        if len(kills) < most_kills and due(seconds, done) and chaos_kills.killed(kind, process, dice):
            if waiting and kills[-1].seconds_to_training is None:
                kills[-1] = replace(kills[-1], cut_off_after_s=time.monotonic() - last_kill)
            last_kill = time.monotonic()
            kills.append(Kill(kind=kind, seconds=seconds, rows=rows))
            hit = kind not in ("rank", "node")  # of these the command itself lives on
            journal, first_row, waiting = Journal(folder), None, True
            kind, due = next(kinds), next(when)
        time.sleep(0.005)
    return kills, f"not complete within {chaos_kills.RUN_LIMIT_S} s"


def _exit_code(process: psutil.Process) -> int | None:
    try:
        return int(process.wait(0))
    except psutil.TimeoutExpired:
        return None


def part(folder: Path, kills: int, kinds: tuple[str, ...], seed: int, how: dict[str, Any]) -> Part:
    """All kills of one way of running."""
    dice = random.Random(seed)
    reference, start_up_s = undisturbed(prepared(folder / "undisturbed"), how)
    when = chaos_kills.instants(dice, start_up_s=start_up_s, rows=how["iterations"] // 4)
    order = (kinds[number % len(kinds)] for number in range(10**9))
    done: list[Kill] = []
    runs: list[dict[str, Any]] = []
    while len(done) < kills:
        run = prepared(folder / f"run-{len(runs)}")
        with chaos_kills.gone_afterwards() as start:
            hits, lost = chaotic_run(run, start, order, when, dice, kills - len(done), how)
        done += hits
        runs.append({"folder": run, "kills": len(hits), "lost": lost})
        print(f"{folder.name} run {len(runs)}: {len(hits)} kills, {lost or 'complete'}")
        if lost:
            break
    for run in runs:
        run |= {"lost": run["lost"], **(compared(run["folder"], reference) if not run["lost"] else {})}
        del run["folder"]
    return {"seconds_to_first_iteration": start_up_s, **summary(done, runs)}


def part_on_two_nodes(folder: Path, kills: int, seed: int, how: dict[str, Any]) -> Part:
    """As `part`, on a cluster that outlives the command."""
    folder.mkdir()
    with chaos_nodes.two_nodes(folder) as node:
        chaos_kills.VICTIMS["node"] = lambda process, dice: node()
        return part(folder, kills, ("node", "driver"), seed, how)


def compared(folder: Path, reference: dict[str, Any]) -> dict[str, bool]:
    """What a complete run left, and what MLflow holds of it, against the undisturbed run."""
    left = json.loads((folder / "left.json").read_text())
    client = MlflowClient(chaos_kills.tracking_uri(folder))
    run = client.get_run(left["mlflow_run_id"])
    names = [name for name in reference["curve"][0] if name != "iteration"]
    history = {name: client.get_metric_history(run.info.run_id, name) for name in names}
    points = {name: sorted((point.step, point.value) for point in found) for name, found in history.items()}
    expected = {
        name: [(row["iteration"], row[name]) for row in reference["curve"] if row[name] is not None] for name in names
    }
    return {
        "best_weights_equal": left["best_weights_sha256"] == reference["best_weights_sha256"],
        "last_weights_equal": left["last_weights_sha256"] == reference["last_weights_sha256"],
        "curve_equal": left["curve"] == reference["curve"],
        "mlflow_equal": points == expected,
        "one_finished_mlflow_run": run.info.status == "FINISHED" and len(_all_runs(client, run)) == 1,
    }


def _all_runs(client: MlflowClient, run: Any) -> list[Any]:
    return list(client.search_runs([run.info.experiment_id]))


def summary(kills: list[Kill], runs: list[dict[str, Any]]) -> Part:
    """The figures of a part."""
    again = sorted(kill.seconds_to_training for kill in kills if kill.seconds_to_training is not None)
    cut_off = [kill.cut_off_after_s for kill in kills if kill.cut_off_after_s is not None]
    lost = [run for run in runs if run["lost"]]
    differing = [run for run in runs if not all(equal for key, equal in run.items() if key not in ("kills", "lost"))]
    return {
        "kills": len(kills),
        "kills_by_kind": {kind: sum(kill.kind == kind for kill in kills) for kind in sorted({k.kind for k in kills})},
        "runs": len(runs),
        "lost_runs": len(lost),
        "differing_runs": len(differing),
        "checkpoint_every": chaos_run.CHECKPOINT_EVERY,
        "most_redone_iterations": max((kill.redone for kill in kills if kill.redone is not None), default=0),
        "seconds_to_training_again": {
            "measured": len(again),
            "cut_off_by_the_next_kill": len(cut_off),
            "longest_cut_off": max(cut_off, default=None),
            "p50": statistics.median(again) if again else None,
            "p95": again[max(0, -(-len(again) * 95 // 100) - 1)] if again else None,
            "most": again[-1] if again else None,
        },
        "each_run": runs,
        "each_kill": [asdict(kill) for kill in kills],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of the plain loop")
    parser.add_argument("--ray", type=int, default=0, metavar="KILLS", help="through a Ray of its own")
    parser.add_argument("--nodes", type=int, default=0, metavar="KILLS", help="on a cluster of two nodes")
    parser.add_argument("--iterations", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warm", action="store_true", help="fork the plain loop: start-up then leaves imports out")
    parser.add_argument("--output", type=Path)
    words = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))  # by way of all `finally`
    plain = {"iterations": words.iterations, "ray_workers": 0, "warm": words.warm}
    through_ray = {"iterations": 2 * words.iterations, "ray_workers": 2, "warm": False}
    result: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.chaos.chaos", *sys.argv[1:]]),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": os.getloadavg()[0],
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "ray", "mlflow")},
    }
    with tempfile.TemporaryDirectory(prefix="femseg-chaos-") as folder:
        if words.kills:
            result["plain"] = part(Path(folder) / "plain", words.kills, ("process",), words.seed, plain)
        if words.ray:
            kinds = ("rank", "driver", "tree")
            result["ray"] = part(Path(folder) / "ray", words.ray, kinds, words.seed, through_ray)
        if words.nodes:
            result["nodes"] = part_on_two_nodes(Path(folder) / "nodes", words.nodes, words.seed, through_ray)
    parts = [result[name] for name in ("plain", "ray", "nodes") if name in result]
    for found in parts:
        print(json.dumps({key: value for key, value in found.items() if not key.startswith("each_")}))
    if words.output:
        words.output.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(any(found["lost_runs"] or found["differing_runs"] for found in parts))


if __name__ == "__main__":
    main()
