"""The bones that are not the femur: pelvis, patella, tibia, fibula."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from femseg.phantom.frame import Box, LegFrame, Where
from femseg.phantom.patient import PhantomPatient
from femseg.phantom.shapes import Points, Voxels, along, ball, carved, ellipsoid, joined, rod, tube


@dataclass(frozen=True, slots=True, kw_only=True)
class BoneVoxels:
    """A neighbour of the femur in its box of the grid; thickness of its cortex and HU inside."""

    where: Where
    distance_mm: Voxels
    cortex_mm: Voxels | float
    interior_hu: float


def other_bones(frame: LegFrame) -> Iterator[BoneVoxels]:
    """Every bone beside the femur; each is computed in its box alone."""
    patient = frame.patient
    strength = patient.spongiosa
    pelvis_where = frame.where_hip(((-2 * patient.hip_half_distance_mm, -70.0, -110.0), (50.0, 75.0, 130.0)))
    if _some(pelvis_where):
        yield BoneVoxels(
            where=pelvis_where,
            distance_mm=_pelvis(patient, frame.hip[pelvis_where]),
            cortex_mm=1.1,
            interior_hu=190.0 * strength,
        )
    for box, shape, cortex_mm, interior_hu in _at_the_knee(patient):
        where = frame.where_femur(box)
        if _some(where):
            points = frame.femur[where]
            yield BoneVoxels(
                where=where,
                distance_mm=shape(patient, points),
                cortex_mm=cortex_mm(points.superior_mm),
                interior_hu=interior_hu * strength,
            )


def _some(where: Where) -> bool:
    return all(w.stop > w.start for w in where)


Cortex = Callable[[Voxels], Voxels | float]


def _at_the_knee(
    patient: PhantomPatient,
) -> Iterator[tuple[Box, Callable[[PhantomPatient, Points], Voxels], Cortex, float]]:
    w = patient.condyle_width_mm
    yield ((-0.3 * w, -62.0, 0.0), (0.36 * w, -25.0, 65.0)), patella, lambda _: 1.1, 240.0
    yield ((-0.55 * w, -45.0, -250.0), (0.55 * w, 45.0, 12.0)), tibia, _tibia_cortex, 170.0
    yield ((0.2 * w, 0.0, -250.0), (0.62 * w, 45.0, -8.0)), fibula, lambda _: 1.3, 80.0


def _pelvis(patient: PhantomPatient, points: Points) -> Voxels:
    """Acetabulum in near contact round the head, ilium above, pubis to the front, ischium below (hip's frame)."""
    half, socket = patient.hip_half_distance_mm, patient.head_radius_mm + patient.hip_gap_mm
    x, y, z = points.lateral_mm, points.posterior_mm, points.superior_mm
    opening = 0.70 * x - 0.30 * y - 0.648 * z  # the cup looks outward, forward and down
    shell = np.maximum(ball(points, (0.0, 0.0, 0.0), socket + 6.5), opening - 5.0)
    leaning = Points(lateral_mm=x - 0.22 * z - 0.12 * y, posterior_mm=y, superior_mm=z)
    ilium = ellipsoid(leaning, (-13.0, 16.0, 82.0), (8.5, 46.0, 72.0))
    roof = ellipsoid(points, (-6.0, 8.0, 33.0), (20.0, 24.0, 17.0))
    body = ellipsoid(points, (-24.0, 10.0, 0.0), (13.0, 27.0, 30.0))
    pubis = rod(points, (-24.0, -18.0, -8.0), (10.0 - half, -38.0, -26.0), 9.0, 6.5)
    symphysis = ellipsoid(points, (9.0 - half, -38.0, -36.0), (7.5, 8.5, 18.0))
    ischium = rod(points, (-20.0, 24.0, -14.0), (-26.0, 36.0, -66.0), 14.0, 13.0)
    lower_ramus = rod(points, (-28.0, 30.0, -72.0), (8.0 - half, -32.0, -50.0), 8.0, 5.5)
    pelvis = joined(joined(joined(shell, roof, 8.0), ilium, 12.0), joined(body, ischium, 8.0), 8.0)
    pelvis = joined(pelvis, joined(joined(pubis, symphysis, 6.0), lower_ramus, 6.0), 6.0)
    return carved(pelvis, ball(points, (0.0, 0.0, 0.0), socket), 1.0)


def patella(patient: PhantomPatient, points: Points) -> Voxels:
    """The kneecap before its groove (femur's frame)."""
    s = patient.condyle_width_mm / 80.0
    disc = ellipsoid(points, (2.0 * s, -31.0 * s - 12.0, 36.0 * s), (21.5 * s, 9.5 * s, 21.0 * s))
    ridge = ellipsoid(points, (2.0 * s, -31.0 * s - 7.0, 36.0 * s), (9.0 * s, 6.0 * s, 15.0 * s))
    return joined(disc, ridge, 5.0)


def tibia(patient: PhantomPatient, points: Points) -> Voxels:
    """Plateau, eminence, tuberosity and shaft, one joint space below the condyles (femur's frame)."""
    w, height, top = patient.condyle_width_mm, points.superior_mm, -patient.knee_gap_mm
    s = w / 80.0
    radius_lateral = along(
        height, (-95.0, 13.5 * s), (-62.0, 17.0 * s), (-38.0, 0.33 * w), (-16.0, 0.46 * w), (0.0, 0.47 * w)
    )
    radius_posterior = along(height, (-95.0, 14.0 * s), (-62.0, 17.0 * s), (-38.0, 20.0 * s), (-14.0, 25.0 * s))
    posterior = along(height, (-95.0, 0.0), (-50.0, 1.0), (-10.0, 7.0 * s))
    column = tube(points, (np.zeros_like(posterior), posterior), (radius_lateral, radius_posterior))
    capped = -joined(-column, top - height, 7.0)
    eminence = ellipsoid(points, (0.0, 8.0 * s, top), (6.0 * s, 9.0 * s, 7.0 * s))
    tuberosity = ellipsoid(points, (2.0, -19.0 * s, -40.0 * s), (9.0 * s, 7.0 * s, 15.0 * s))
    return joined(joined(capped, eminence, 4.0), tuberosity, 8.0)


def _tibia_cortex(height: Voxels) -> Voxels:
    return along(height, (-110.0, 5.0), (-70.0, 2.8), (-35.0, 1.0), (0.0, 0.8))


def fibula(patient: PhantomPatient, points: Points) -> Voxels:
    """Head and shaft, lateral and behind (femur's frame)."""
    w = patient.condyle_width_mm
    head = ellipsoid(points, (0.43 * w, 22.0, -26.0), (9.5, 10.5, 13.0))
    shaft = rod(points, (0.43 * w, 21.0, -30.0), (0.38 * w, 16.0, -260.0), 6.5, 6.5)
    return joined(head, shaft, 7.0)
