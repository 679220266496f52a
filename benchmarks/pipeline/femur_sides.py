"""How often the side of a femur is told, and how often wrongly: phantoms, and label maps of real bones.

    FEMSEG_REAL_DATA=… python -m benchmarks.pipeline.femur_sides --output benchmarks/results/femur_sides.json

Masks alone, without a network: what is measured is the rule. Phantoms of one leg and of both, of all fields of view; of
real femora the whole bone, 60 mm of its upper end, 130 mm of its lower end and its shaft; each of two hips by itself.
Nothing of the real bones is stored in this repository. No threshold was fitted to them; but the wrong side of one is
why the rule asks for a neck that points sideways (decision 28).
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from femseg.cohorts.femur_side import Side
from femseg.files.durable import write_json_durably
from femseg.inference.femora import STRUCTURES, told_apart
from femseg.phantom import PhantomSettings, phantom_study
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid

Mask = NDArray[np.bool_]
Example = tuple[str, MaskVolume, CtVolume | None, NDArray[np.uint8]]  # kind, what is shown, and the true labels
SIDES: dict[str, Side] = {"L": "left", "R": "right"}
_TO_THE_RIGHT = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)  # how the axes of `real_shapes` run


def labelled(femur_zyx: Mask, side: Side) -> NDArray[np.uint8]:
    return femur_zyx.astype(np.uint8) * np.uint8(STRUCTURES[side].value)


def phantoms(patients: int) -> Iterator[Example]:
    for slice_mm in (2.5, 5.0):
        for legs in ("one", "both"):
            settings = PhantomSettings(
                patients=patients, legs=legs, scans="varied", spacing_mm_zyx=(slice_mm, 1.5, 1.5), seed=7
            )
            for index in range(patients):
                study = phantom_study(settings, index)
                femur_zyx, grid = study.femur.femur_zyx, study.femur.grid
                x_mm = grid.origin_mm_xyz[0] + grid.spacing_mm_zyx[2] * np.arange(grid.shape_zyx[2])
                on_left = x_mm > 0 if legs == "both" else np.full(len(x_mm), study.patient.side == "left")
                truth = np.where(on_left, labelled(femur_zyx, "left"), labelled(femur_zyx, "right"))
                yield f"phantom, {legs}, {('leg', 'hip', 'knee')[index % 3]}", study.femur, study.ct, truth


def real_femora(folder: Path) -> Iterator[Example]:
    for file in sorted((folder / "real_shapes").glob("*.nii.gz")):
        image = sitk.ReadImage(str(file))
        femur_zyx = sitk.GetArrayFromImage(image) == 1
        grid = replace(VoxelGrid.of_image(image), direction_xyz=_TO_THE_RIGHT)
        low, high = np.flatnonzero(femur_zyx.any(axis=(1, 2)))[[0, -1]]  # slices of 1 mm
        z = np.arange(len(femur_zyx))[:, None, None]
        shown = {"whole": z >= 0, "hip": z > high - 60, "knee": z < low + 130}
        shown["shaft"] = (z > low + 120) & (z < high - 110)
        for kind, part in shown.items():
            own = femur_zyx & part
            truth = labelled(own, SIDES[file.name.split("_")[1][0]])
            yield f"real, one, {kind}", MaskVolume(femur_zyx=own, grid=grid), None, truth


def real_hips(folder: Path) -> Iterator[Example]:
    for file in sorted((folder / "hip_labels").glob("*.nii.gz")):
        image = sitk.ReadImage(str(file))
        values, grid = sitk.GetArrayFromImage(image), VoxelGrid.of_image(image)
        first, second = values == 1, values == 2
        apart = grid.positions_mm_xyz(np.array([np.argwhere(one).mean(axis=0) for one in (first, second)]))
        left, right = (first, second) if apart[0, 0] > apart[1, 0] else (second, first)
        truth = labelled(left, "left") + labelled(right, "right")
        for kind, own in (("both", left | right), ("one", left), ("one", right)):
            yield f"real, {kind}, hip of a pelvis", MaskVolume(femur_zyx=own, grid=grid), None, truth * own


def outcome(mask: MaskVolume, ct: CtVolume | None, truth: NDArray[np.uint8]) -> str:
    found = told_apart(mask, ct).labels.labels_zyx
    unknown = found == STRUCTURES["unknown"].value
    return "wrong" if np.any((found != truth) & ~unknown) else "unknown" if unknown.any() else "told"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    folder = Path(os.environ.get("FEMSEG_REAL_DATA", "../shared/data"))
    counts: dict[str, Counter[str]] = {}
    for examples in (phantoms(arguments.patients), real_femora(folder), real_hips(folder)):
        for kind, mask, ct, truth in examples:
            counts.setdefault(kind, Counter())[outcome(mask, ct, truth)] += 1
    masks = {kind: {word: count[word] for word in ("told", "unknown", "wrong")} for kind, count in counts.items()}
    total = {word: sum(count[word] for count in masks.values()) for word in ("told", "unknown", "wrong")}
    result = {"command": "python -m benchmarks.pipeline.femur_sides", "masks": masks, "total": total}
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
