"""What each ingredient of the shipped model gives: short trainings of one budget, scored on what nobody trained on.

    FEMSEG_REAL_DATA=… python -m benchmarks.shipped.ablations --build build/shipped --minutes 40 \
        --arms raw gradient both --seeds 0 1 --output benchmarks/results/shipped_ablations.json

Arms are trained by `params.shipped.yaml` on the people that `make shipped` has stored, of which nothing is changed:

- `raw`, `gradient`, `both`: the network's input. The other arms are `both` but for one thing.
- `phantoms`: phantoms as they are drawn, instead of people painted over real bone shapes.
- `whole-legs`: only people whose femora are shown whole.
- `one-scanner`: resolution and noise are always the same.
- `no-neighbours`: the femora are the only bones that are painted.

The result is written after each arm, and an arm that it holds is not trained again, so that the arms can be run on
different days, or beside each other on two cores; a training that was stopped goes on. `--table OUTPUT` prints the
result as a page states it.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.pipeline.real_pelvis import SIDES
from benchmarks.shipped.evidence import painted_shapes, pelvis
from benchmarks.shipped.short_runs import (
    SECONDS_A_STEP,
    job,
    one_channel,
    phantoms,
    section,
    stored_phantom,
    trained,
    write_indices,
)
from femseg.cohorts.manifest import Manifest, read_manifest
from femseg.cohorts.split import Split, read_split, write_split
from femseg.files.durable import read_json, sha256_of_file, write_json_durably
from femseg.paths import ARRAYS, MANIFEST, SPLIT
from femseg.synthetic.painting_settings import PaintingSettings
from femseg.training.settings import TrainSettings
from femseg.volumes.network_input import InputMode

PHANTOMS, PHANTOM_SEED = (48, 6), 1406  # to train on, to validate with
INTACT, NAILED = SIDES  # of the real CT
WHOLE_FEMUR_ML = 150.0  # that a scan shows at least, with no end cut off, for a femur to be whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What one arm has of its own.

    Attributes:
        words: in the table.
        painted: how its people look, of how the recipe paints them.
    """

    words: str
    mode: InputMode = "both"
    painted: Callable[[PaintingSettings], PaintingSettings] = lambda painting: painting
    phantoms: bool = False
    whole_legs: bool = False


def one_scanner(painting: PaintingSettings) -> PaintingSettings:
    """The middle of what is drawn otherwise."""
    fixed = {"blur_mm": (0.7, 0.7), "slice_mm": (1.5, 1.5), "noise_hu": (20.0, 20.0), "noise_mm": (0.7, 0.7)}
    return replace(painting, scanner=replace(painting.scanner, overshoot=(0.1, 0.1), **fixed))


def no_neighbours(painting: PaintingSettings) -> PaintingSettings:
    """Femora alone."""
    return replace(painting, bones=replace(painting.bones, others_absent=1.0))


ARMS = {
    "raw": Arm(words="CT", mode="raw"),
    "gradient": Arm(words="gradient", mode="gradient"),
    "both": Arm(words="CT and gradient"),
    "phantoms": Arm(words="phantoms, not painted", phantoms=True),
    "whole-legs": Arm(words="whole femora alone", whole_legs=True),
    "one-scanner": Arm(words="one resolution, one noise", painted=one_scanner),
    "no-neighbours": Arm(words="no other bones", painted=no_neighbours),
}


def own_split(arm: Arm, build: Path, folder: Path) -> Path:
    """The split of an arm: the build's, or of it those to train on whose femora are whole."""
    if not arm.whole_legs:
        return build / SPLIT
    split = read_split(build / SPLIT)
    whole = whole_femora(read_manifest(build / MANIFEST))
    write_split(replace(split, train=tuple(name for name in split.train if name in whole)), folder / "whole.json")
    return folder / "whole.json"


def whole_femora(manifest: Manifest) -> set[str]:
    """Cases that show no end of a bone cut off, and as much femur as a whole one has."""
    return {
        case.case_id
        for case in manifest.cases
        if not case.facts.cut_off and (case.facts.femur_ml or 0.0) > WHOLE_FEMUR_ML
    }


def stored_phantoms(folder: Path, counts: tuple[int, int]) -> Path:
    """Arrays and split of the phantoms, made once; returns their folder."""
    if not (folder / "split.json").is_file():
        names = [f"phantom-{index:03d}" for index in range(sum(counts))]
        made = {
            name: stored_phantom(folder, name, study, ("both",))
            for name, study in zip(names, phantoms(PHANTOM_SEED, len(names)), strict=True)
        }
        write_indices(folder, made)
        train, validation = tuple(names[: counts[0]]), tuple(names[counts[0] :])
        write_split(Split(train=train, validation=validation, test=("none",)), folder / "split.json")
    return folder


