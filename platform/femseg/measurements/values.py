"""How each value of the sheet is made of a femur's parts, and the points and lines that show it."""

from collections.abc import Callable, Mapping

import numpy as np

from femseg.measurements.bone import furthest
from femseg.measurements.canal import CanalSection
from femseg.measurements.definitions import LEVELS_MM
from femseg.measurements.femur import Femur, NotSeen
from femseg.measurements.lines import Array, Line, angle_deg, angle_seen_deg, circle_radius, square_to

Lines = Mapping[str, Array]  # by name; a point, shape (3,), or points in order, shape (n, 3)
Measure = Callable[[Femur], tuple[float, Lines]]

_LENGTH_IN_HEADS, _LENGTH_IN_WIDTHS = 9.5, 5.5  # an adult's, to tell how much of a cut femur is seen


def ends_of(femur: Femur) -> tuple[str, ...]:
    """Which ends of the bone are seen whole: "hip", "knee"."""
    seen = []
    for end, part in (("hip", lambda: femur.lesser), ("knee", lambda: femur.knee)):
        try:
            part()
        except NotSeen:
            continue
        seen.append(end)
    return tuple(seen)


def _length_seen(femur: Femur) -> tuple[float, Lines]:
    ends = ends_of(femur)
    seen_mm = float(np.ptp(femur.bone.surface @ femur.axis.direction))
    if len(ends) == 2:
        return 100.0, {}
    if ends == ("hip",):
        return min(100.0, 100.0 * seen_mm / (_LENGTH_IN_HEADS * 2.0 * femur.head.radius_mm)), {}
    if ends == ("knee",):
        return min(100.0, 100.0 * seen_mm / (_LENGTH_IN_WIDTHS * _epicondylar_width(femur)[0])), {}
    raise NotSeen("neither end of the bone is seen whole")


def _head_diameter(femur: Femur) -> tuple[float, Lines]:
    return 2.0 * femur.head.radius_mm, {"head centre": femur.head.centre}


def _head_residual(femur: Femur) -> tuple[float, Lines]:
    return femur.head.residual_mm, {}


def _neck_shaft_angle(femur: Femur) -> tuple[float, Lines]:
    neck, shaft = femur.neck, femur.proximal_shaft
    lines = {"neck axis": np.stack([femur.head.centre, neck.centre]), "proximal shaft axis": _drawn(shaft, femur)}
    return angle_deg(neck.direction, shaft.direction), lines


def _drawn(line: Line, femur: Femur) -> Array:
    """A shaft's line from the head's height down to 100 mm below the lesser trochanter."""
    ends = (line.nearest(femur.head.centre), line.nearest(femur.lesser.tip) - 100.0 * line.direction)
    return np.stack(ends)


def _version_by(neck_centre: Callable[[Femur], Array]) -> Measure:
    def measure(femur: Femur) -> tuple[float, Lines]:
        up, (medial, lateral) = femur.diaphysis.direction, femur.posterior_line
        across = square_to(medial - lateral, up)
        forward = np.cross(up, across)
        forward = forward if forward @ femur.knee.posterior < 0 else -forward
        centre = neck_centre(femur)
        neck = femur.head.centre - centre
        lines = {"neck axis": np.stack([femur.head.centre, centre]), "posterior condylar line": femur.posterior_line}
        return float(np.degrees(np.arctan2(neck @ forward, neck @ across))), lines

    return measure


def _mechanical_length(femur: Femur) -> tuple[float, Lines]:
    axis = np.stack([femur.head.centre, femur.coronal.knee_centre])
    return float(np.linalg.norm(axis[0] - axis[1])), {"mechanical axis": axis}


def _board(femur: Femur) -> tuple[Array, Array]:
    """A point and the normal of the plane that touches both condyles from below, square to the coronal plane."""
    plane = femur.coronal
    medial, lateral = plane.distal_points
    normal = np.cross(square_to(medial - lateral, plane.anterior), plane.anterior)
    return medial, normal if normal @ plane.up > 0 else -normal


def _bicondylar_length(femur: Femur) -> tuple[float, Lines]:
    point, normal = _board(femur)
    top = femur.head.centre + femur.head.radius_mm * normal
    return float((top - point) @ normal), {
        "bicondylar length": np.stack([top, top - float((top - point) @ normal) * normal]),
        "distal condylar line": femur.coronal.distal_points,
    }


def _trochanteric_length(femur: Femur) -> tuple[float, Lines]:
    point, normal = _board(femur)
    top = femur.greater_tip
    length = float((top - point) @ normal)
    return length, {"trochanteric length": np.stack([top, top - length * normal])}


def _anatomical_axis(femur: Femur) -> Array:
    low, _ = femur.diaphysis_ends
    line = femur.diaphysis
    return np.stack([line.nearest(femur.lesser.tip), line.nearest(low) - 60.0 * line.direction])


def _axes_angle(femur: Femur) -> tuple[float, Lines]:
    plane = femur.coronal
    lines = {"mechanical axis": np.stack([femur.head.centre, plane.knee_centre])}
    lines["anatomical axis"] = _anatomical_axis(femur)
    return angle_seen_deg(femur.diaphysis.direction, plane.up, plane.anterior), lines


def _mldfa(femur: Femur) -> tuple[float, Lines]:
    plane = femur.coronal
    medial, lateral = plane.distal_points
    lines = {"mechanical axis": np.stack([femur.head.centre, plane.knee_centre])}
    lines["distal condylar line"] = plane.distal_points
    return angle_seen_deg(plane.up, lateral - medial, plane.anterior), lines


