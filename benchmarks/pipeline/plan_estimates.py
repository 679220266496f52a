"""What `femseg plan` estimates for four cohorts, against trainings of a few hundred steps as planned.

    python -m benchmarks.pipeline.plan_estimates --output benchmarks/results/plan_estimates.json

The demo's arrays are of phantoms; those of a pelvis cohort of 3 mm, of 512 × 512 × 1000 CTs of 0.7 mm and of CTs with a
slice every 5 mm are random, as large as the median scan: neither memory nor time of a step depends on what they show.
Each training is a process of its own with all cores, without Ray. Seconds are the wall's, so both are told with the
load; processor seconds, of all threads, are less disturbed by it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from femseg.cli.plan import median_grid
from femseg.cli.probe import CASES, Asked, Probed, asked_of, probed, random_stores, trained
from femseg.cohorts.places import find_places
from femseg.cohorts.store import ArrayKind, StoredArray, write_array, write_index
from femseg.files.durable import write_json_durably
from femseg.installation.machine import this_machine
from femseg.phantom import PhantomSettings, phantom_study
from femseg.phantom.acquisition import draw_acquisition
from femseg.phantom.patient import draw_patient
from femseg.planning.facts import CohortFacts, Stated
from femseg.planning.plan import make_plan
from femseg.settings import as_plain, checked
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.network_input import channel, mask_on_network_grid, network_grid

GOAL = {"memory": 0.25, "time": 0.5}
DEMO = PhantomSettings(patients=36, spacing_mm_zyx=(4.0, 1.8, 1.8))
_PHANTOMS = 4  # that are drawn


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


def trained_alone(asked: Asked, folder: Path, case_ids: Sequence[str]) -> Probed:
    """Train in a process of its own, whose memory is of nothing else."""
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name, "--train", str(folder), *case_ids]
    environment = {**os.environ, "OMP_NUM_THREADS": str(asked.cores)}
    done = subprocess.run(
        command, input=json.dumps(as_plain(asked)), capture_output=True, text=True, env=environment, check=True
    )
    return checked(Probed, json.loads(done.stdout), where="training", file="training")


def measured(name: str, steps: int) -> dict[str, Any]:
    """Plan, probe and train both scales of a cohort."""
    cohort, machine = COHORTS[name], this_machine(Path())
    plan = make_plan(cohort, machine, Stated(phantoms=name == "demo"))
    found: dict[str, Any] = {}
    for scale_name, scale in plan.scales.items():
        working = scale.working_zyx(median_grid(cohort))
        asked = asked_of(scale, scan_zyx=working, input_mode="raw", cores=machine.cores)
        load = os.getloadavg()[0]
        tried = probed(asked, name=scale_name)
        with tempfile.TemporaryDirectory(prefix="femseg-plan-") as folder:
            whole = replace(asked, scan_zyx=working if scale.patches else asked.scan_zyx, steps=steps)
            case_ids: Sequence[str] = CASES
            if name == "demo":
                case_ids = phantom_stores(Path(folder), whole)
            else:
                random_stores(Path(folder), whole)
            real = trained_alone(whole, Path(folder), case_ids)
        found[scale_name] = {
            "seen_zyx": list(scale.seen_zyx),
            "batch_size": scale.optimisation.batch_size,
            "why": list(scale.why),
            "estimated_bytes": scale.process_bytes,
            "probe": as_plain(tried) | {"load": load},
            "training": as_plain(real) | {"steps": steps, "load": os.getloadavg()[0]},
            "estimated_memory_ratio": scale.process_bytes / real.process_bytes,
            "probed_memory_ratio": tried.process_bytes / real.process_bytes,
            "time_ratio": tried.step_s / real.step_s,
            "processor_time_ratio": tried.processor_s / real.processor_s,
        }
        ratios = {key: round(value, 2) for key, value in found[scale_name].items() if key.endswith("ratio")}
        print(f"{name} {scale_name}: {ratios}", flush=True)
    return found


def within(cohorts: dict[str, Any], key: str, goal: float) -> bool:
    """Whether every estimate is within a share of what was measured."""
    return all(abs(scale[key] - 1.0) <= goal for scales in cohorts.values() for scale in scales.values())


def main() -> None:
    """Plan, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--cohorts", nargs="*", choices=list(COHORTS), default=list(COHORTS))
    parser.add_argument("--output", type=Path)
    parser.add_argument("--train", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        asked = checked(Asked, json.load(sys.stdin), where="training", file="training")
        print(json.dumps(as_plain(trained(asked, Path(given.train[0]), given.train[1:]))))
        return
    cohorts: dict[str, Any] = {}
    for name in given.cohorts:
        cohorts[name] = measured(name, given.steps)
        result = {
            "goal": GOAL,
            "machine": as_plain(this_machine(Path())),
            "cohorts": cohorts,
            "met": {
                "memory without a probe": within(cohorts, "estimated_memory_ratio", GOAL["memory"]),
                "memory with a probe": within(cohorts, "probed_memory_ratio", GOAL["memory"]),
                "time": within(cohorts, "time_ratio", GOAL["time"]),
                "processor time": within(cohorts, "processor_time_ratio", GOAL["time"]),
            },
        }
        print(f"{name}: {json.dumps(result['met'])}", flush=True)
        if given.output:  # after each: all of them take an hour
            write_json_durably(given.output, result)


if __name__ == "__main__":
    main()
