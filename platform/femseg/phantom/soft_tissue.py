"""Skin, fat, muscles with the fat between them, cartilage and tendons, and the table below."""

import numpy as np

from femseg.phantom.femur import shaft_centre
from femseg.phantom.frame import LegFrame
from femseg.phantom.patient import PhantomPatient
from femseg.phantom.shapes import Points, Voxels, along, ball, coverage, ellipsoid, joined, paint, rod, tube
from femseg.phantom.texture import Texture

SKIN_HU, FAT_HU, MUSCLE_HU, CARTILAGE_HU, TENDON_HU, BLADDER_HU = 30.0, -100.0, 55.0, 95.0, 80.0, 8.0
TABLE_SHELL_HU, TABLE_FOAM_HU = 100.0, -880.0

# Muscles of the thigh and hip as centre lines beside the shaft, at 0, 1/4, 1/2, 3/4 and 1 of the femur's length:
# (lateral, posterior) in mm for the average thigh, and the radius within which each claims its ground.
_ABSENT = -60.0
_WANDER_MM = 3.0
_MUSCLES: dict[str, tuple[tuple[tuple[float, float], ...], tuple[float, ...]]] = {
    "rectus femoris": (((0, -40), (0, -46), (0, -52), (-6, -54), (-12, -50)), (-8, 9, 14, 13, 8)),
    "vastus lateralis": (((40, -8), (36, -12), (40, -16), (40, -20), (34, -22)), (-4, 12, 20, 18, _ABSENT)),
    "vastus medialis": (((-40, -10), (-36, -14), (-30, -24), (-24, -28), (-20, -30)), (-2, 15, 12, 4, _ABSENT)),
    "vastus intermedius": (((4, -22), (6, -20), (8, -18), (8, -16), (8, -14)), (-20, 8, 13, 11, _ABSENT)),
    "adductor magnus": (((-30, 20), (-26, 20), (-34, 22), (-46, 24), (-56, 22)), (_ABSENT, 4, 20, 24, 10)),
    "adductor longus": (((-40, 0), (-40, 2), (-42, -2), (-50, -6), (-58, -10)), (_ABSENT, _ABSENT, 6, 12, 4)),
    "gracilis": (((-46, 34), (-56, 28), (-70, 22), (-80, 16), (-84, 8)), (-4, 4, 7, 8, 2)),
    "sartorius": (((-48, 26), (-56, 12), (-52, -18), (-40, -40), (4, -62)), (0, 6, 8, 8, 7)),
    "semimembranosus": (((-26, 40), (-24, 46), (-20, 54), (-20, 56), (-20, 56)), (0, 12, 15, 8, _ABSENT)),
    "biceps femoris": (((28, 38), (24, 46), (18, 54), (6, 56), (0, 56)), (-2, 11, 16, 12, _ABSENT)),
    "gluteus maximus": (((0, 60), (0, 60), (20, 62), (16, 62), (4, 66)), (_ABSENT, _ABSENT, _ABSENT, 10, 30)),
    "gluteus medius": (((30, -4), (30, -4), (30, -4), (34, -2), (14, -6)), (_ABSENT, _ABSENT, _ABSENT, -20, 14)),
    "tensor fasciae latae": (((40, -40), (40, -40), (40, -40), (38, -44), (34, -46)), (_ABSENT, _ABSENT, -20, 2, 10)),
    "iliopsoas": (((-20, -20), (-20, -20), (-20, -20), (-24, -16), (-34, -34)), (_ABSENT, _ABSENT, _ABSENT, 0, 13)),
    "gastrocnemius, inner": (((-18, 44), (-18, 40), (-18, 40), (-18, 40), (-18, 40)), (12, -20, *([_ABSENT] * 3))),
    "gastrocnemius, outer": (((18, 44), (18, 40), (18, 40), (18, 40), (18, 40)), (11, -20, *([_ABSENT] * 3))),
}  # fmt: skip


def body_surface(frame: LegFrame, behind_table_mm: Voxels) -> Voxels:
    """Distance to the skin of leg and trunk, flat where they lie on the table; negative inside."""
    patient, points = frame.patient, frame.femur
    height, length, girth = points.superior_mm, patient.femur_length_mm, patient.girth
    lateral = along(height, (-90.0, 0.0), (0.0, 0.0), (0.4 * length, 9.0), (0.8 * length, 16.0), (length, 14.0))
    posterior = along(height, (-90.0, 16.0), (0.0, 0.0), (0.2 * length, 5.0), (0.5 * length, 6.0), (length, 5.0))
    wide = along(
        height, (-90.0, 53.0), (0.0, 56.0), (0.15 * length, 59.0), (0.5 * length, 78.0), (0.85 * length, 92.0),
        (length, 100.0),
    )  # fmt: skip
    deep = along(
        height, (-90.0, 56.0), (0.0, 60.0), (0.15 * length, 62.0), (0.5 * length, 77.0), (0.85 * length, 88.0),
        (length, 92.0),
    )  # fmt: skip
    leg = tube(points, (lateral, posterior), (wide * girth, deep * girth))
    return np.asarray(np.maximum(joined(leg, _trunk(patient, frame.hip), 25.0), behind_table_mm))


def _trunk(patient: PhantomPatient, hip: Points) -> Voxels:
    """An ellipse about the midline of the body that ends at the crotch."""
    height = hip.superior_mm
    zero = np.zeros_like(height)
    wide = zero + (patient.hip_half_distance_mm + 94.0) * patient.girth
    deep = zero + 95.0 * patient.girth
    around = tube(hip, (zero - patient.hip_half_distance_mm, zero + 5.0), (wide, deep))
    return np.asarray(np.maximum(around, -62.0 - height))


