"""Many damaged files in worker processes: nobody hangs, dies or floods memory without being named by seed."""

import json
import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HANG_SECONDS = 30
_WORKER = Path(__file__).with_name("fuzz_worker.py")
_STARTUP_SECONDS = 120


def run_seeds(carrier: str, first: int, last: int) -> list[dict[str, Any]]:
    """One result for each seed. A seed that kills or hangs its worker gets one that says so; a new worker goes on."""
    results: list[dict[str, Any]] = []
    while first < last:
        done, fate = _one_worker(carrier, first, last)
        results += done
        first += len(done)
        if fate is not None:
            results.append({"seed": first, "outcome": fate, "what": "?", "seconds": HANG_SECONDS, "peak_mb": 0.0})
            first += 1
    return results


def run_carriers(seeds: dict[str, int], *, processes: int = 2, piece: int = 250) -> dict[str, list[dict[str, Any]]]:
    """So many seeds of each carrier, in pieces side by side."""
    pieces = [(name, k, min(k + piece, count)) for name, count in seeds.items() for k in range(0, count, piece)]
    with ThreadPoolExecutor(processes) as pool:
        done = list(pool.map(lambda job: run_seeds(*job), pieces))
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in seeds}
    for (name, _, _), found in zip(pieces, done, strict=True):
        results[name] += found
    return results


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


def _one_worker(carrier: str, first: int, last: int) -> tuple[list[dict[str, Any]], str | None]:
    command = [sys.executable, "-W", "ignore", str(_WORKER), carrier, str(first), str(last)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    lines: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=listen, daemon=True).start()
    done: list[dict[str, Any]] = []
    wait = float(_STARTUP_SECONDS)
    while True:
        try:
            line = lines.get(timeout=wait)
        except queue.Empty:
            process.kill()
            process.wait()
            return done, "hang"
        if line is None:
            code = process.wait()
            return done, None if first + len(done) == last else f"crash ({code})"
        found = json.loads(line)
        wait = HANG_SECONDS
        if "outcome" in found:
            done.append(found)
