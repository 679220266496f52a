"""A training worker on 60 … 60 000 cases: its memory, and how long until its first step.

    python -m benchmarks.scaling.case_count --output benchmarks/results/case_count.json

Every case has its own entry in the index and its own files, which are hard links to a few tiny arrays. The validation
part stays at four cases: how much is validated is a setting, not a matter of the cohort's size. The least and the most
cases are trained on in patches, too, out of arrays of a working spacing.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

_SHAPE_ZYX, _WORKING_MM = (16, 16, 16), (1.0, 1.0, 1.0)
_SOURCES, _VALIDATION, _ITERATIONS = 32, 4, 30


def make_store(folder: Path, cases: int, *, in_patches: bool) -> None:
    """An input store, a mask store, a split of so many cases, and where patches are drawn."""
    from femseg.cohorts.places import find_places
    from femseg.cohorts.settings import ArraySettings
    from femseg.cohorts.split import Split, write_split
    from femseg.cohorts.store import ArrayKind, write_array, write_index
    from femseg.volumes.grid import VoxelGrid
    from femseg.volumes.intensity import Scaling

    settings = ArraySettings(shape_zyx=_SHAPE_ZYX)
    if in_patches:
        window = Scaling(kind="window", low=-200.0, high=1200.0)
        settings = ArraySettings(shape_zyx=None, spacing_mm_zyx=_WORKING_MM, raw_scaling=window)
    rng = np.random.default_rng(0)
    mask = np.zeros(_SHAPE_ZYX, bool)
    mask[4:12, 5:11, 5:11] = True
    raw = (0.5 * mask + rng.uniform(0, 0.5, _SHAPE_ZYX)).astype(settings.recipe("raw").dtype)
    arrays: dict[ArrayKind, Any] = {"raw": raw, "mask": mask}
    if in_patches:
        arrays["places"] = find_places(mask, 1400.0 * raw.astype(np.float32) - 200.0, _WORKING_MM)
    ids = [f"case-{number:06d}" for number in range(cases)]
    for kind, array in arrays.items():
        entries = {}
        for number, case_id in enumerate(ids):
            z, y, x = _WORKING_MM if in_patches else (4.0, 1.8, 1.8)
            spacing = (z + number / cases, y + number / cases, x)
            grid = VoxelGrid(shape_zyx=_SHAPE_ZYX, spacing_mm_zyx=spacing, origin_mm_xyz=(number / 7, -180.3, 12.7))
            if number < _SOURCES:
                source = write_array(folder / kind, case_id, array, kind=kind, network_grid=grid, ct_grid=grid)
            else:
                os.link(folder / kind / f"{ids[number % _SOURCES]}.npy", folder / kind / f"{case_id}.npy")
            entries[case_id] = replace(source, network_grid=grid, ct_grid=grid)
        write_index(folder / kind, kind, settings.recipe(kind), entries)
    split = Split(train=tuple(ids[: -_VALIDATION - 1]), validation=tuple(ids[-_VALIDATION - 1 : -1]), test=(ids[-1],))
    write_split(split, folder / "split.json")


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def work(folder: Path) -> dict[str, Any]:
    """What a worker process does from its first line to its last step, on the clock; prints nothing else."""
    import torch

    from femseg.networks.vnet import VNetSettings
    from femseg.services.fit.job import fit_job, training_job
    from femseg.training.context import TrainerContext
    from femseg.training.settings import OptimisationSettings, TrainSettings
    from femseg.training.stored_cases import PatchSettings

    in_patches = (folder / "places").is_dir()
    torch.set_num_threads(1)
    imported_mib, started, cpu = _resident_mib(), time.perf_counter(), time.process_time()
    job = training_job(
        inputs=folder / "raw",
        masks=folder / "mask",
        split=folder / "split.json",
        runs=folder / "runs",
        name="count",
        network=VNetSettings(base_channels=4, strides=((2, 2, 2),), convolutions_down=(1, 1), convolutions_up=(1,)),
        optimisation=OptimisationSettings(batch_size=2),
        train=TrainSettings(max_iterations=_ITERATIONS, validate_every=_ITERATIONS, checkpoint_every=_ITERATIONS),
        patches=PatchSettings(shape_zyx=(8, 8, 8)) if in_patches else None,
        places=folder / "places" if in_patches else None,
    )
    described, described_cpu = time.perf_counter(), time.process_time()
    steps: list[tuple[float, float]] = []

    def stepped(done: int, note: str) -> None:
        steps.append((time.perf_counter(), time.process_time()))

    fit_job(job, TrainerContext(progress=stepped, say=lambda line: None))
    return {
        "mib_after_imports": imported_mib,
        "mib_after_training": _resident_mib(),
        "mib_at_most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "driver_seconds_to_describe_the_job": described - started,
        "driver_processor_seconds_to_describe_the_job": described_cpu - cpu,
        "worker_seconds_to_the_first_step": steps[0][0] - described,
        "worker_processor_seconds_to_the_first_step": steps[0][1] - described_cpu,
        "median_seconds_between_steps": float(np.median(np.diff([clock for clock, _ in steps[:-1]]))),
    }


def measured(cases: int, repeats: int, *, in_patches: bool = False) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="femseg-cases-") as folder:
        make_store(Path(folder), cases, in_patches=in_patches)
        index_bytes = (Path(folder) / "raw" / "index.json").stat().st_size
        rows = []
        for _ in range(repeats):
            subprocess.run(["rm", "-rf", f"{folder}/runs"], check=True)
            command = [sys.executable, "-m", __spec__.name, "--worker", folder]
            finished = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(finished.stdout.splitlines()[-1]))
    return {
        "cases": cases,
        "index_bytes_per_case": index_bytes / cases,
        **{name: float(np.median([row[name] for row in rows])) for name in rows[0]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, nargs="+", default=[60, 600, 6_000, 60_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(work(arguments.worker)))
        return
    rows, given = [], arguments.cases
    for cases in given:
        rows.append(measured(cases, arguments.repeats))
        print(json.dumps(rows[-1]), flush=True)
    patches = [measured(cases, arguments.repeats, in_patches=True) for cases in sorted({min(given), max(given)})]
    result = {
        "command": "python -m benchmarks.scaling.case_count",
        "shape_zyx": _SHAPE_ZYX,
        "repeats": arguments.repeats,
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "rows": rows,
        "rows_in_patches": patches,
    }
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
