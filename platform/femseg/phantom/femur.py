"""The femur: head, neck, trochanters, bowed shaft, condyles; how thick its cortex is and what lies inside."""

from dataclasses import dataclass

import numpy as np

from femseg.phantom.frame import Box, LegFrame, head_centre, neck_direction
from femseg.phantom.patient import PhantomPatient
from femseg.phantom.shapes import Points, Vector, Voxels, along, ball, carved, coverage, ellipsoid, joined, rod, tube

_LOWEST_SHAFT_MM = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FemurVoxels:
    """The femur in its box of the grid.

    Attributes:
        distance_mm: below 0 inside of the outer surface, marrow included.
        cortex_mm: thickness of the cortex, shape (Z, 1, 1).
        interior_hu: of trabecular bone and marrow.
    """

    distance_mm: Voxels
    cortex_mm: Voxels
    interior_hu: Voxels


def femur_box(patient: PhantomPatient) -> Box:
    """Corners of a box round the femur, in its own frame."""
    base = neck_base(patient)
    width = patient.condyle_width_mm
    return ((-0.55 * width, -45.0, -2.0), (max(0.55 * width, base[0] + 36.0), 48.0, patient.femur_length_mm + 2.0))


def neck_base(patient: PhantomPatient) -> Vector:
    """Where the neck's axis meets the shaft's, in the femur's frame."""
    head = head_centre(patient)
    x, y, z = (h - patient.neck_length_mm * d for h, d in zip(head, neck_direction(patient), strict=True))
    return (x, y, z)


def greater_trochanter(patient: PhantomPatient) -> tuple[Vector, Vector]:
    """Centre and radii of the ellipsoid that is the greater trochanter, in the femur's frame."""
    s, base = patient.head_radius_mm / 24.0, neck_base(patient)
    return (base[0] + 13.0 * s, base[1] + 7.0 * s, base[2] + 3.0), (15.0 * s, 20.0 * s, 30.0 * s)


def shaft_centre(patient: PhantomPatient, superior_mm: Voxels) -> tuple[Voxels, Voxels]:
    """The shaft's axis: straight in the coronal plane, bowed forward in the sagittal one."""
    base = neck_base(patient)
    chord = base[2] - _LOWEST_SHAFT_MM
    sagitta = chord * chord / (8.0 * patient.bow_radius_mm)
    share = (superior_mm - _LOWEST_SHAFT_MM) / chord
    inside = np.clip(share, 0.0, 1.0)
    lateral = base[0] * np.clip(share, 0.0, 1.1)
    posterior = base[1] * inside - 4.0 * (1.0 - inside) - 4.0 * sagitta * inside * (1.0 - inside)
    return lateral, posterior


def femur_voxels(frame: LegFrame, points: Points, texture: Voxels) -> FemurVoxels:
    """Build the femur where `points` lie (femur's frame); `texture` has mean 0 and deviation 1."""
    patient, height = frame.patient, points.superior_mm
    distance = _shaft(patient, points)
    upper, lower = height.ravel() > neck_base(patient)[2] - 75.0, height.ravel() < 95.0
    for part, shape in ((upper, _with_hip), (lower, _with_knee)):
        if part.any():
            inside = np.flatnonzero(part)
            where = (slice(int(inside[0]), int(inside[-1]) + 1), slice(None), slice(None))
            distance[where] = shape(patient, points[where], distance[where])
    return FemurVoxels(
        distance_mm=distance, cortex_mm=_cortex_mm(patient, height), interior_hu=_interior_hu(frame, points, texture)
    )


def _shaft(patient: PhantomPatient, points: Points) -> Voxels:
    height, r, width = points.superior_mm, patient.shaft_radius_mm, patient.condyle_width_mm
    length, top = patient.femur_length_mm, neck_base(patient)[2]
    radius_lateral = along(
        height,
        (20.0, 0.43 * width), (40.0, 0.38 * width), (62.0, 0.285 * width), (92.0, 1.42 * r), (0.34 * length, 1.12 * r),
        (0.52 * length, r), (0.72 * length, 1.06 * r), (top - 45.0, 1.18 * r), (top, 1.4 * r),
    )  # fmt: skip
    radius_posterior = along(
        height,
        (20.0, 0.28 * width), (48.0, 0.24 * width), (85.0, 1.26 * r), (0.34 * length, 1.1 * r),
        (0.52 * length, 1.06 * r), (0.72 * length, 1.02 * r), (top - 45.0, 1.1 * r), (top, 1.22 * r),
    )  # fmt: skip
    around = tube(points, shaft_centre(patient, height), (radius_lateral, radius_posterior))
    ridge_radii = (np.full_like(height, 0.4 * r), np.full_like(height, 0.6 * r))
    lateral, posterior = shaft_centre(patient, height)
    ridge = tube(points, (lateral, posterior + 0.62 * r), ridge_radii)  # the linea aspera
    fades = 10.0 * np.clip(np.abs(height - 0.52 * length) / (0.22 * length) - 1.0, 0.0, None)
    around = joined(around, ridge + fades, 4.0)
    return np.asarray(np.maximum(around, np.maximum(_LOWEST_SHAFT_MM - height, height - top - 6.0)))