def run(arm: Arm, name: str, seed: int, steps: int, build: Path, folder: Path) -> dict[str, Any]:
    """Train an arm and score it."""
    train = TrainSettings(
        learning_rate=section(TrainSettings, "train").learning_rate,
        max_iterations=steps,
        validate_every=max(100, steps // 4),
        checkpoint_every=250,
        seed=seed,
    )
    if arm.phantoms:
        arrays = stored_phantoms(folder / "phantoms", PHANTOMS)
        split, more = arrays / "split.json", {}
    else:
        arrays, split = build / ARRAYS, own_split(arm, build, folder)
        painting = arm.painted(section(PaintingSettings, "painting"))
        more = {"fields": arrays / "tissue", "painting": painting}
    inputs = arrays / "both" if arm.mode == "both" else one_channel(arrays / "both", arm.mode, folder / "arrays")
    started = time.perf_counter()
    planned = job(arrays, inputs, arm.mode, runs=folder / "runs" / name, split=split, train=train, **more)
    package = trained(planned, arm.mode, folder / f"{name}-{seed}-{steps}")
    real, hips = pelvis(package, None), painted_shapes(package, hips_alone=True)
    return {
        "trained_on": len(read_split(split).train),
        "validation_dice": package.model.metrics.validation_dice,
        "pelvis": real,
        "hips_mean_dice": float(np.mean([row["dice"] for row in hips])),
        "hips_least_dice": min(row["dice"] for row in hips),
        "hips": hips,
        "seconds": round(time.perf_counter() - started),
    }


def means(arms: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By arm: of each figure the mean over seeds, and half of what the seeds lie apart."""
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(one["arm"] for one in arms):
        same = [one for one in arms if one["arm"] == name]
        figures = {
            "intact": [one["pelvis"]["dice"][INTACT] for one in same],
            "nailed": [one["pelvis"]["dice"][NAILED] for one in same],
            "elsewhere_ml": [one["pelvis"]["elsewhere_ml"] for one in same],
            "hips": [one["hips_mean_dice"] for one in same],
            "least_hip": [one["hips_least_dice"] for one in same],
        }
        found[name] = {key: float(np.mean(values)) for key, values in figures.items()} | {"seeds": len(same)}
        found[name] |= {f"{key}_spread": (max(values) - min(values)) / 2 for key, values in figures.items()}
    return found


def order(one: dict[str, Any]) -> tuple[int, int]:
    """As the page lists arms, whenever they were run."""
    return list(ARMS).index(one["arm"]), one["seed"]


def so_far(output: Path, fresh: dict[str, Any]) -> dict[str, Any]:
    """What the result holds by now: other arms may be run beside this one."""
    return read_json(output) if output.is_file() else fresh


def table(result: dict[str, Any]) -> str:
    """The arms as Markdown."""
    lines = ["| trained with | real CT, intact | nailed | elsewhere | painted hips |", f"|{'---|' * 5}"]
    for name in (name for name in ARMS if name in result["means"]):
        mean = result["means"][name]
        cells = [
            f"{mean[key]:.3f}" + (f" ± {mean[f'{key}_spread']:.3f}" if mean["seeds"] > 1 else "")
            for key in ("intact", "nailed", "hips")
        ]
        cells.insert(2, f"{mean['elsewhere_ml']:.1f} ml")
        lines.append(f"| {ARMS[name].words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=float, default=40.0, help=f"of training, at {SECONDS_A_STEP} s a step")
    parser.add_argument(
        "--build", type=Path, default=Path("build/shipped"), help="where `make shipped` built; only read"
    )
    parser.add_argument("--folder", type=Path, default=Path("build/ablations"), help="for trainings and packages")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/shipped_ablations.json"))
    parser.add_argument("--table", type=Path, help="print this result, train nothing")
    given = parser.parse_args()
    if given.table:
        print(table(read_json(given.table)))
        return
    torch.set_num_threads(1)
    steps = max(1, round(given.minutes * 60 / SECONDS_A_STEP))
    people = sha256_of_file(given.build / MANIFEST)
    fresh = {"command": f"python -m benchmarks.shipped.ablations --minutes {given.minutes:g}"}
    fresh |= {"steps": steps, "people_sha256": people, "arms": [], "means": {}}
    result = so_far(given.output, fresh)
    if (result["steps"], result["people_sha256"]) != (steps, people):
        parser.error(f"{given.output} holds arms of {result['steps']} steps or of other people; give another --output")
    for seed in given.seeds:
        for name in given.arms:
            if any((one["arm"], one["seed"]) == (name, seed) for one in so_far(given.output, fresh)["arms"]):
                continue
            print(f"{name}, seed {seed}: {steps} steps", flush=True)
            scored = run(ARMS[name], name, seed, steps, given.build, given.folder)
            result = so_far(given.output, fresh)
            arms = sorted([*result["arms"], {"arm": name, "seed": seed, **scored}], key=order)
            result |= {"arms": arms, "means": means(arms)}
            write_json_durably(given.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
