"""The whole leg, painted tissue by tissue from the outside in: HU before the scanner, and the exact femur."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.phantom.femur import femur_box, femur_voxels, neck_base, shaft_centre
from femseg.phantom.frame import LegFrame, Where, leg_frame
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
from femseg.phantom.vessels import paint_vessels
from femseg.volumes.grid import VoxelGrid

AIR_HU = -1000.0
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
) -> Anatomy:
    """One leg with its half of the pelvis, on a grid whose origin is the middle between the femoral heads.

    Args:
        texture: of the same grid.
        rng: places the calcified plaques.
    """
    frame = leg_frame(patient, side, grid)
    hu_zyx = np.full(grid.shape_zyx, AIR_HU, np.float32)
    behind_table_mm = table_depth_mm(frame, table_mm)
    paint_table(hu_zyx, frame, behind_table_mm)
    surface_mm = body_surface(frame, behind_table_mm)
    paint_soft_tissue(hu_zyx, frame, surface_mm, texture)
    paint_pelvic_cavity(hu_zyx, frame)
    paint_knee_tendons(hu_zyx, frame)
    paint_vessels(hu_zyx, frame, rng)

    where = frame.where_femur(femur_box(patient))
    femur = femur_voxels(frame, frame.femur[where], texture.grain[where])
    paint_cartilage(hu_zyx[where], frame, frame.femur[where], femur.distance_mm)
    for bone in other_bones(frame):
        interior_hu = bone.interior_hu + 40.0 * texture.grain[bone.where]
        _paint_bone(hu_zyx, frame, bone.where, bone.distance_mm, bone.cortex_mm, interior_hu)
    _paint_bone(hu_zyx, frame, where, femur.distance_mm, femur.cortex_mm, femur.interior_hu)
    if with_nail:
        paint(hu_zyx[where], coverage(_nail(frame, frame.femur[where]), frame.edge_mm), _METAL_HU)

    femur_zyx = np.zeros(grid.shape_zyx, np.bool_)
    femur_zyx[where] = femur.distance_mm < 0.0
    return Anatomy(hu_zyx=hu_zyx, femur_zyx=femur_zyx, body_zyx=surface_mm < 0.0)


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