def _with_hip(patient: PhantomPatient, points: Points, shaft: Voxels) -> Voxels:
    s = patient.head_radius_mm / 24.0
    head, base = head_centre(patient), neck_base(patient)
    neck = rod(points, base, head, 15.5 * s, 14.0 * s)
    greater = ellipsoid(points, *greater_trochanter(patient))
    lesser = ellipsoid(
        points, (base[0] - 15.0 * s, base[1] + 13.0 * s, base[2] - 40.0 * s), (10.0 * s, 10.0 * s, 15.0 * s)
    )
    proximal = joined(joined(shaft, neck, 12.0), greater, 9.0)
    return joined(joined(proximal, lesser, 8.0), ball(points, head, patient.head_radius_mm), 5.0)


def _with_knee(patient: PhantomPatient, points: Points, shaft: Voxels) -> Voxels:
    width = patient.condyle_width_mm
    s = width / 80.0
    medial = ellipsoid(points, (-0.265 * width, 10.0 * s, 25.0 * s), (0.225 * width, 31.0 * s, 25.0 * s))
    lateral = ellipsoid(points, (0.27 * width, 8.0 * s, 25.5 * s), (0.215 * width, 32.0 * s, 25.0 * s))
    trochlea = ellipsoid(points, (0.03 * width, -11.0 * s, 30.0 * s), (0.38 * width, 20.0 * s, 24.0 * s))
    inner_epicondyle = ellipsoid(points, (-0.42 * width, 5.0 * s, 36.0 * s), (8.0 * s, 13.0 * s, 14.0 * s))
    outer_epicondyle = ellipsoid(points, (0.42 * width, 5.0 * s, 34.0 * s), (8.0 * s, 13.0 * s, 14.0 * s))
    notch = ellipsoid(points, (0.0, 26.0 * s, 8.0 * s), (0.12 * width, 26.0 * s, 25.0 * s))
    groove = ellipsoid(points, (0.03 * width, -40.0 * s, 22.0 * s), (0.16 * width, 13.0 * s, 30.0 * s))
    distal = joined(joined(shaft, trochlea, 8.0), joined(medial, lateral, 3.0), 7.0)
    distal = joined(joined(distal, inner_epicondyle, 8.0), outer_epicondyle, 8.0)
    return carved(carved(distal, notch, 6.0), groove, 8.0)


def _cortex_mm(patient: PhantomPatient, height: Voxels) -> Voxels:
    thick, length, top = patient.cortex_mm, patient.femur_length_mm, neck_base(patient)[2]
    return along(
        height,
        (10.0, 0.75), (50.0, 0.9), (95.0, 0.4 * thick), (0.36 * length, 0.85 * thick), (0.55 * length, thick),
        (0.7 * length, 0.95 * thick), (top - 55.0, 0.7 * thick), (top - 10.0, 1.7), (top + 25.0, 0.85),
    )  # fmt: skip


def _interior_hu(frame: LegFrame, points: Points, texture: Voxels) -> Voxels:
    patient, height = frame.patient, points.superior_mm
    head, base, length = frame.head_centre, neck_base(patient), patient.femur_length_mm
    spongy = along(  # share of trabecular bone; the rest is yellow marrow
        height, (0.0, 1.0), (35.0, 0.85), (75.0, 0.5), (0.27 * length, 0.1), (0.45 * length, 0.0),
        (0.65 * length, 0.0), (base[2] - 50.0, 0.2), (base[2] - 10.0, 0.5), (base[2] + 25.0, 0.6),
    )  # fmt: skip
    bone_hu = (215.0 + 45.0 * texture) * patient.spongiosa
    marrow_hu = -50.0 + 10.0 * texture
    interior = marrow_hu + spongy * (bone_hu - marrow_hu)
    in_head = coverage(ball(points, head, patient.head_radius_mm), 8.0)
    compressive = rod(  # the principal compressive trabeculae, from the top of the head to the calcar
        points, (head[0], head[1], head[2] + 18.0), (base[0] - 16.0, base[1], base[2] - 14.0), 9.0, 5.0
    )
    above = np.clip((height - base[2] + 25.0) / 10.0, 0.0, 1.0)
    interior += in_head * (70.0 * patient.spongiosa) + coverage(compressive, 10.0) * above * (90.0 * patient.spongiosa)
    return interior
