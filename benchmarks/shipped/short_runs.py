"""Short trainings by the recipe of `params.shipped.yaml`, on one core and without Ray, and their packages."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.places import find_places
from femseg.cohorts.settings import HU_RANGE, ArraySettings
from femseg.cohorts.store import INDEX_NAME, ArrayKind, ArrayStore, StoredArray, write_array, write_index
from femseg.lineage.provenance import Lineage
from femseg.networks.choice import read_network
from femseg.networks.package import ModelPackage, load_package, write_package
from femseg.networks.package_files import ModelDescription
from femseg.phantom import PhantomSettings, PhantomStudy, phantom_study
from femseg.services.fit.job import TrainingJob, fit_job, training_job
from femseg.settings import read_section
from femseg.synthetic.cohort import rough_hu
from femseg.synthetic.scene import TISSUE, Scene
from femseg.training.context import TrainerContext
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.stored_cases import PatchSettings
from femseg.volumes.network_input import (
    InputMode,
    InputRecipe,
    channel,
    mask_on_network_grid,
    network_grid,
    network_input,
)
from pipelines.train import described

RECIPE = Path("params.shipped.yaml")
SECONDS_A_STEP = 0.45  # reckoned, of one core, so that the same minutes are the same steps on any machine

Section = TypeVar("Section")
Made = dict[ArrayKind, StoredArray]


def section(settings_type: type[Section], name: str) -> Section:
    """A section of the recipe."""
    return read_section(settings_type, name, file=RECIPE)


def recipe(kind: ArrayKind) -> InputRecipe:
    """From a CT to the network's input, as the recipe says."""
    return section(ArraySettings, "arrays").recipe(kind)


def phantoms(seed: int, patients: int) -> list[PhantomStudy]:
    """Legs, hips and knees in turn, both sides, finer than the network's grid."""
    settings = PhantomSettings(
        patients=patients, seed=seed, legs="both", scans="varied", spacing_mm_zyx=(2.0, 1.8, 1.8)
    )
    return [phantom_study(settings, index) for index in range(patients)]


def stored_phantom(folder: Path, name: str, study: PhantomStudy, modes: Iterable[InputMode]) -> Made:
    """A phantom's arrays as the stages `arrays` and `masks` would store them."""
    grid, femur_zyx = network_grid(study.ct.grid, recipe("mask")), mask_on_network_grid(study.femur, recipe("mask"))
    low, high = HU_RANGE.low or 0.0, HU_RANGE.high or 0.0
    hu_zyx = channel(study.ct, recipe("mask"), "raw").astype(np.float32) * (high - low) + low
    arrays: dict[ArrayKind, NDArray[Any]] = {
        "mask": femur_zyx,
        "places": find_places(femur_zyx, hu_zyx, grid.spacing_mm_zyx),
    }
    for mode in modes:
        seen_czyx = network_input(study.ct, recipe(mode))
        arrays[mode] = seen_czyx if mode == "both" else seen_czyx[0]
    return {
        kind: write_array(folder / kind, name, array, kind=kind, network_grid=grid, ct_grid=study.ct.grid)
        for kind, array in arrays.items()
    }


def stored_person(folder: Path, name: str, person: Scene) -> Made:
    """A person's arrays as the stage `masks` stores those of `synthetic.share`."""
    femur_zyx, grid = person.femora_zyx > 0, person.grid
    places = find_places(femur_zyx, rough_hu(person.fields_czyx[TISSUE]), grid.spacing_mm_zyx)
    arrays: dict[ArrayKind, NDArray[Any]] = {"mask": femur_zyx, "places": places, "tissue": person.fields_czyx}
    return {
        kind: write_array(folder / kind, name, array, kind=kind, network_grid=grid, ct_grid=grid)
        for kind, array in arrays.items()
    }


def write_indices(folder: Path, made: dict[str, Made]) -> None:
    """Complete the stores of a folder."""
    for kind in sorted({kind for arrays in made.values() for kind in arrays}):
        write_index(folder / kind, kind, recipe(kind), {name: one[kind] for name, one in made.items() if kind in one})


def one_channel(both: Path, mode: InputMode, folder: Path) -> Path:
    """The store of one input mode, made once out of that of both."""
    if not (folder / mode / INDEX_NAME).is_file():
        store, number = ArrayStore.open(both), recipe("both").channels.index(mode)
        made: dict[str, Made] = {}
        for name in store.case_ids:
            grids = {key: getattr(store.entry(name), key) for key in ("network_grid", "ct_grid")}
            made[name] = {mode: write_array(folder / mode, name, store.load(name)[number], kind=mode, **grids)}
        write_indices(folder, made)
    return folder / mode


def job(
    arrays: Path, inputs: Path, mode: InputMode, *, runs: Path, split: Path, train: TrainSettings, **more: Any
) -> TrainingJob:
    """A training of the recipe's network on stored arrays, which are only read."""
    return training_job(
        inputs=inputs,
        masks=arrays / "mask",
        places=arrays / "places",
        split=split,
        runs=runs,
        name=mode,
        network=read_network(file=RECIPE),
        optimisation=section(OptimisationSettings, "optimisation"),
        train=train,
        patches=section(PatchSettings, "patches"),
        **more,
    )


def trained(job: TrainingJob, mode: InputMode, folder: Path, say: Callable[[str], None] = print) -> ModelPackage:
    """Train to the end, going on where an earlier try stopped, and write the package."""

    def progress(done: int, note: str) -> None:
        if done % 100 == 0:
            say(f"  {done} of {job.train.max_iterations}: {note}")

    network, result = fit_job(job, TrainerContext(say=say, progress=progress))
    scale = described(job, network, result, recipe(mode))
    fields = {field.name: getattr(scale, field.name) for field in dataclasses.fields(scale)}
    write_package(folder, network, model=ModelDescription(**fields), lineage=Lineage(seed=job.train.seed))
    return load_package(folder)
