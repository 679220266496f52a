"""What the default `dvc repro` costs from nothing: time, peak memory, disk; what it costs to do nothing; and how much
processor time the commands take that people use on its model, beside what Python needs to import what they stand on.

    python -m benchmarks.pipeline.demo_repro --output benchmarks/results/demo_repro.json

Everything runs in a fresh clone in a temporary folder, with the environment that runs this script. Start-up and
overhead of Ray, MLflow and DVC are measured as what the same pipeline costs when no stage has anything much to do.
"""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NEXT_TO_NOTHING: dict[str, dict[str, Any]] = {
    "phantom": {"patients": 3, "spacing_mm_zyx": [8.0, 6.0, 6.0]},
    "arrays": {"shape_zyx": [16, 16, 16]},
    "split": {"validation": 1, "test": 1},
    "network": {"base_channels": 2, "strides": [[2, 2, 2]], "convolutions_down": [1, 1], "convolutions_up": [1]},
    "search": {"trials_per_mode": 1, "rungs": [1]},
    "train": {"max_iterations": 1},
    "compare": {"resamples": 100},
}


COMMANDS = {
    "import torch": ["python", "-c", "import torch"],
    "import mlflow": ["python", "-c", "from mlflow.tracking import MlflowClient"],
    "femseg --help": ["femseg", "--help"],
    "femseg doctor": ["femseg", "doctor"],
    "femseg segment, a folder's model": [
        "femseg",
        "segment",
        "{ct}",
        "-o",
        "{out}",
        "--overwrite",
        "--model",
        "models/gradient",
    ],
    "femseg segment, the registry's model": ["femseg", "segment", "{ct}", "-o", "{out}", "--overwrite"],
    "femseg promote --dry-run": ["femseg", "promote", "challenger", "--dry-run"],
}


class MemoryWatch(threading.Thread):
    """Samples the proportional set size of this process's children; keeps the peak."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes, self._over = 0, threading.Event()

    def run(self) -> None:
        while not self._over.wait(1.0):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            self.peak_bytes = max(self.peak_bytes, total)

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self.peak_bytes


def environment(clone: Path) -> dict[str, str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(clone / "platform"), "DVC_NO_ANALYTICS": "1"}


def repro(clone: Path) -> tuple[float, dict[str, float]]:
    """Run `dvc repro`; wall seconds in all and from each stage's start to the next one's."""
    started = time.monotonic()
    marks: list[tuple[str, float]] = []
    command = [str(BIN / "dvc"), "repro"]
    with subprocess.Popen(
        command, cwd=clone, env=environment(clone), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="")
            if found := re.match(r"Running stage '(.+)'", line):
                marks.append((found[1], time.monotonic()))
    if process.returncode:
        raise SystemExit(f"dvc repro ended with {process.returncode}")
    ended = time.monotonic()
    ends = [*(at for _, at in marks[1:]), ended]
    return ended - started, {name: end - at for (name, at), end in zip(marks, ends, strict=True)}


def fresh_clone(folder: Path, changes: dict[str, dict[str, Any]]) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    for section, values in changes.items():
        params[section] |= values
    if changes:
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


def seconds_of(clone: Path, *command: str) -> float:
    started = time.monotonic()
    subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=clone, env=environment(clone), check=True, capture_output=True
    )
    return time.monotonic() - started


def processor_seconds(clone: Path, command: list[str]) -> float:
    """Of a command and all that it starts."""
    ct = clone / "data/cohort/studies/phantom-000/ct"
    names = {"ct": str(ct), "out": str(clone / "mask.nii.gz")}
    program, *rest = (part.format(**names) for part in command)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(BIN / program), *rest], cwd=clone, env=environment(clone), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def disk_bytes(clone: Path) -> int:
    return sum(f.stat().st_blocks * 512 for f in clone.rglob("*") if f.is_file() and not f.is_symlink())


def measured(pairs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="femseg-demo-") as folder:
        clone = fresh_clone(Path(folder) / "demo", {})
        watch = MemoryWatch()
        watch.start()
        total, stages = repro(clone)
        peak = watch.stop()
        nothing = [(seconds_of(clone, "dvc", "repro"), seconds_of(clone, "dvc", "status")) for _ in range(pairs)]
        disk = disk_bytes(clone)
        commands = {
            name: statistics.median(processor_seconds(clone, command) for _ in range(3))
            for name, command in COMMANDS.items()
        }
        registration = json.loads((clone / "results/registration.json").read_text())
        summaries = {p.parent.name: json.loads(p.read_text()) for p in clone.glob("results/evaluate/*/metrics.json")}
        overhead, overhead_stages = repro(fresh_clone(Path(folder) / "nothing", NEXT_TO_NOTHING))
    return {
        "command": "python -m benchmarks.pipeline.demo_repro",
        "machine": {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "repro_seconds": total,
        "stage_seconds": stages,
        "overhead_seconds": overhead,
        "overhead_stage_seconds": overhead_stages,
        "peak_memory_gib": peak / 2**30,
        "disk_gb": disk / 1e9,
        "nothing_to_do": {
            "repro_seconds": statistics.median(r for r, _ in nothing),
            "status_seconds": statistics.median(s for _, s in nothing),
            "ratio": statistics.median(r / s for r, s in nothing),
        },
        "processor_seconds_of_commands": commands,
        "load_average": os.getloadavg()[1],
        "test_dice_network_grid": {mode: summary["network"]["dice"] for mode, summary in summaries.items()},
        "headlines": json.loads((clone / "reports/comparison.json").read_text())["headlines"],
        "registered": registration["reason"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--pairs", type=int, default=5, help="pairs of `dvc repro` and `dvc status` with nothing to do")
    arguments = parser.parse_args()
    result = measured(arguments.pairs)
    print(f"\n{'stage':<20}{'seconds':>9}{'of which start-up and overhead':>34}")
    for name, seconds in result["stage_seconds"].items():
        print(f"{name:<20}{seconds:>9.1f}{result['overhead_stage_seconds'].get(name, 0.0):>34.1f}")
    print(f"{'all':<20}{result['repro_seconds']:>9.1f}{result['overhead_seconds']:>34.1f}")
    print(f"peak memory {result['peak_memory_gib']:.2f} GiB, disk {result['disk_gb']:.2f} GB")
    idle = result["nothing_to_do"]
    print(f"nothing to do: {idle['repro_seconds']:.2f} s, {idle['ratio']:.2f} × dvc status")
    for name, seconds in result["processor_seconds_of_commands"].items():
        print(f"{name:<40}{seconds:>6.1f} s of processor time")
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
