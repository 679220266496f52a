"""A case for its page, small and made up: two thighs with a shaft each, the right one thicker."""

from dataclasses import replace

import numpy as np

from femseg.measurements.sheet import measured
from femseg.meshes.surface import mask_surface
from femseg.reports.case.facts import CasePage, PageFemur, Solid
from femseg.volumes.grid import CtVolume, LabelVolume, MaskVolume, VoxelGrid

GRID = VoxelGrid(shape_zyx=(40, 24, 60), spacing_mm_zyx=(3.0, 2.0, 2.0), origin_mm_xyz=(-60.0, -20.0, -500.0))
SHAFTS = (("left", 1, 35.0, 10.0), ("right", 2, -35.0, 14.0))  # side, label, x in LPS, radius


def labels() -> LabelVolume:
    places = GRID.positions_mm_xyz(np.argwhere(np.ones(GRID.shape_zyx, np.bool_))).reshape(*GRID.shape_zyx, 3)
    labels_zyx = np.zeros(GRID.shape_zyx, np.uint8)
    for _, label, x, radius in SHAFTS:
        near = np.hypot(places[..., 0] - x, places[..., 1] - 2.0) < radius
        labels_zyx[near & (np.abs(places[..., 2] + 440.0) < 48.0)] = label
    return LabelVolume(labels_zyx=labels_zyx, grid=GRID)


def ct() -> CtVolume:
    noise = np.random.default_rng(0).normal(0.0, 20.0, GRID.shape_zyx)
    return CtVolume(hu_zyx=(noise + 900.0 * (labels().labels_zyx > 0)).astype(np.float32), grid=GRID)


def case(*, meshes: bool = True, **changes) -> CasePage:
    """All of it, or with some fields changed."""
    made = labels()
    femora = []
    for side, label, _, _ in SHAFTS:
        mask = MaskVolume(femur_zyx=made.labels_zyx == label, grid=GRID)
        surface = mask_surface(mask)
        off_mm = np.linspace(0.0, 0.6, len(surface.vertices_mm_xyz))
        femora.append(
            PageFemur(
                name=f"{side} femur",
                label=label,
                volume_ml=float(mask.femur_zyx.sum()) * GRID.voxel_volume_mm3 / 1000.0,
                pieces=1,
                told_by=("place",),
                mask=mask,
                sheet=measured(mask, side=side),
                solid=Solid(mesh=surface, off_mm=off_mm, said=(f"measured of the {side} one",)) if meshes else None,
            )
        )
    whole = CasePage(
        name="study7.nii.gz",
        verdict="review",
        reasons=("IF-09 the mask touches the inferior end of the volume",),
        expected_dice=0.93,
        caution="",
        remarks=("seen no patient",),
        ct=ct(),
        labels=made,
        femora=tuple(femora),
        no_mesh="" if meshes else "It needs skimage, which is not installed here.",
        model={"trained on": "phantoms alone: no patient"},
        lineage={"mask": "ab" * 32, "CT series": "cd" * 32},
    )
    return replace(whole, **changes)
