"""What `femseg plan` estimates for four cohorts, against what was then measured, piece by piece.

    taskset -c 0 python -m benchmarks.pipeline.plan_estimates --output benchmarks/results/plan_estimates.json

The cohorts are the demo's, a pelvis cohort of 3 mm, 512 × 512 × 1000 CTs of 0.7 mm, and CTs with a slice every 5 mm. A
whole `dvc repro` of the large ones takes days, so of each scale of each plan three pieces are measured that the time is
made of: a few training steps with a validation, windows of a segmentation, and the arrays of one scan as long as the
median one. The demo trains on its phantoms, the others on random arrays as large as the median scan: neither memory nor
time of a step depends on what they show. Each training is a process of its own, without Ray. Estimates of the first two
come from a probe of 20 steps, as `femseg plan` makes it. The clock tells what else the machine does, processor time
less so: both are kept, and the load.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pipeline.arrays_large_ct import write_ct
from femseg.cli.settings.plan import median_grid
from femseg.cli.settings.probe import CASES, STEPS, Asked, Probed, asked_of, probed, random_stores, trained
from femseg.cohorts.case import Case, HashedFile, Source
from femseg.cohorts.manifest import read_case_ct
from femseg.cohorts.places import find_places
from femseg.cohorts.store import ArrayKind, StoredArray, write_array, write_index
from femseg.files.durable import sha256_of_file, write_json_durably
from femseg.inference.segment import femur_probability
from femseg.installation.machine import this_machine
from femseg.networks.network import build_network
from femseg.networks.package_files import Windows
from femseg.phantom import PhantomSettings, phantom_study
from femseg.phantom.acquisition import draw_acquisition
from femseg.phantom.patient import draw_patient
from femseg.planning.estimates import ScaleCost, read_s, resampled_s
from femseg.planning.facts import CohortFacts, Stated
from femseg.planning.plan import make_plan
from femseg.planning.scale import ScalePlan
from femseg.settings import as_plain, checked
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.network_input import channel, mask_on_network_grid, network_grid, network_input

GOAL = {"memory": 0.25, "time": 0.5}
DEMO = PhantomSettings(patients=36, spacing_mm_zyx=(4.0, 1.8, 1.8))
_PHANTOMS = 2  # that are drawn
_WINDOWS = 8  # that are timed


def _cohort(name: str, grids: Sequence[VoxelGrid]) -> CohortFacts:
    return CohortFacts.of(grids, patients=len(grids), source=name)


def _scans(count: int, slices: int, more: int, spacing_mm_zyx: tuple[float, float, float]) -> list[VoxelGrid]:
    shapes = [(slices + more * number, 512, 512) for number in range(count)]
    return [VoxelGrid(shape_zyx=shape, spacing_mm_zyx=spacing_mm_zyx) for shape in shapes]


COHORTS = {
    "demo": _cohort("demo", [draw_acquisition(DEMO, n, draw_patient(DEMO.seed, n)).grid for n in range(DEMO.patients)]),
    "pelvis": _cohort("pelvis", _scans(24, 60, 1, (3.0, 0.78, 0.78))),
    "large": _cohort("large", _scans(6, 1000, -40, (0.7, 0.7, 0.7))),
    "thick": _cohort("thick", _scans(12, 80, 5, (5.0, 0.8, 0.8))),
}


def phantom_stores(folder: Path, asked: Asked) -> tuple[str, ...]:
    """Some of the demo's phantoms as the stages leave them."""
    recipe, entries = asked.arrays.recipe(asked.input_mode), dict[ArrayKind, dict[str, StoredArray]]()
    for number in range(_PHANTOMS):
        study = phantom_study(DEMO, number)
        grid = network_grid(study.ct.grid, recipe)
        values = channel(study.ct, recipe, "raw")
        femur = mask_on_network_grid(study.femur, recipe)
        places = find_places(femur, values.astype("f4") * 1400.0 - 200.0, grid.spacing_mm_zyx)
        for kind, array in (("raw", values), ("mask", femur), ("places", places)):
            stored = write_array(
                folder / kind, f"case-{number}", array, kind=kind, network_grid=grid, ct_grid=study.ct.grid
            )
            entries.setdefault(kind, {})[f"case-{number}"] = stored
    for kind, of_cases in entries.items():
        write_index(folder / kind, kind, asked.arrays.recipe(kind), of_cases)
    return tuple(entries["mask"])


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What a piece of work gives, and how long it took by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    given = work()
    return given, {"clock_s": time.perf_counter() - clock, "processor_s": time.process_time() - processor}