def _aldfa(femur: Femur) -> tuple[float, Lines]:
    plane = femur.coronal
    medial, lateral = plane.distal_points
    lines = {"anatomical axis": _anatomical_axis(femur), "distal condylar line": plane.distal_points}
    return angle_seen_deg(femur.diaphysis.direction, lateral - medial, plane.anterior), lines


def _femoral_offset(femur: Femur) -> tuple[float, Lines]:
    centre = femur.head.centre
    foot = femur.proximal_shaft.nearest(centre)
    return float(np.linalg.norm(centre - foot)), {"femoral offset": np.stack([centre, foot])}


def _epicondylar_width(femur: Femur) -> tuple[float, Lines]:
    points = femur.knee.epicondyles
    return float((points[1] - points[0]) @ femur.knee.across), {"transepicondylar line": points}


def _bicondylar_width(femur: Femur) -> tuple[float, Lines]:
    knee = femur.knee
    back = float(knee.posterior_points.mean(axis=0) @ knee.posterior)
    middle = float(knee.epicondyles.mean(axis=0) @ knee.posterior)
    condyles = knee.surface[knee.surface @ knee.posterior > 0.5 * (back + middle)]
    points = np.stack([furthest(condyles, -knee.across), furthest(condyles, knee.across)])
    return float((points[1] - points[0]) @ knee.across), {"bicondylar width": points}


def _depth_of(condyle: int) -> Measure:
    def measure(femur: Femur) -> tuple[float, Lines]:
        knee, medial = femur.knee, femur.knee_medial
        place = knee.surface @ medial
        middle = 0.5 * (float(place.min()) + float(place.max()))
        half = knee.surface[place > middle if condyle == 0 else place < middle]
        back, front = furthest(half, knee.posterior), furthest(half, -knee.posterior)
        depth = float((back - front) @ knee.posterior)
        name = "medial condyle" if condyle == 0 else "lateral condyle"
        return depth, {name: np.stack([back, back - depth * knee.posterior])}

    return measure


def _condylar_angle(femur: Femur) -> tuple[float, Lines]:
    knee, medial = femur.knee, femur.knee_medial
    line = knee.epicondyles[1] - knee.epicondyles[0]
    line = line if line @ medial > 0 else -line
    outward = float(np.degrees(np.arctan2(line @ -knee.posterior, line @ medial)))
    return outward, {"transepicondylar line": knee.epicondyles, "posterior condylar line": knee.posterior_points}


def _bow_radius(femur: Femur) -> tuple[float, Lines]:
    along = femur.diaphysis.direction
    apart = femur.diaphysis_centres - femur.diaphysis.point
    flat = np.column_stack([apart @ along, apart @ square_to(femur.coronal.anterior, along)])
    return circle_radius(flat), {"shaft's centres": femur.diaphysis_centres}


def _isthmus_level(femur: Femur) -> tuple[float, Lines]:
    level, canal = femur.isthmus
    return level, {"isthmus": canal.centre}


def _canal_flare_index(femur: Femur) -> tuple[float, Lines]:
    above, (_, narrow) = femur.canal_at(LEVELS_MM["above_20"]), femur.isthmus
    across = femur.coronal.medial
    return above.width_mm(across) / narrow.width_mm(across), {"above": above.inner, "isthmus": narrow.inner}


def _section_at(level: str) -> Callable[[Femur], CanalSection]:
    return lambda femur: femur.isthmus[1] if level == "isthmus" else femur.canal_at(LEVELS_MM[level])


def _canal(level: str) -> Measure:
    def measure(femur: Femur) -> tuple[float, Lines]:
        section = _section_at(level)(femur)
        return section.diameter_mm, {"canal": section.inner}

    return measure


def _cortex(level: str) -> Measure:
    def measure(femur: Femur) -> tuple[float, Lines]:
        section = _section_at(level)(femur)
        return section.cortex_mm, {"canal": section.inner, "outer edge": section.outer}

    return measure


MEASURES: Mapping[str, Measure] = {
    "length_seen": _length_seen,
    "head_diameter": _head_diameter,
    "head_residual": _head_residual,
    "neck_shaft_angle": _neck_shaft_angle,
    "version": _version_by(lambda femur: femur.neck.centre),
    "version_lee": _version_by(lambda femur: femur.lee),
    "version_reikeras": _version_by(lambda femur: femur.reikeras),
    "version_murphy": _version_by(lambda femur: femur.murphy),
    "mechanical_length": _mechanical_length,
    "bicondylar_length": _bicondylar_length,
    "trochanteric_length": _trochanteric_length,
    "axes_angle": _axes_angle,
    "mldfa": _mldfa,
    "aldfa": _aldfa,
    "femoral_offset": _femoral_offset,
    "epicondylar_width": _epicondylar_width,
    "bicondylar_width": _bicondylar_width,
    "medial_depth": _depth_of(0),
    "lateral_depth": _depth_of(1),
    "condylar_angle": _condylar_angle,
    "bow_radius": _bow_radius,
    "isthmus_level": _isthmus_level,
    "canal_flare_index": _canal_flare_index,
    **{f"canal_{level}": _canal(level) for level in (*LEVELS_MM, "isthmus")},
    **{f"cortex_{level}": _cortex(level) for level in (*LEVELS_MM, "isthmus")},
}
