"""What a lab gains by starting from the shipped model, and by a share of synthetic samples: five cases, a small budget.

    python -m benchmarks.shipped.start_from --output benchmarks/results/start_from.json

The lab's cohort is phantoms, which look otherwise than anything that the shipped model learnt from: five to train on,
two to validate with, others to test with. All arms have the same network, cases and steps; `train.learning_rate` is the
recipe's for drawn weights, and a third of it for learnt ones. Each is scored on the lab's test cases, and on synthetic
people of a seed of their own, painted: what the shipped model could do, is it still there?
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.shipped.short_runs import (
    Made,
    job,
    phantoms,
    recipe,
    section,
    stored_person,
    stored_phantom,
    trained,
    write_indices,
)
from femseg.cohorts.split import Split, write_split
from femseg.files.durable import write_json_durably
from femseg.inference.segment import segment
from femseg.metrics.overlap import dice_coefficient
from femseg.networks.package import ModelPackage, load_package
from femseg.networks.package_files import WEIGHTS
from femseg.paths import SHIPPED_MODEL
from femseg.synthetic.anatomy import scene
from femseg.synthetic.cohort import study_name
from femseg.synthetic.painting import painted
from femseg.synthetic.painting_settings import PaintingSettings
from femseg.synthetic.settings import FieldOfViewShares, SyntheticSettings
from femseg.training.settings import TrainSettings
from femseg.volumes.grid import CtVolume

COMMAND = "python -m benchmarks.shipped.start_from"
TRAINED_ON, VALIDATED_ON = 5, 2
OTHER_PEOPLE = SyntheticSettings(seed=4711, fields_of_view=FieldOfViewShares(abdomen=0.0, calves=0.0))
ARMS: dict[str, tuple[bool, float]] = {  # from the shipped model?, share
    "nothing": (False, 0.0),
    "shipped": (True, 0.0),
    "shipped with a share": (True, 0.25),
}

Test = list[tuple[CtVolume, Any]]  # CT and femur


def prepared(folder: Path, tests: int, people: int) -> Test:
    """Store the cohort and the people of the share; returns the lab's test cases."""
    count = TRAINED_ON + VALIDATED_ON + tests
    studies = phantoms(1405, count)
    names = [f"phantom-{index:03d}" for index in range(count)]
    kept = TRAINED_ON + VALIDATED_ON
    made: dict[str, Made] = {
        name: stored_phantom(folder, name, study, ("both",)) for name, study in zip(names[:kept], studies, strict=False)
    }
    spacing = recipe("mask").spacing_mm_zyx or (0.0, 0.0, 0.0)
    for index in range(people):
        one = scene(section(SyntheticSettings, "synthetic"), index, spacing)
        made[study_name(index)] = stored_person(folder, study_name(index), one)
    write_indices(folder, made)
    train, validation, test = (tuple(part) for part in (names[:TRAINED_ON], names[TRAINED_ON:kept], names[kept:]))
    write_split(Split(train=train, validation=validation, test=test), folder / "split.json")
    return [(study.ct, study.femur.femur_zyx) for study in studies[kept:]]


def painted_people(count: int) -> Test:
    """People whom nobody trains on, painted once."""
    spacing = recipe("mask").spacing_mm_zyx or (0.0, 0.0, 0.0)
    found = []
    for index in range(count):
        one = scene(OTHER_PEOPLE, index, spacing)
        hu_zyx = painted(one.fields_czyx, spacing, section(PaintingSettings, "painting"), np.random.default_rng(index))
        found.append((CtVolume(hu_zyx=hu_zyx, grid=one.grid), one.femora_zyx > 0))
    return found


def scored(package: ModelPackage, tests: Test) -> list[float]:
    """Dice of each case."""
    return [dice_coefficient(segment(package, ct).mask.femur_zyx, femur_zyx) for ct, femur_zyx in tests]


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean Dice of an arm's cases and seeds."""
    arms = dict.fromkeys(row["arm"] for row in rows)
    return {
        key: {arm: float(np.mean([row[key] for row in rows if row["arm"] == arm])) for arm in arms}
        for key in ("lab_dice", "painted_people_dice")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--tests", type=int, default=3, help="cases of either kind")
    parser.add_argument("--people", type=int, default=8, help="of the share")
    parser.add_argument("--folder", type=Path, default=Path("build/start-from"))
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    lab, others = prepared(given.folder, given.tests, given.people), painted_people(given.tests)
    rows: list[dict[str, Any]] = []

    def add(arm: str, seed: int | None, package: ModelPackage, seconds: float) -> None:
        row = {"arm": arm, "seed": seed, "training_seconds": round(seconds)}
        rows.append(row | {"lab_dice": scored(package, lab), "painted_people_dice": scored(package, others)})
        print(rows[-1], flush=True)
        if given.output:
            setting = {"steps": given.steps, "trained_on": TRAINED_ON, "people_of_the_share": given.people}
            write_json_durably(given.output, {"command": COMMAND, **setting, "means": means(rows), "arms": rows})

    add("shipped, not trained on", None, load_package(SHIPPED_MODEL), 0.0)
    for seed in given.seeds:
        for arm, (is_started, share) in ARMS.items():
            train = TrainSettings(
                learning_rate=1e-3 if is_started else 3e-3,
                max_iterations=given.steps,
                validate_every=max(1, given.steps // 3),
                checkpoint_every=100,
                seed=seed,
            )
            more: dict[str, Any] = {"start": SHIPPED_MODEL / WEIGHTS} if is_started else {}
            if share:
                painting = section(PaintingSettings, "painting")
                more |= {"fields": given.folder / "tissue", "painting": painting, "painted_share": share}
            started = time.perf_counter()
            runs, split = given.folder / "runs", given.folder / "split.json"
            package = trained(
                job(given.folder, given.folder / "both", "both", runs=runs, split=split, train=train, **more),
                "both",
                given.folder / f"{arm.replace(' ', '-')}-{seed}",
            )
            add(arm, seed, package, time.perf_counter() - started)
    print(means(rows))


if __name__ == "__main__":
    main()
