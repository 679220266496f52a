"""The whole leg, painted tissue by tissue from the outside in: HU before the scanner, and the exact femur."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from femseg.phantom.femur import femur_box, femur_voxels, neck_base, shaft_centre
from femseg.phantom.frame import WHOLE, LegFrame, Where, leg_frame
from femseg.phantom.other_bones import other_bones
from femseg.phantom.patient import PhantomPatient, Side
from femseg.phantom.shapes import Points, Voxels, coverage, paint, rod, tube
from femseg.phantom.soft_tissue import (
    body_surface,
    paint_cartilage,
    paint_knee_tendons,
    paint_pelvic_cavity,
    paint_soft_tissue,
    paint_table,
    table_depth_mm,
)
from femseg.phantom.texture import Texture
from femseg.phantom.vessels import Plaque, drawn_plaques, paint_vessels
from femseg.volumes.grid import VoxelGrid

AIR_HU = -1000.0
_SLAB_SLICES = 32
_METAL_HU = 3071.0  # where a 12-bit CT number ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What lies in the scanner, on the voxels of a grid.

    Attributes:
        hu_zyx: ideal HU with partial volume, before blur, noise and shading.
        femur_zyx: voxels whose centre lies in a femur, cortex, marrow and any implant in it included.
        body_zyx: voxels inside of the skin.
    """

    hu_zyx: Voxels
    femur_zyx: NDArray[np.bool_]
    body_zyx: NDArray[np.bool_]


def painted_leg(
    patient: PhantomPatient,
    side: Side,
    grid: VoxelGrid,
    *,
    table_mm: float,
    with_nail: bool,
    texture: Texture,
    rng: np.random.Generator,
    into: Anatomy | None = None,
    columns: slice = WHOLE[2],
) -> Anatomy:
    """One leg with its half of the pelvis, on a grid whose origin is the middle between the femoral heads.

    Painted slab by slab, so that what is computed on the way takes no memory of the scan's size.

    Args:
        texture: of the same grid.
        rng: places the calcified plaques.
        into: what is painted over; air without it.
        columns: the part of the x axis that is painted.
    """
    anatomy = into or air(grid)
    plaques = drawn_plaques(patient, rng)
    edges = np.linspace(0, grid.shape_zyx[0], max(1, grid.shape_zyx[0] // _SLAB_SLICES) + 1).astype(int).tolist()
    for first, end in pairwise(edges):
        part = (slice(first, end), slice(None), columns)
        slab = Anatomy(hu_zyx=anatomy.hu_zyx[part], femur_zyx=anatomy.femur_zyx[part], body_zyx=anatomy.body_zyx[part])
        _paint_slab(slab, leg_frame(patient, side, grid, part), table_mm, texture[part], plaques, with_nail=with_nail)
    return anatomy


def air(grid: VoxelGrid) -> Anatomy:
    """Nobody in the scanner."""
    return Anatomy(
        hu_zyx=np.full(grid.shape_zyx, AIR_HU, np.float32),
        femur_zyx=np.zeros(grid.shape_zyx, np.bool_),
        body_zyx=np.zeros(grid.shape_zyx, np.bool_),
    )


def _paint_slab(
    slab: Anatomy, frame: LegFrame, table_mm: float, texture: Texture, plaques: list[Plaque], *, with_nail: bool
) -> None:
    hu_zyx = slab.hu_zyx
    behind_table_mm = table_depth_mm(frame, table_mm)
    paint_table(hu_zyx, frame, behind_table_mm)
    surface_mm = body_surface(frame, behind_table_mm)
    slab.body_zyx[...] = surface_mm < 0.0
    paint_soft_tissue(hu_zyx, frame, surface_mm, texture)
    paint_pelvic_cavity(hu_zyx, frame)
    paint_knee_tendons(hu_zyx, frame)
    paint_vessels(hu_zyx, frame, plaques)

    where = frame.where_femur(femur_box(frame.patient))
    femur = femur_voxels(frame, frame.femur[where], texture.grain[where])
    paint_cartilage(hu_zyx[where], frame, frame.femur[where], femur.distance_mm)
    for bone in other_bones(frame):
        interior_hu = bone.interior_hu + 40.0 * texture.grain[bone.where]
        _paint_bone(hu_zyx, frame, bone.where, bone.distance_mm, bone.cortex_mm, interior_hu)
    _paint_bone(hu_zyx, frame, where, femur.distance_mm, femur.cortex_mm, femur.interior_hu)
    if with_nail:
        paint(hu_zyx[where], coverage(_nail(frame, frame.femur[where]), frame.edge_mm), _METAL_HU)
    slab.femur_zyx[where] = femur.distance_mm < 0.0


def _paint_bone(
    hu_zyx: Voxels, frame: LegFrame, where: Where, distance_mm: Voxels, cortex_mm: Voxels | float, interior_hu: Voxels
) -> None:
    paint(hu_zyx[where], coverage(distance_mm, frame.edge_mm), frame.patient.cortical_hu)
    paint(hu_zyx[where], coverage(distance_mm + cortex_mm, frame.edge_mm), interior_hu)


def _nail(frame: LegFrame, points: Points) -> Voxels:
    """Distance to an intramedullary nail, a screw through the neck into the head, and one above the condyles."""
    patient, head = frame.patient, frame.head_centre
    base, height = neck_base(patient), points.superior_mm
    radius = np.full_like(height, 5.2)
    shaft = tube(points, shaft_centre(patient, height), (radius, radius))
    shaft = np.maximum(shaft, np.maximum(70.0 - height, height - base[2] - 26.0))
    outward = tuple(b - 0.55 * (h - b) for b, h in zip(base, head, strict=True))
    neck_screw = rod(points, (outward[0], outward[1], outward[2]), head, 4.6, 4.6)
    width = patient.condyle_width_mm
    locking = rod(points, (-0.36 * width, -4.0, 84.0), (0.36 * width, -4.0, 84.0), 2.6, 2.6)
    return np.asarray(np.minimum(np.minimum(shaft, neck_screw), locking))
