"""What the verdict's bounds on grown bone rest on: true masks of synthetic people, with other bone on them and without.

    python -m benchmarks.pipeline.grown_bone --output benchmarks/results/grown_bone.json

No network and no CT: the truth of people whom no model learnt from, as drawn and thinned and thickened by a voxel, must
show no spur and no tibia; a piece of pelvis or tibia that is grown onto it should.
"""

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.files.durable import write_json_durably
from femseg.inference.femora import told_apart
from femseg.inference.shape import FemurShape, shapes_of
from femseg.inference.verdict import BELOW_KNEE, SPUR, STRAY
from femseg.synthetic.anatomy import scene
from femseg.synthetic.cohort import rough_hu
from femseg.synthetic.scene import TISSUE, Scene, Tissue
from femseg.synthetic.settings import SyntheticSettings
from femseg.volumes.grid import CtVolume, MaskVolume

PEOPLE = SyntheticSettings(seed=9001, metal=0.0)
EDGE_MM = 2.5
STUBS_ML = (1.0, 2.0, 4.0, 8.0, 15.0, 60.0)
TIBIA_MM = (15.0, 30.0, 45.0, 60.0)
_NEAR_MM = 8.0
_LEAST_ML = 20.0

Mask = NDArray[np.bool_]


def shape(femur_zyx: Mask, person: Scene) -> FemurShape | None:
    """Of the only femur of a mask; None where it holds none worth a shape."""
    if np.count_nonzero(femur_zyx) * person.grid.voxel_volume_mm3 < 1000.0 * _LEAST_ML:
        return None
    ct = CtVolume(hu_zyx=rough_hu(person.fields_czyx[TISSUE]), grid=person.grid)
    shapes = shapes_of(told_apart(MaskVolume(femur_zyx=femur_zyx, grid=person.grid)), ct)
    return max(shapes.values(), key=lambda one: one.volume_ml, default=None)


def stub(femur_zyx: Mask, person: Scene, rng: np.random.Generator) -> Mask | None:
    """A piece of the pelvis beside the femur, and what lies between the two."""
    pelvis = person.fields_czyx[TISSUE] == Tissue.PELVIS
    away_mm = ndimage.distance_transform_edt(~femur_zyx, sampling=EDGE_MM)
    places = np.argwhere(pelvis & (away_mm <= _NEAR_MM))
    if not len(places):
        return None
    from_place = (np.indices(femur_zyx.shape).T - places[rng.integers(len(places))]).T * EDGE_MM
    ball = np.linalg.norm(from_place, axis=0) < rng.uniform(8.0, 24.0)
    return np.asarray((ball & (pelvis | (away_mm <= _NEAR_MM))) & ~femur_zyx)


def tibia(femur_zyx: Mask, person: Scene, mm: float) -> Mask | None:
    """What of the tibia reaches so far below the femur, with the joint between; None where less is in the scan."""
    heights = np.flatnonzero(femur_zyx.any(axis=(1, 2)))
    lowest, steps = int(heights[0]), round(mm / EDGE_MM)
    own = person.fields_czyx[TISSUE] == Tissue.TIBIA
    numbers, _ = ndimage.label(own)
    near = numbers[ndimage.binary_dilation(femur_zyx, iterations=4) & own]
    if lowest < steps + 5 or not near.size:
        return None
    grown = numbers == np.argmax(np.bincount(near))
    grown[: lowest - steps] = False
    joint = ndimage.binary_dilation(femur_zyx, iterations=3) & ndimage.binary_dilation(grown, iterations=3)
    return np.asarray((grown | joint) & ~femur_zyx)


def rows(people: int) -> Iterator[dict[str, Any]]:
    """A row for each mask that was measured."""
    rng = np.random.default_rng(0)
    for index in range(people):
        person = scene(PEOPLE, index, (EDGE_MM,) * 3)
        for code in (1, 2):
            femur = person.femora_zyx == code
            masks = (femur, ndimage.binary_erosion(femur), ndimage.binary_dilation(femur))
            for found in (shape(mask, person) for mask in masks):
                if found is not None:
                    yield {"grown": "nothing", "spur_ml": found.spur_ml, "below_knee_mm": found.below_knee_mm}
            true = shape(femur, person)
            if true is None:
                continue
            if true.spur_ml is not None and (more := stub(femur, person, rng)) is not None:
                ml = np.count_nonzero(more) * person.grid.voxel_volume_mm3 / 1000.0
                seen = shape(femur | more, person)
                noticed = seen is not None and any([*SPUR.judged(seen.spur_ml or 0.0), *STRAY.judged(seen.stray_ml)])
                yield {"grown": "pelvis", "ml": ml, "noticed": noticed}
            if true.below_knee_mm is not None:
                for mm in TIBIA_MM:
                    if (more := tibia(femur, person, mm)) is not None and (seen := shape(femur | more, person)):
                        noticed = any(BELOW_KNEE.judged(seen.below_knee_mm or 0.0))
                        yield {"grown": "tibia", "mm": mm, "noticed": noticed}
        print(f"{index + 1} of {people}", flush=True)


def told(noticed: list[bool]) -> dict[str, Any]:
    return {"masks": len(noticed), "noticed_share": float(np.mean(noticed)) if noticed else None}


def result(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What the bounds' comments say."""
    true = [row for row in found if row["grown"] == "nothing"]
    heads = [row["spur_ml"] for row in true if row["spur_ml"] is not None]
    knees = [row["below_knee_mm"] for row in true if row["below_knee_mm"] is not None]
    stubs = [row for row in found if row["grown"] == "pelvis"]
    tibiae = [row for row in found if row["grown"] == "tibia"]
    return {
        "command": "python -m benchmarks.pipeline.grown_bone",
        "true_heads": {
            "masks": len(heads),
            "most_ml": max(heads),
            "over_the_bound": sum(any(SPUR.judged(ml)) for ml in heads),
        },
        "true_knees": {
            "masks": len(knees),
            "below_mm": [min(knees), max(knees)],
            "over_the_bound": sum(any(BELOW_KNEE.judged(mm)) for mm in knees),
        },
        "pelvis_on_the_head": {
            f"{low:g} to {high:g} ml": told([row["noticed"] for row in stubs if low <= row["ml"] < high])
            for low, high in pairwise(STUBS_ML)
        },
        "tibia_below_the_knee": {
            f"{mm:g} mm": told([row["noticed"] for row in tibiae if row["mm"] == mm]) for mm in TIBIA_MM
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=80)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    found = result(list(rows(given.people)))
    print(found)
    if given.output:
        write_json_durably(given.output, found)


if __name__ == "__main__":
    main()
