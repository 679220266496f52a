"""A scene of spheres and cylinders whose every distance is known: a thigh with a femur of a head and a shaft, a
socket about the head, an artery, skin, air and a table."""

import numpy as np

from femseg.synthetic.scene import NEUTRAL, LegPose, Scene, SceneFacts, Tissue, distance_codes
from femseg.volumes.grid import VoxelGrid

HEAD_MM, SHAFT_MM, SOCKET_MM = 23.0, 14.0, 27.0
_POSE = LegPose(flexion_deg=0.0, abduction_deg=0.0, rotation_deg=0.0, knee_flexion_deg=0.0, gap_mm=4.0)
FACTS = SceneFacts(
    index=0, people=(1.0,), scale=1.0, elastic_mm=0.0, left=_POSE, right=_POSE, field_of_view="one_leg", metal=None
)


def tiny_scene(extent_mm_zyx=(160.0, 150.0, 150.0), spacing_mm_zyx=(3.0, 3.0, 3.0), *, metal=False) -> Scene:
    """A left hip about the middle of a box, its head upwards."""
    shape_zyx = tuple(round(e / s) for e, s in zip(extent_mm_zyx, spacing_mm_zyx, strict=True))
    z, y, x = np.meshgrid(
        *((np.arange(n) + 0.5) * s - 0.5 * n * s for n, s in zip(shape_zyx, spacing_mm_zyx, strict=True)), indexing="ij"
    )
    z = z - 35.0
    axis, centre = np.hypot(y, x), np.sqrt(z * z + y * y + x * x)
    femur = np.maximum(HEAD_MM - centre, np.minimum(SHAFT_MM - axis, -z))
    socket = np.minimum(np.minimum(centre - SOCKET_MM, SOCKET_MM + 12.0 - centre), z)
    body = 65.0 - axis
    tissue = np.full(shape_zyx, Tissue.AIR, np.uint8)
    for inside, code in (
        (body > 0, Tissue.SKIN),
        (body > 2, Tissue.FAT),
        (body > 14, Tissue.MUSCLE),
        (5.0 - np.hypot(y + 30, x) > 0, Tissue.ARTERY),
        (np.abs(centre - 25.0) < 2, Tissue.CARTILAGE),
        (y > 67, Tissue.TABLE),
        (socket >= 0, Tissue.PELVIS),
        (femur >= 0, Tissue.FEMUR),
        ((axis < 4) & (z < -10) & metal, Tissue.METAL),
    ):
        tissue[inside] = code
    along = np.where(femur > -20, np.interp(z, [-420.0, 23.0], [0, 255]), 0).astype(np.uint8)
    fields = [tissue, distance_codes(femur), distance_codes(socket), along, np.full(shape_zyx, NEUTRAL, np.uint8)]
    grid = VoxelGrid(shape_zyx=shape_zyx, spacing_mm_zyx=spacing_mm_zyx)
    return Scene(grid=grid, fields_czyx=np.stack(fields), femora_zyx=(femur >= 0).astype(np.uint8), facts=FACTS)
