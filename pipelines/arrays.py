"""Stage `arrays` and `masks`: every case's CT (or femur mask) on the network grid, one NPY per case."""

import argparse
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from femseg.cohorts.case import Case
from femseg.cohorts.manifest import cohort_root, read_case_ct, read_case_mask, read_manifest
from femseg.cohorts.settings import ArraySettings
from femseg.cohorts.store import ArrayKind, StoredArray, bytes_needed, write_array, write_index
from femseg.exits import command_exit
from femseg.files.durable import require_free_space
from femseg.paths import ARRAYS, MANIFEST
from femseg.services.cluster.map_cases import map_cases
from femseg.services.cluster.session import ray_session
from femseg.settings import read_section
from femseg.volumes.network_input import InputRecipe, mask_on_network_grid, mask_remarks, network_grid, network_input


def prepare(case: Case, *, kind: ArrayKind, recipe: InputRecipe, root: Path, folder: Path) -> StoredArray:
    """Read one case, put it on the network grid, store it; runs on a worker."""
    grid = network_grid(case.grid, recipe)
    if kind == "mask":
        mask = read_case_mask(case, root)
        femur_zyx = mask_on_network_grid(mask, recipe, name=case.case_id)
        remarks = mask_remarks(mask, femur_zyx)
        return write_array(
            folder, case.case_id, femur_zyx, kind=kind, network_grid=grid, ct_grid=case.grid, remarks=remarks
        )
    array = network_input(read_case_ct(case, root), recipe, name=case.case_id)
    array = array if kind == "both" else array[0]
    return write_array(folder, case.case_id, array, kind=kind, network_grid=grid, ct_grid=case.grid)


def memory_bytes(cases: Sequence[Case]) -> int:
    """What the largest case takes while it is prepared: its voxels in float32 twice, and the libraries."""
    return max(8 * math.prod(case.grid.shape_zyx) for case in cases) + 300 * 2**20


def main() -> None:
    """Read `arrays` of params.yaml, write data/arrays/<kind>."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.arrays", description=__doc__)
    parser.add_argument("--kind", required=True, choices=["raw", "gradient", "both", "mask"])
    kind: ArrayKind = parser.parse_args().kind
    recipe = read_section(ArraySettings, "arrays").recipe(kind)
    manifest = read_manifest(MANIFEST)
    folder = (ARRAYS / kind).absolute()
    require_free_space(folder, bytes_needed(recipe, kind, cases=len(manifest.cases)))
    work = partial(prepare, kind=kind, recipe=recipe, root=cohort_root(manifest, MANIFEST.absolute()), folder=folder)
    ids = [case.case_id for case in manifest.cases]
    with ray_session():
        entries = map_cases(
            work, manifest.cases, names=ids, task=f"{kind} arrays", memory_bytes=memory_bytes(manifest.cases)
        )
    write_index(folder, kind, recipe, dict(zip(ids, entries, strict=True)))
    for case_id, entry in zip(ids, entries, strict=True):
        for remark in entry.remarks:
            print(f"{case_id}: {remark}")


if __name__ == "__main__":
    with command_exit():
        main()