def trained_and_seen(asked: Asked, folder: Path, case_ids: Sequence[str]) -> dict[str, Any]:
    """A training of a few steps, and then what its network takes to see a window; in this process."""
    found, steps = timed(lambda: trained(asked, folder, case_ids))
    seen_zyx = asked.patches.shape_zyx if asked.patches else asked.scan_zyx
    windows = Windows(shape_zyx=seen_zyx, overlap=0.0, precision=asked.optimisation.precision)
    scan_czyx = np.random.default_rng(0).random((1, _WINDOWS * seen_zyx[0], *seen_zyx[1:]), np.float32)
    _, seen = timed(lambda: femur_probability(build_network(asked.network, 1), scan_czyx, windows=windows))
    return {
        "memory_bytes": found.process_bytes,
        "steps": steps,
        "window": {key: value / _WINDOWS for key, value in seen.items()},
    }


def trained_alone(asked: Asked, folder: Path, case_ids: Sequence[str]) -> dict[str, Any]:
    """The same in a process of its own, whose memory is of nothing else."""
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name, "--train", str(folder), *case_ids]
    environment = {**os.environ, "OMP_NUM_THREADS": str(asked.cores)}
    done = subprocess.run(
        command, input=json.dumps(as_plain(asked)), stdout=subprocess.PIPE, text=True, env=environment, check=True
    )
    return dict(json.loads(done.stdout))


def arrays_of_a_scan(scale: ScalePlan, grid: VoxelGrid, folder: Path) -> dict[str, float]:
    """Read a DICOM CT that lies in a folder, bring it onto the working grid and store it, as the stage does."""
    names = sorted(path.name for path in folder.glob("*.dcm"))
    files = tuple(HashedFile(path=name, sha256=sha256_of_file(folder / name)) for name in names)
    source = Source(kind="dicom", files=files)
    case, recipe = Case(case_id="a", patient_id="a", ct=source, mask=None, grid=grid), scale.arrays.recipe("raw")

    def made() -> None:
        array = network_input(read_case_ct(case, folder), recipe)[0]
        write_array(folder / "arrays", "a", array, kind="raw", network_grid=network_grid(grid, recipe), ct_grid=grid)

    return timed(made)[1]


def against(estimated: dict[str, float], measured: dict[str, float]) -> dict[str, Any]:
    """An estimate beside what was measured, by the clock and by the processor."""
    ratios = {key.replace("_s", "_ratio"): estimated[key] / measured[key] for key in estimated}
    return {"estimated": estimated, "measured": measured, **ratios}


def estimated_s(scale: ScalePlan, tried: Probed, working_zyx: tuple[int, int, int]) -> dict[str, ScaleCost]:
    """The cost of a scale by the probe's clock, and by the processor time of its steps."""
    cost = ScaleCost(
        batch_size=scale.optimisation.batch_size,
        step_s=tried.step_s,
        patches=scale.patches,
        working_zyx=working_zyx,
        modes=1,
        kinds=1,
    )
    validated_s = replace(cost, step_s=1.0).validation_s(len(CASES)) / STEPS  # is in the processor's steps, as steps
    return {"clock_s": cost, "processor_s": replace(cost, step_s=tried.processor_s / (1.0 + validated_s))}


def measured(name: str, steps: int) -> dict[str, Any]:
    """Plan, probe and measure both scales of a cohort."""
    cohort, machine = COHORTS[name], this_machine(Path())
    grid, found = median_grid(cohort), dict[str, Any]()
    with tempfile.TemporaryDirectory(prefix="femseg-plan-") as folder:
        write_ct(Path(folder), grid.shape_zyx[0], edge=grid.shape_zyx[2], spacing_mm_zyx=grid.spacing_mm_zyx)
        for scale_name, scale in make_plan(cohort, machine, Stated(phantoms=name == "demo")).scales.items():
            found[scale_name] = measured_scale(name, scale, grid, Path(folder), steps)
            pieces = found[scale_name]["time"].items()
            ratios = {piece: {k: round(v, 2) for k, v in one.items() if k.endswith("ratio")} for piece, one in pieces}
            print(f"{name} {scale_name}: memory {found[scale_name]['memory']['ratio']:.2f}, {ratios}", flush=True)
    return found


