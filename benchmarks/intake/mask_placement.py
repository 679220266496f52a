"""How well intake sees that a mask lies in the wrong place: false alarms, what is noticed, what it costs (IN-21).

    FEMSEG_REAL_DATA=… python -m benchmarks.intake.mask_placement

False alarms are looked for on masks that lie right: the demo's 24 phantoms with one leg and with both, 12 with a nail,
and, where the real pelvis is there, its four labels (two models, both sides). Some of them are then moved by 1 to 10 mm
and mirrored.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.femur_side import box_of
from femseg.files.durable import write_json_durably
from femseg.intake.mask_checks import density_faults
from femseg.intake.placement import better_place, placement_findings
from femseg.intake.single_ct import inspect_study
from femseg.phantom import PhantomSettings, phantom_study
from femseg.volumes.grid import CtVolume, VoxelGrid

DEMO = {"seed": 20240, "field_of_view_mm": 200.0, "spacing_mm_zyx": (4.0, 1.8, 1.8), "noise_hu": 18.0}
SHIFTS_MM = (1, 2, 3, 4, 5, 6, 8, 10)
AXES = ("along the body", "front to back", "left to right")
Mask = NDArray[np.bool_]


def verdict(ct: CtVolume, mask_zyx: Mask) -> str:
    """ "refused", "remarked" or "unnoticed"."""
    box = box_of(mask_zyx)
    if box is None or density_faults(ct.hu_zyx, mask_zyx, ct.grid, "mask"):
        return "refused"
    faults, remarks = placement_findings(better_place(ct.hu_zyx, mask_zyx, ct.grid, box), "mask")
    return "refused" if faults else "remarked" if remarks else "unnoticed"


def phantoms(count: int, every: int = 1, **settings: object) -> Iterator[tuple[CtVolume, Mask]]:
    for index in range(0, count, every):
        study = phantom_study(PhantomSettings(patients=24, **{**DEMO, **settings}), index)  # type: ignore[arg-type]
        yield study.ct, study.femur.femur_zyx


def pelvis(folder: Path, *names: str) -> Iterator[tuple[CtVolume, Mask]]:
    _, ct = inspect_study(folder / "ct.nii.gz", id_key=b"-" * 32)
    for name in names:
        path = folder / "labels" / f"example_seg_{name}.nii.gz"
        yield ct, inspect_study(path, id_key=b"-" * 32, accept_hu=True)[1].hu_zyx > 0


def moved(mask_zyx: Mask, axis: int, voxels: float) -> Mask:
    """A mask moved along one axis by any part of a voxel, interpolated and cut at one half; nothing comes round."""
    low = int(np.floor(voxels))
    share = voxels - low
    return np.asarray((1 - share) * _rolled(mask_zyx, axis, low) + share * _rolled(mask_zyx, axis, low + 1) >= 0.5)


def _rolled(mask_zyx: Mask, axis: int, by: int) -> Mask:
    rolled = np.roll(mask_zyx, by, axis)
    gone = slice(None, by) if by >= 0 else slice(by, None)
    if by:
        rolled[(slice(None),) * axis + (gone,)] = False
    return rolled


def detection(cases: list[tuple[CtVolume, Mask]]) -> dict[str, dict[str, dict[str, int]]]:
    """By axis and millimetres, and by way of mirroring: how many masks were refused, remarked, unnoticed."""
    found: dict[str, dict[str, Counter[str]]] = {"shift": {}, "mirror": {}}
    for ct, mask in cases:
        for axis, name in enumerate(AXES):
            for k, mm in enumerate(SHIFTS_MM):
                sign = 1 if (k + axis) % 2 else -1
                outcome = verdict(ct, moved(mask, axis, sign * mm / ct.grid.spacing_mm_zyx[axis]))
                found["shift"].setdefault(f"{name}, {mm} mm", Counter())[outcome] += 1
        for count in (1, 2, 3):
            for axes in combinations(range(3), count):
                outcome = verdict(ct, np.ascontiguousarray(np.flip(mask, axes)))
                words = ", ".join(AXES[axis] for axis in axes)
                found["mirror"].setdefault(words, Counter())[outcome] += 1
    return {kind: {name: dict(counts) for name, counts in rows.items()} for kind, rows in found.items()}


def cost_seconds() -> float:
    """Processor time of the comparison alone, on a CT of about 400 slices of 512 × 512 pixels."""
    ct, mask = next(phantoms(1))
    factors = [400 // mask.shape[0], 512 // mask.shape[1], 512 // mask.shape[2]]
    hu, large = ct.hu_zyx, mask
    for axis, factor in enumerate(factors):
        hu, large = np.repeat(hu, factor, axis), np.repeat(large, factor, axis)
    spacing = [s / f for s, f in zip(ct.grid.spacing_mm_zyx, factors, strict=True)]
    grid = VoxelGrid(shape_zyx=large.shape, spacing_mm_zyx=tuple(spacing))  # type: ignore[arg-type]
    box = box_of(large)
    assert box is not None
    start = time.process_time()
    better_place(hu, large, grid, box)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/mask_placement.json"))
    output = parser.parse_args().output
    real = Path(os.environ.get("FEMSEG_REAL_DATA", "../shared/data")) / "pelvis_ct"
    right: dict[str, Iterator[tuple[CtVolume, Mask]]] = {
        "one leg": phantoms(24, legs="one", cut_off_fraction=0.125),
        "both legs": phantoms(24, legs="both", cut_off_fraction=0.125),
        "nail, often cut off": phantoms(12, legs="one", implant_fraction=1.0, cut_off_fraction=0.4),
    }
    if real.is_dir():
        right["real pelvis"] = pelvis(real, "femur_left", "femur_right", "fast_femur_left", "fast_femur_right")
    alarms = {name: dict(Counter(verdict(*case) for case in cases)) for name, cases in right.items()}
    noticed = {"phantoms, one leg": detection(list(phantoms(24, every=4)))}
    if real.is_dir():
        noticed["real pelvis"] = detection(list(pelvis(real, "femur_left", "femur_right")))
    result = {
        "command": "python -m benchmarks.intake.mask_placement",
        "masks_that_lie_right": alarms,
        "masks_moved_or_mirrored": noticed,
        "cost_cpu_seconds_large_ct": round(cost_seconds(), 3),
    }
    write_json_durably(output, result)


if __name__ == "__main__":
    main()
