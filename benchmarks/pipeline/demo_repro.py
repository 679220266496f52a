"""What the default `dvc repro` costs from nothing: time, peak memory, disk; what it costs to do nothing; and how much
processor time the commands take that people use on its model, beside what Python needs to import what they stand on.

    python -m benchmarks.pipeline.demo_repro --output benchmarks/results/demo_repro.json
    python -m benchmarks.pipeline.demo_repro --commands-of PROJECT --output benchmarks/results/demo_repro.json

The second measures the commands alone, in a demo that is there, and leaves the rest of the JSON as it is. Otherwise
everything runs in a fresh clone in a temporary folder, with the environment that runs this script. Start-up and
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
    "refine": {
        "arrays": {
            "spacing_mm_zyx": [8.0, 6.0, 6.0],
            "raw_scaling": {"kind": "window", "low": -200.0, "high": 1200.0},
            "gradient_scaling": {"kind": "window", "low": 0.0, "high": 300.0},
        },
        "patches": {"shape_zyx": [16, 16, 16]},
        "network": {"base_channels": 2, "strides": [[2, 2, 2]], "convolutions_down": [1, 1], "convolutions_up": [1]},
        "train": {"learning_rate": 5.0e-3, "max_iterations": 1, "workers": 2},
    },
    "compare": {"resamples": 100},
}


COMMANDS = {
    "import torch": ["python", "-c", "import torch"],
    "import mlflow": ["python", "-c", "from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore"],
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
    "femseg segment, the registry's model": [
        "femseg",
        "segment",
        "{ct}",
        "-o",
        "{out}",
        "--overwrite",
        "--model",
        "challenger",
    ],
    "femseg promote --dry-run": ["femseg", "promote", "challenger", "--dry-run"],
}
GOALS_S = {"femseg doctor": 3.0, "femseg segment, the registry's model": 3.0, "femseg promote --dry-run": 5.0}
NETWORK = """
import time
from pathlib import Path
from femseg.cohorts.manifest import read_case_ct
from femseg.gate.test_set import read_test_set
from femseg.inference.segment import segment
from femseg.networks.package import load_package
package, tests = load_package(Path("models/gradient")), read_test_set()
cts, spent = [read_case_ct(case, tests.root) for case in tests.cases], [time.process_time()]
for ct in cts:
    segment(package, ct, name="")
    spent.append(time.process_time())
print(len(cts), spent[1] - spent[0], spent[-1] - spent[0])
"""


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


def commands_of(project: Path) -> dict[str, Any]:
    """Processor seconds of each command, least of three, against the goals, and what a missed one is made of."""
    spent = {n: min(processor_seconds(project, command) for _ in range(3)) for n, command in COMMANDS.items()}
    words = [sys.executable, "-c", NETWORK]
    said = subprocess.run(words, cwd=project, env=environment(project), check=True, capture_output=True, text=True)
    cases, first, network = map(float, said.stdout.split())
    loading = "loading MLflow {:.1f} s, PyTorch {:.1f} s".format(*(spent[n] for n in ("import mlflow", "import torch")))
    beside = {"femseg segment, the registry's model": first}  # the goal is beside the network's own work
    reasons = {
        "femseg promote --dry-run": f"{loading}; the network on {cases:.0f} CTs {network:.1f} s: all are proven",
        "femseg segment, the registry's model": f"{loading}; the network on the CT, {first:.1f} s, does not count",
    }
    missed = {n: reasons.get(n, "") for n, goal in GOALS_S.items() if spent[n] - beside.get(n, 0.0) > goal}
    return {
        "processor_seconds": spent,
        "network_processor_seconds": {"cases": cases, "first": first, "all": network},
        "goals": GOALS_S,
        "missed": missed,
        "load_average": os.getloadavg()[1],
    }


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
        commands = commands_of(clone)
        headlines = json.loads((clone / "reports/comparison.json").read_text())["headlines"]
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
        "commands": commands,
        "test_dice_network_grid": {mode: summary["network"]["dice"] for mode, summary in summaries.items()},
        "headlines": headlines,
        "registered": registration["reason"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--pairs", type=int, default=5, help="pairs of `dvc repro` and `dvc status` with nothing to do")
    parser.add_argument("--commands-of", type=Path, metavar="PROJECT", help="measure the commands alone, in this demo")
    arguments = parser.parse_args()
    if arguments.commands_of:
        result = {**json.loads(arguments.output.read_text()), "commands": commands_of(arguments.commands_of)}
        print(json.dumps(result["commands"], indent=2))
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")
        return
    result = measured(arguments.pairs)
    print(f"\n{'stage':<20}{'seconds':>9}{'of which start-up and overhead':>34}")
    for name, seconds in result["stage_seconds"].items():
        print(f"{name:<20}{seconds:>9.1f}{result['overhead_stage_seconds'].get(name, 0.0):>34.1f}")
    print(f"{'all':<20}{result['repro_seconds']:>9.1f}{result['overhead_seconds']:>34.1f}")
    print(f"peak memory {result['peak_memory_gib']:.2f} GiB, disk {result['disk_gb']:.2f} GB")
    idle = result["nothing_to_do"]
    print(f"nothing to do: {idle['repro_seconds']:.2f} s, {idle['ratio']:.2f} × dvc status")
    for name, seconds in result["commands"]["processor_seconds"].items():
        print(f"{name:<40}{seconds:>6.1f} s of processor time")
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