def measured_scale(name: str, scale: ScalePlan, grid: VoxelGrid, ct: Path, steps: int) -> dict[str, Any]:
    """Memory and the pieces of time of a scale, estimated and measured."""
    working = scale.working_zyx(grid)
    asked = asked_of(scale, scan_zyx=working, input_mode="raw", cores=this_machine(Path()).cores)
    load = os.getloadavg()[0]
    tried = probed(asked, name=name)
    with tempfile.TemporaryDirectory(prefix="femseg-plan-") as folder:
        whole = replace(asked, scan_zyx=working if scale.patches else asked.scan_zyx, steps=steps)
        case_ids: Sequence[str] = CASES
        if name == "demo":
            case_ids = phantom_stores(Path(folder), whole)
        else:
            random_stores(Path(folder), whole)
        real = trained_alone(whole, Path(folder), case_ids)
    costs = estimated_s(scale, tried, working)
    training = {key: steps * cost.step_s + cost.validation_s(len(CASES)) for key, cost in costs.items()}
    arrays = dict.fromkeys(costs, read_s([grid]) + resampled_s(working))
    return {
        "why": list(scale.why),
        "load_before_the_probe": load,
        "load_after": os.getloadavg()[0],
        "memory": {
            "estimated_bytes": scale.process_bytes,
            "probed_bytes": tried.process_bytes,
            "measured_bytes": real["memory_bytes"],
            "ratio": scale.process_bytes / real["memory_bytes"],
            "probed_ratio": tried.process_bytes / real["memory_bytes"],
        },
        "time": {
            f"{steps} steps and a validation": against(training, real["steps"]),
            "a window": against({key: cost.sample_s for key, cost in costs.items()}, real["window"]),
            "arrays of a scan": against(arrays, arrays_of_a_scan(scale, grid, ct)),
        },
    }


def furthest(ratios: Sequence[float]) -> float:
    """The estimate that is furthest off, against what was measured."""
    return max(ratios, key=lambda ratio: abs(ratio - 1.0))


def held_against(cohorts: dict[str, Any]) -> dict[str, Any]:
    """The result of all cohorts, with what is furthest off and whether the goals are met."""
    scales = [scale for of_cohort in cohorts.values() for scale in of_cohort.values()]
    pieces = [piece for scale in scales for piece in scale["time"].values()]
    off = {
        "memory": furthest([scale["memory"]["ratio"] for scale in scales]),
        "memory with a probe": furthest([scale["memory"]["probed_ratio"] for scale in scales]),
        "time by the clock": furthest([piece["clock_ratio"] for piece in pieces]),
        "time of the processor": furthest([piece["processor_ratio"] for piece in pieces]),
    }
    met = {name: abs(ratio - 1.0) <= GOAL[name.split()[0]] for name, ratio in off.items()}
    return {
        "command": "taskset -c 0 python -m benchmarks.pipeline.plan_estimates",
        "goal": GOAL,
        "machine": as_plain(this_machine(Path())),
        "cohorts": cohorts,
        "furthest": off,
        "met": met,
    }


def main() -> None:
    """Plan, measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--cohorts", nargs="*", choices=list(COHORTS), default=list(COHORTS))
    parser.add_argument("--output", type=Path)
    parser.add_argument("--train", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        asked = checked(Asked, json.load(sys.stdin), where="training", file="training")
        print(json.dumps(trained_and_seen(asked, Path(given.train[0]), given.train[1:])))
        return
    cohorts: dict[str, Any] = {}
    for name in given.cohorts:
        cohorts[name] = measured(name, given.steps)
        result = held_against(cohorts)
        print(f"{name}: {json.dumps(result['furthest'])} {json.dumps(result['met'])}", flush=True)
        if given.output:  # after each: all of them take twenty minutes
            write_json_durably(given.output, result)


if __name__ == "__main__":
    main()
