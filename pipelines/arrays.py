"""Stage `arrays` and `masks`: every case's CT (or femur mask) on the network grid, one NPY per case."""

import argparse
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.case import Case
from femseg.cohorts.manifest import cohort_root, read_case_ct, read_case_mask, read_manifest
from femseg.cohorts.places import find_places
from femseg.cohorts.settings import read_arrays
from femseg.cohorts.store import ArrayKind, StoredArray, bytes_needed, write_array, write_index
from femseg.exits import command_exit
from femseg.files.durable import require_free_space
from femseg.paths import MANIFEST, arrays_of
from femseg.services.cluster.map_cases import map_cases
from femseg.services.cluster.session import ray_session
from femseg.settings import read_section
from femseg.volumes.network_input import (
    InputMode,
    InputRecipe,
    channel,
    mask_on_network_grid,
    mask_remarks,
    network_grid,
    network_input,
)


def prepare(
    case: Case, *, kind: ArrayKind, recipe: InputRecipe, root: Path, folder: Path
) -> tuple[StoredArray, StoredArray | None]:
    """Read one case, put it on the network grid, store it; runs on a worker. With a mask, also where patches lie."""
    grid = network_grid(case.grid, recipe)
    if kind == "mask":
        mask = read_case_mask(case, root)
        femur_zyx = mask_on_network_grid(mask, recipe, name=case.case_id)
        stored = write_array(
            folder / kind,
            case.case_id,
            femur_zyx,
            kind=kind,
            network_grid=grid,
            ct_grid=case.grid,
            remarks=mask_remarks(mask, femur_zyx),
        )
        return stored, _stored_places(case, femur_zyx, recipe, root, folder) if recipe.spacing_mm_zyx else None
    array = network_input(read_case_ct(case, root), recipe, name=case.case_id)
    array = array if kind == "both" else array[0]
    return write_array(folder / kind, case.case_id, array, kind=kind, network_grid=grid, ct_grid=case.grid), None


def _stored_places(
    case: Case, femur_zyx: NDArray[np.bool_], recipe: InputRecipe, root: Path, folder: Path
) -> StoredArray:
    grid, window = network_grid(case.grid, recipe), recipe.raw_scaling
    scaled_zyx = channel(read_case_ct(case, root), recipe, "raw", name=case.case_id)
    low, high = window.low or 0.0, window.high or 0.0
    places = find_places(femur_zyx, scaled_zyx.astype(np.float32) * (high - low) + low, grid.spacing_mm_zyx)
    return write_array(folder / "places", case.case_id, places, kind="places", network_grid=grid, ct_grid=case.grid)


def memory_bytes(cases: Sequence[Case], network_shapes_zyx: Sequence[tuple[int, int, int]]) -> int:
    """What the largest case takes while it is prepared: its voxels in float32 twice, before and after resampling, and
    the libraries.
    """
    voxels = [math.prod(case.grid.shape_zyx) + math.prod(s) for case, s in zip(cases, network_shapes_zyx, strict=True)]
    return 8 * max(voxels) + 300 * 2**20


def main() -> None:
    """Read `arrays` of params.yaml, write data/arrays/<kind>; with `--scale refine` that of `refine`, data/refine."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.arrays", description=__doc__)
    parser.add_argument("--kind", required=True, choices=["raw", "gradient", "both", "mask"])
    parser.add_argument("--scale", default="find", choices=["find", "refine"])
    given = parser.parse_args()
    kind: ArrayKind = given.kind
    recipe = read_arrays(given.scale).recipe(kind)
    manifest = read_manifest(MANIFEST)
    wanted = given.scale == "find" or read_section(tuple[InputMode, ...], "refine.input_modes")
    cases = manifest.cases if wanted else ()
    folder = arrays_of(kind, scale=given.scale).absolute()
    shapes = [network_grid(case.grid, recipe).shape_zyx for case in cases]
    require_free_space(folder, bytes_needed(recipe, kind, shapes))
    root = cohort_root(manifest, MANIFEST.absolute())
    work = partial(prepare, kind=kind, recipe=recipe, root=root, folder=folder.parent)
    ids = [case.case_id for case in cases]
    entries: list[tuple[StoredArray, StoredArray | None]] = []
    if cases:
        with ray_session():
            entries = map_cases(work, cases, names=ids, task=f"{kind} arrays", memory_bytes=memory_bytes(cases, shapes))
    write_index(folder, kind, recipe, {case_id: entry for case_id, (entry, _) in zip(ids, entries, strict=True)})
    if kind == "mask":
        places = {case_id: one for case_id, (_, one) in zip(ids, entries, strict=True) if one}
        write_index(folder.parent / "places", "places", recipe, places)
    for case_id, (entry, _) in zip(ids, entries, strict=True):
        for remark in entry.remarks:
            print(f"{case_id}: {remark}")


if __name__ == "__main__":
    with command_exit():
        main()
