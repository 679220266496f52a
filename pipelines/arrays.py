"""Stage `arrays` and `masks`: every case's CT (or femur mask) on the network grid, one NPY per case.

With `synthetic.share`, the masks' store holds the people from whom that share of a training is painted, too.
"""

import argparse
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.case import Case, Femur
from femseg.cohorts.manifest import cohort_root, read_case_ct, read_case_mask, read_manifest
from femseg.cohorts.places import find_places
from femseg.cohorts.settings import CohortSettings, Scale, read_arrays, refuse_unpaintable
from femseg.cohorts.store import ArrayKind, StoredArray, bytes_needed, write_array, write_index
from femseg.exits import command_exit
from femseg.files.durable import require_free_space
from femseg.paths import MANIFEST, arrays_of
from femseg.services.cluster.map_cases import map_cases
from femseg.services.cluster.session import ray_session
from femseg.settings import read_section
from femseg.synthetic.anatomy import scene
from femseg.synthetic.cohort import LEFT, RIGHT, SCENE_BYTES, index_of_study, on_grid, rough_hu, study_name
from femseg.synthetic.scene import TISSUE
from femseg.synthetic.settings import SyntheticSettings, read_share
from femseg.volumes.network_input import (
    InputMode,
    InputRecipe,
    channel,
    mask_on_network_grid,
    mask_remarks,
    network_grid,
    network_input,
)

Made = dict[ArrayKind, StoredArray]
SIDES: dict[Femur, tuple[int, ...]] = {"all": (LEFT, RIGHT), "left": (LEFT,), "right": (RIGHT,)}


def prepare(
    case: Case, *, kind: ArrayKind, recipe: InputRecipe, root: Path, folder: Path, people: SyntheticSettings | None
) -> Made:
    """Read one case, put it on the network grid, store it; runs on a worker. With a mask, also where patches lie.

    Args:
        people: of a synthetic cohort: its scenes are stored with the masks.
    """
    grid = network_grid(case.grid, recipe)

    def stored(kind: ArrayKind, array: NDArray[Any], remarks: tuple[str, ...] = ()) -> StoredArray:
        return write_array(
            folder / kind, case.case_id, array, kind=kind, network_grid=grid, ct_grid=case.grid, remarks=remarks
        )

    if kind != "mask":
        array = network_input(read_case_ct(case, root), recipe, name=case.case_id)
        return {kind: stored(kind, array if kind == "both" else array[0])}
    made: Made = {}
    if people:
        person = scene(people, index_of_study(case.ct.files[0].path), grid.spacing_mm_zyx)
        fields_czyx, femora_zyx = on_grid(person, grid)
        femur_zyx = np.isin(femora_zyx, SIDES[case.femur])
        made = {"mask": stored("mask", femur_zyx), "tissue": stored("tissue", fields_czyx)}
    else:
        mask = read_case_mask(case, root)
        femur_zyx = mask_on_network_grid(mask, recipe, name=case.case_id)
        made = {"mask": stored("mask", femur_zyx, mask_remarks(mask, femur_zyx))}
    if recipe.spacing_mm_zyx:
        made["places"] = stored("places", _places(case, femur_zyx, recipe, root))
    return made


def _places(case: Case, femur_zyx: NDArray[np.bool_], recipe: InputRecipe, root: Path) -> NDArray[np.int16]:
    grid, window = network_grid(case.grid, recipe), recipe.raw_scaling
    scaled_zyx = channel(read_case_ct(case, root), recipe, "raw", name=case.case_id)
    low, high = window.low or 0.0, window.high or 0.0
    return find_places(femur_zyx, scaled_zyx.astype(np.float32) * (high - low) + low, grid.spacing_mm_zyx)


def prepare_person(index: int, *, people: SyntheticSettings, femur: Femur, recipe: InputRecipe, folder: Path) -> Made:
    """Store one person of `synthetic.share` on a grid of its own; runs on a worker."""
    if recipe.spacing_mm_zyx is None:
        raise ValueError("people are painted in patches: expected a recipe with a spacing")
    person = scene(people, index, recipe.spacing_mm_zyx)
    femur_zyx = np.isin(person.femora_zyx, SIDES[femur])
    places = find_places(femur_zyx, rough_hu(person.fields_czyx[TISSUE]), recipe.spacing_mm_zyx)
    made: dict[ArrayKind, NDArray[Any]] = {"mask": femur_zyx, "places": places, "tissue": person.fields_czyx}
    name, grid = study_name(index), person.grid
    return {
        kind: write_array(folder / kind, name, array, kind=kind, network_grid=grid, ct_grid=grid)
        for kind, array in made.items()
    }


def prepare_people(scale: Scale, femur: Femur, recipe: InputRecipe, folder: Path) -> dict[str, Made]:
    """All of them by name; none without a share."""
    if not read_share():
        return {}
    refuse_unpaintable(scale)
    people = read_section(SyntheticSettings, "synthetic")
    names = list(map(study_name, range(people.people)))
    work = partial(prepare_person, people=people, femur=femur, recipe=recipe, folder=folder)
    made = map_cases(work, range(people.people), names=names, task="people", memory_bytes=SCENE_BYTES)
    return dict(zip(names, made, strict=True))


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
    is_synthetic = kind == "mask" and read_section(CohortSettings, "cohort").source == "synthetic"
    people = read_section(SyntheticSettings, "synthetic") if is_synthetic else None
    require_free_space(folder, sum(bytes_needed(recipe, k, shapes) for k in ((kind, "tissue") if people else (kind,))))
    root = cohort_root(manifest, MANIFEST.absolute())
    work = partial(prepare, kind=kind, recipe=recipe, root=root, folder=folder.parent, people=people)
    ids = [case.case_id for case in cases]
    entries: dict[str, Made] = {}
    if cases:
        memory = memory_bytes(cases, shapes) + (SCENE_BYTES if people else 0)
        with ray_session():
            made_of_cases = map_cases(work, cases, names=ids, task=f"{kind} arrays", memory_bytes=memory)
            entries = dict(zip(ids, made_of_cases, strict=True))
            if kind == "mask" and not is_synthetic:
                entries |= prepare_people(given.scale, cases[0].femur, recipe, folder.parent)
    kinds: tuple[ArrayKind, ...] = ("mask", "places", "tissue") if kind == "mask" else (kind,)
    for each in kinds:
        of_kind = {name: made[each] for name, made in entries.items() if each in made}
        write_index(folder.parent / each, each, recipe, of_kind)
    for case_id, made in entries.items():
        for remark in made[kind].remarks:
            print(f"{case_id}: {remark}")


if __name__ == "__main__":
    with command_exit():
        main()
