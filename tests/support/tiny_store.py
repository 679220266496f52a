"""An array store of a few small cases with a femur-like block, and its split: enough to train on in seconds."""

from pathlib import Path

import numpy as np
from tiny_model import RECIPE

from femseg.cohorts.split import Split, write_split
from femseg.cohorts.store import ArrayKind, write_array, write_index
from femseg.volumes.grid import VoxelGrid

SHAPE_ZYX = RECIPE.shape_zyx
GRID = VoxelGrid(shape_zyx=SHAPE_ZYX, spacing_mm_zyx=(8.0, 5.0, 5.0))
SPLIT = Split(train=("case0", "case1", "case2"), validation=("case3",), test=("case4",))


def write_tiny_store(folder: Path) -> Path:
    """`raw`, `gradient` and `mask` of five cases, and `split.json`; returns the folder."""
    entries: dict[ArrayKind, dict[str, object]] = {"raw": {}, "gradient": {}, "mask": {}}
    for place, case_id in enumerate((*SPLIT.train, *SPLIT.validation, *SPLIT.test)):
        rng = np.random.default_rng(place)
        femur = np.zeros(SHAPE_ZYX, bool)
        femur[2:14, 4 + place % 3 : 10, 5 : 10 + place % 2] = True
        raw = np.clip(0.2 + 0.5 * femur + rng.normal(0, 0.05, SHAPE_ZYX), 0, 1).astype(np.float32)
        gradient = np.abs(np.gradient(raw, axis=2)).astype(np.float32)
        for kind, array in (("raw", raw), ("gradient", gradient), ("mask", femur)):
            entries[kind][case_id] = write_array(
                folder / kind, case_id, array, kind=kind, network_grid=GRID, ct_grid=GRID
            )
    for kind in entries:
        write_index(folder / kind, kind, RECIPE, entries[kind])
    write_split(SPLIT, folder / "split.json")
    return folder
