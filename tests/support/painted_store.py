"""Array stores of a few tiny scenes: what a training paints its samples from."""

from pathlib import Path

import numpy as np
from tiny_scene import tiny_scene

from femseg.cohorts.places import find_places
from femseg.cohorts.store import ArrayKind, ArrayStore, write_array, write_index
from femseg.synthetic.painting import painted
from femseg.synthetic.painting_settings import PaintingSettings
from femseg.training.painted_cases import PaintedCases
from femseg.training.stored_cases import PatchCases, PatchSettings, StoredCases
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputRecipe, painted_input

SPACING = (3.0, 3.0, 3.0)
RECIPE = InputRecipe(
    input_mode="both",
    spacing_mm_zyx=SPACING,
    anti_aliasing=True,
    raw_scaling=Scaling(kind="window", low=-200.0, high=1200.0),
    gradient_scaling=Scaling(kind="window", low=0.0, high=300.0),
    gradient_of="resampled",
)
EXTENTS = {"case0": (160.0, 150.0, 150.0), "case1": (90.0, 150.0, 120.0), "case2": (60.0, 60.0, 60.0)}


def painted_cases(folder: Path, shape_zyx=(32, 32, 32), painting: PaintingSettings | None = None) -> PaintedCases:
    """Three hips, of which the last is smaller than a patch."""
    entries: dict[ArrayKind, dict[str, object]] = {"both": {}, "mask": {}, "places": {}, "tissue": {}}
    for case_id, extent in EXTENTS.items():
        scene = tiny_scene(extent, SPACING)
        hu = painted(scene.fields_czyx, SPACING, PaintingSettings(), np.random.default_rng(0))
        femur = scene.femora_zyx > 0
        arrays = {
            "both": painted_input(hu, SPACING, RECIPE),
            "mask": femur,
            "places": find_places(femur, hu, SPACING),
            "tissue": scene.fields_czyx,
        }
        for kind, of_kind in entries.items():
            of_kind[case_id] = write_array(
                folder / kind, case_id, arrays[kind], kind=kind, network_grid=scene.grid, ct_grid=scene.grid
            )
    for kind, of_kind in entries.items():
        write_index(folder / kind, kind, RECIPE, of_kind)
    return opened(folder, PatchSettings(shape_zyx=shape_zyx, validation=3), painting or PaintingSettings())


def opened(folder: Path, settings: PatchSettings, painting: PaintingSettings | None = None) -> PaintedCases:
    """The cases of such stores."""
    stores = StoredCases(
        inputs=ArrayStore.open(folder / "both"), masks=ArrayStore.open(folder / "mask"), case_ids=tuple(EXTENTS)
    )
    return PaintedCases(
        patches=PatchCases(stores=stores, places=ArrayStore.open(folder / "places"), settings=settings),
        fields=ArrayStore.open(folder / "tissue"),
        painting=painting or PaintingSettings(),
    )


def stored_and_people(folder: Path) -> None:
    """The stores of a cohort, case0 and case1, and of a share: case2 has no input, and is the only one with a scene."""
    painted_cases(folder)
    for kind, left_out in (("both", {"case2"}), ("tissue", {"case0", "case1"})):
        store = ArrayStore.open(folder / kind)
        kept = {case_id: store.entry(case_id) for case_id in EXTENTS if case_id not in left_out}
        write_index(folder / kind, kind, RECIPE, kept)
