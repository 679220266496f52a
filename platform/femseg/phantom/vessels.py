"""Vessels filled with contrast beside the bone, as bright as bone, and the calcified plaques of age."""

import numpy as np

from femseg.phantom.femur import neck_base, shaft_centre
from femseg.phantom.frame import LegFrame, head_centre
from femseg.phantom.patient import PhantomPatient
from femseg.phantom.shapes import Vector, Voxels, coverage, ellipsoid, paint, rod

Branch = tuple[Vector, Vector, float, float]  # a piece of vessel: from, to, radius there and here
Plaque = tuple[Vector, Vector, float]  # centre, radii, HU


def paint_vessels(hu_zyx: Voxels, frame: LegFrame, plaques: list[Plaque]) -> None:
    """Femoral and popliteal artery and vein, the deep artery along the bone, branches that touch it, plaques."""
    patient = frame.patient
    artery = _artery(patient)
    for branch in _pieces([(x - 5.0, y + 9.5, z) for x, y, z in artery], 5.6, 5.0):
        _paint_branch(hu_zyx, frame, branch, 0.72 * patient.artery_hu)
    arterial = [*_pieces(artery, 4.6, 3.2), *_deep_artery(frame), *_branches(frame, artery)]
    for branch in arterial:
        _paint_branch(hu_zyx, frame, branch, patient.artery_hu)
    for centre, radii, plaque_hu in plaques:
        low, high = (tuple(c + sign * r for c, r in zip(centre, radii, strict=True)) for sign in (-1.5, 1.5))
        where = frame.where_femur(((low[0], low[1], low[2]), (high[0], high[1], high[2])))
        paint(hu_zyx[where], coverage(ellipsoid(frame.femur[where], centre, radii), frame.edge_mm), plaque_hu)


def _artery(patient: PhantomPatient) -> list[Vector]:
    """From the groin before the head, along the inside of the shaft, to the hollow of the knee (femur's frame)."""
    length, head = patient.femur_length_mm, head_centre(patient)
    r = patient.shaft_radius_mm
    beside_shaft = [  # share of the length, medial and posterior of the shaft's axis
        (0.80, -1.9 * r, -1.7 * r), (0.70, -1.9 * r, -1.2 * r), (0.58, -1.75 * r, -0.5 * r), (0.45, -1.65 * r, 0.5 * r),
        (0.34, -1.2 * r, 1.5 * r), (0.25, -0.6 * r, 2.05 * r),
    ]  # fmt: skip
    course = [(head[0] - 26.0, head[1] - 24.0, length + 60.0), (head[0] - 8.0, head[1] - 36.0, head[2] + 8.0)]
    for share, medial, behind in beside_shaft:
        lateral, posterior = (float(axis[0]) for axis in shaft_centre(patient, np.array([share * length])))
        course.append((lateral + medial, posterior + behind, share * length))
    return [*course, (0.0, 34.0, 0.14 * length), (2.0, 45.0, 26.0), (2.0, 43.0, -10.0), (0.0, 38.0, -120.0)]


def _pieces(course: list[Vector], first_radius: float, last_radius: float) -> list[Branch]:
    radii = np.linspace(first_radius, last_radius, len(course)).tolist()
    return list(zip(course, course[1:], radii, radii[1:], strict=False))


def _deep_artery(frame: LegFrame) -> list[Branch]:
    """The profunda femoris: leaves behind the groin and hugs the back of the shaft (the linea aspera)."""
    patient = frame.patient
    length, r, base = patient.femur_length_mm, patient.shaft_radius_mm, neck_base(patient)
    course: list[Vector] = [(base[0] - 38.0, base[1] - 30.0, base[2] - 8.0)]
    for share, medial, behind in ((0.74, -1.25, 0.35), (0.64, -0.8, 1.05), (0.54, -0.25, 1.25), (0.44, 0.1, 1.2)):
        lateral, posterior = (float(axis[0]) for axis in shaft_centre(patient, np.array([share * length])))
        course.append((lateral + medial * r, posterior + behind * r, share * length))
    return _pieces(course, 3.2, 1.8)


def _branches(frame: LegFrame, artery: list[Vector]) -> list[Branch]:
    """Circumflex arteries round the neck, perforators into the back of the shaft, genicular arteries at the knee."""
    patient = frame.patient
    base, w = neck_base(patient), patient.condyle_width_mm
    groin = (base[0] - 38.0, base[1] - 30.0, base[2] - 8.0)
    before_neck = (base[0] - 6.0, base[1] - 22.0, base[2] - 4.0)
    behind_knee = artery[-4]
    return [
        (artery[2], groin, 3.2, 3.2),
        (groin, before_neck, 2.4, 2.0),
        (before_neck, (base[0] + 24.0, base[1] - 14.0, base[2] - 10.0), 2.0, 1.4),
        (behind_knee, (-0.43 * w, 16.0, 52.0), 1.5, 1.2),
        (behind_knee, (0.43 * w, 14.0, 52.0), 1.5, 1.2),
    ]


def _paint_branch(hu_zyx: Voxels, frame: LegFrame, branch: Branch, blood_hu: float) -> None:
    start, end, start_radius, end_radius = branch
    reach = max(start_radius, end_radius) + 1.0
    low = (min(start[0], end[0]) - reach, min(start[1], end[1]) - reach, min(start[2], end[2]) - reach)
    high = (max(start[0], end[0]) + reach, max(start[1], end[1]) + reach, max(start[2], end[2]) + reach)
    where = frame.where_femur((low, high), margin_mm=1.0)
    share = coverage(rod(frame.femur[where], start, end, start_radius, end_radius), frame.edge_mm)
    paint(hu_zyx[where], share, blood_hu)


def drawn_plaques(patient: PhantomPatient, rng: np.random.Generator) -> list[Plaque]:
    """Calcified plaques along the artery, more of them with age."""
    artery, plaques = _artery(patient), list[Plaque]()
    for _ in range(int(rng.poisson(2.0 + 0.35 * (patient.age_years - 50)))):
        piece = int(rng.integers(0, len(artery) - 1))
        share, dx, dy = rng.random(), *rng.uniform(-3.5, 3.5, 2)
        centre = tuple(a + share * (b - a) for a, b in zip(artery[piece], artery[piece + 1], strict=True))
        centre = (centre[0] + dx, centre[1] + dy, centre[2])
        radii = (float(rng.uniform(1.2, 2.4)), float(rng.uniform(1.2, 2.4)), float(rng.uniform(2.5, 7.0)))
        plaques.append((centre, radii, float(rng.uniform(600.0, 1200.0))))
    return plaques
