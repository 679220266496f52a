"""Many damaged files in worker processes: nobody hangs, dies or floods memory without being named by seed."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fuzz.carriers import CARRIERS

Job = tuple[str, int, int]

HANG_SECONDS = 30
_SUPPORT = Path(__file__).parents[1]
_STARTUP_SECONDS = 120


def run_jobs(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """One result for each seed of each job (carrier, first seed, the one after the last), one after the other.

    A seed that kills or hangs its worker gets a result that says so; a new worker goes on.
    """
    seeds = [(name, seed) for name, first, last in jobs for seed in range(first, last)]
    results: list[dict[str, Any]] = []
    while len(results) < len(seeds):
        waiting = [(name, seed, seed + 1) for name, seed in seeds[len(results) :]]
        done, fate = _one_worker(_joined(waiting))
        results += done
        if fate is not None:
            seed = seeds[len(results)][1]
            results.append({"seed": seed, "outcome": fate, "what": "?", "seconds": HANG_SECONDS, "peak_mb": 0.0})
    return [{"carrier": name, **result} for (name, _), result in zip(seeds, results, strict=True)]


def _joined(jobs: Sequence[Job]) -> list[Job]:
    """Neighbouring seeds of one carrier as one job: it is set up once."""
    joined: list[Job] = []
    for name, first, last in jobs:
        if joined and joined[-1][0] == name and joined[-1][2] == first:
            joined[-1] = (name, joined[-1][1], last)
        else:
            joined.append((name, first, last))
    return joined


def run_carriers(seeds: int, *, processes: int = 2, piece: int = 250) -> list[dict[str, Any]]:
    """So many seeds of every carrier, in pieces side by side."""
    jobs = [(c.name, k, min(k + piece, seeds)) for c in CARRIERS for k in range(0, seeds, piece)]
    share = [jobs[k :: processes * 4] for k in range(processes * 4)] if seeds > piece else [jobs[::2], jobs[1::2]]
    with ThreadPoolExecutor(processes) as pool:
        return [result for results in pool.map(run_jobs, share) for result in results]


def faulty(result: dict[str, Any], *, seconds: float, megabytes: float) -> list[str]:
    """What a result breaks: nothing, where the file was taken or refused in good order and within bounds."""
    broken = []
    if result["outcome"] not in ("accepted", "refused"):
        broken.append(result["outcome"])
    if result["seconds"] > seconds:
        broken.append(f"{result['seconds']:.1f} s")
    if result["peak_mb"] > megabytes:
        broken.append(f"{result['peak_mb']:.0f} MB")
    if result.get("noise"):
        broken.append("printed by itself")
    if result.get("odd_lines"):
        broken.append("a line that breaks a terminal")
    if result.get("longest_line", 0) > 1500:
        broken.append("a line nobody reads")
    return broken


def _one_worker(jobs: list[Job]) -> tuple[list[dict[str, Any]], str | None]:
    command = [sys.executable, "-W", "ignore", "-m", "fuzz.worker", json.dumps(jobs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    process = subprocess.Popen(command, cwd=_SUPPORT, stdout=subprocess.PIPE, text=True, env=environment)
    lines: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        process.stdout.close()
        lines.put(None)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    done: list[dict[str, Any]] = []
    wait = float(_STARTUP_SECONDS)
    while True:
        try:
            line = lines.get(timeout=wait)
        except queue.Empty:
            process.kill()
            process.wait()
            listener.join()
            return done, "hang"
        if line is None:
            code = process.wait()
            return done, None if code == 0 else f"crash ({code})"
        found = json.loads(line)
        wait = HANG_SECONDS
        if "outcome" in found:
            done.append(found)