def paint_soft_tissue(hu_zyx: Voxels, frame: LegFrame, surface_mm: Voxels, texture: Texture) -> None:
    """Skin, then fat, then muscle inside of the fascia, marbled with fat where the texture has it."""
    patient, edge = frame.patient, frame.edge_mm
    height, length = frame.femur.superior_mm, patient.femur_length_mm
    paint(hu_zyx, coverage(surface_mm, edge), SKIN_HU)
    paint(hu_zyx, coverage(surface_mm + 2.0, edge), FAT_HU + 8.0 * texture.grain)
    fat_mm = patient.fat_mm * along(
        height, (-60.0, 0.5), (0.0, 0.4), (0.3 * length, 0.75), (0.7 * length, 1.0), (length, 1.15)
    )
    in_fascia = coverage(surface_mm + 2.0 + fat_mm, 2.0 * edge)
    between_mm = along(height, (-60.0, 2.0), (0.0, 14.0), (0.1 * length, 9.0), (0.3 * length, 2.6), (0.8 * length, 2.2))
    belly = coverage(between_mm - muscle_gap_mm(frame, texture), 3.0)
    paint(hu_zyx, in_fascia * belly, MUSCLE_HU + 9.0 * texture.grain + 5.0 * texture.waves[0])


def muscle_gap_mm(frame: LegFrame, texture: Texture) -> Voxels:
    """How much nearer a voxel's own muscle is than the next one: about 0 where two muscles meet, in the fat between."""
    patient, points = frame.patient, frame.femur
    heights = [share * patient.femur_length_mm for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    centre = shaft_centre(patient, points.superior_mm)
    x = points.lateral_mm - centre[0] + _WANDER_MM * texture.waves[0]
    y = points.posterior_mm - centre[1] + _WANDER_MM * texture.waves[1]
    nearest, second = np.full_like(x, 1e6), np.full_like(x, 1e6)
    for line, radii in _MUSCLES.values():
        dx = x - patient.girth * along(points.superior_mm, *zip(heights, (at[0] for at in line), strict=True))
        dy = y - patient.girth * along(points.superior_mm, *zip(heights, (at[1] for at in line), strict=True))
        away = np.sqrt(dx * dx + dy * dy) - along(points.superior_mm, *zip(heights, radii, strict=True))
        second = np.minimum(second, np.maximum(nearest, away))
        nearest = np.minimum(nearest, away)
    return second - nearest


def paint_cartilage(hu_zyx: Voxels, frame: LegFrame, points: Points, femur_mm: Voxels) -> None:
    """Cartilage and capsule on the head and on the condyles (in the femur's box)."""
    patient = frame.patient
    on_condyles = coverage(points.superior_mm - 42.0, 10.0)
    on_head = coverage(ball(points, frame.head_centre, patient.head_radius_mm + 5.0), 3.0)
    paint(hu_zyx, coverage(femur_mm - 3.0, 2.0) * np.maximum(on_condyles, on_head), CARTILAGE_HU)


def paint_knee_tendons(hu_zyx: Voxels, frame: LegFrame) -> None:
    """Quadriceps tendon and patellar ligament."""
    s = frame.patient.condyle_width_mm / 80.0
    front = -31.0 * s - 13.0
    quadriceps = ((2.0, front, 50.0 * s), (2.0, front + 4.0, 110.0))
    patellar = ((2.0, front, 20.0 * s), (2.0, -24.0 * s, -38.0 * s))
    for start, end in (quadriceps, patellar):
        sides = ((min(a, b) - m, max(a, b) + m) for a, b, m in zip(start, end, (9.0, 9.0, 7.0), strict=True))
        box = tuple(zip(*sides, strict=True))
        where = frame.where_femur((box[0], box[1]))
        paint(hu_zyx[where], coverage(rod(frame.femur[where], start, end, 5.0, 5.0), frame.edge_mm), TENDON_HU)


def paint_pelvic_cavity(hu_zyx: Voxels, frame: LegFrame) -> None:
    """The fat of the small pelvis and the bladder in it."""
    half = frame.patient.hip_half_distance_mm
    where = frame.where_hip(((-2.0 * half, -60.0, -30.0), (-30.0, 60.0, 150.0)))
    points = frame.hip[where]
    cavity = ellipsoid(points, (-half, 4.0, 55.0), (half - 40.0, 52.0, 78.0))
    bladder = ellipsoid(points, (-half, -12.0, 14.0), (34.0, 26.0, 28.0))
    paint(hu_zyx[where], coverage(cavity, 4.0), FAT_HU + 10.0)
    paint(hu_zyx[where], coverage(bladder, frame.edge_mm), BLADDER_HU)


def table_depth_mm(frame: LegFrame, table_mm: float) -> Voxels:
    """How deep below the surface of the table, a shallow trough, a voxel lies; negative above."""
    from_midline = frame.hip.lateral_mm + frame.patient.hip_half_distance_mm
    return np.asarray(frame.hip.posterior_mm - table_mm + from_midline * from_midline / 3000.0)


def paint_table(hu_zyx: Voxels, frame: LegFrame, behind_table_mm: Voxels) -> None:
    """Foam in a thin shell."""
    paint(hu_zyx, coverage(-behind_table_mm, frame.edge_mm), TABLE_SHELL_HU)
    paint(hu_zyx, coverage(3.0 - behind_table_mm, frame.edge_mm), TABLE_FOAM_HU)
