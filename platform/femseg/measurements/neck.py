"""The neck: its narrowest section, and where Lee, Reikerås and Murphy put its centre for the femoral version."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from femseg.measurements.bone import Bone, Cut
from femseg.measurements.head import Head
from femseg.measurements.lines import Array, Line, square, square_to, unit

_LOOKED_AT = (0.65, 2.2)  # from the head's centre, in its radii
_MOST_TILT = 0.6  # tangent of the angle between a section's normal and the first guess of the axis
_STEP_MM = 0.75
_NEAR = 0.3  # radii of the head to either side of the narrowest section


@dataclass(frozen=True, slots=True, kw_only=True)
class Neck:
    """The neck's narrowest section: the plane cut of least area.

    Attributes:
        centre: of the section.
        direction: unit vector from the head's centre to it.
    """

    centre: Array
    direction: Array
    area_mm2: float


def narrowest_section(bone: Bone, head: Head) -> Neck | None:
    """The plane cut of least area between head and trochanter, its place and tilt free; None if no cut holds bone."""
    axis, radius = head.towards_neck, head.radius_mm
    shares = np.arange(*_LOOKED_AT, 1.0 / radius)
    for _ in range(4):  # along the axis alone, for a start
        cuts = [_neck_cut(bone, head, share * axis, axis) for share in shares]
        areas = [cut.area_mm2 if cut else np.inf for cut in cuts]
        start, narrowest = float(shares[int(np.argmin(areas))]), cuts[int(np.argmin(areas))]
        if narrowest is None:
            return None
        axis = unit(narrowest.centre - head.centre)
    across, along = square(axis)

    def area(place: Array) -> float:
        share, tilt, lean = place.tolist()
        if not _LOOKED_AT[0] < share < _LOOKED_AT[1] or max(abs(tilt), abs(lean)) > _MOST_TILT:
            return 1e6
        cut = _neck_cut(bone, head, share * axis, unit(axis + tilt * across + lean * along))
        return cut.area_mm2 if cut else 1e6

    simplex = np.array([[start, 0.0, 0.0], [start + 0.08, 0.0, 0.0], [start, 0.12, 0.0], [start, 0.0, 0.12]])
    options = {"initial_simplex": simplex, "xatol": 2e-3, "fatol": 0.2, "maxfev": 150}
    share, tilt, lean = minimize(area, simplex[0], method="Nelder-Mead", options=options).x.tolist()
    found = _neck_cut(bone, head, share * axis, unit(axis + tilt * across + lean * along))
    if found is None:
        return None
    return Neck(centre=found.centre, direction=unit(found.centre - head.centre), area_mm2=found.area_mm2)


def _neck_cut(bone: Bone, head: Head, radii: Array, normal: Array) -> Cut | None:
    reach_mm = _LOOKED_AT[1] * head.radius_mm
    return bone.cut(head.centre + head.radius_mm * radii, normal, reach_mm=reach_mm, step_mm=_STEP_MM)


def middle_of_neck(cut: Cut, head: Head, neck: Neck, shaft: Line) -> Array | None:
    """Midway between the neck's front and back in a section square to the shaft; None where the section misses it.

    Front and back are where the section is thinnest near the place of the neck's narrowest section, measured square to
    the line from the middle to the head's centre, both as seen along the shaft.
    """
    v, u = np.nonzero(cut.share >= 0.5)
    apart = shaft.from_it(cut.origin + np.outer(cut.ticks_mm[u], cut.across) + np.outer(cut.ticks_mm[v], cut.along))
    to_head, to_neck = shaft.from_it(np.stack([head.centre, neck.centre]))
    around = float(to_neck @ unit(to_head)) + np.arange(-_NEAR, _NEAR + 0.01, 0.02) * head.radius_mm
    towards, middle = unit(to_head), None
    for _ in range(4):
        sideways = np.cross(shaft.direction, towards)
        out, side = apart @ towards, apart @ sideways
        bands = [side[np.abs(out - place) < 1.0] for place in around]
        widths = np.array([np.ptp(band) if band.size else np.inf for band in bands])
        if not np.isfinite(widths.min()):
            return None
        thin = np.flatnonzero(widths < widths.min() + 1.0)  # the neck is even there: its middle, not its first pixel
        sides = np.array([0.5 * (bands[k].min() + bands[k].max()) for k in thin])
        middle = shaft.nearest(cut.origin) + around[thin].mean() * towards + sides.mean() * sideways
        towards = square_to(head.centre - middle, shaft.direction)
    return middle


def first_joined_cut(bone: Bone, head: Head, neck: Neck, shaft: Line, trochanter_tip: Array) -> Cut | None:
    """The uppermost section square to the shaft in which the neck and the greater trochanter are one piece."""
    top = min(float((tip - shaft.point) @ shaft.direction) for tip in (trochanter_tip, head.centre))
    bottom = float((neck.centre - shaft.point) @ shaft.direction) - head.radius_mm
    lateral = -square_to(shaft.from_it(head.centre[None])[0], shaft.direction)
    for level in np.arange(top, bottom, -1.0):
        along_neck = (level - float((head.centre - shaft.point) @ shaft.direction)) / float(
            neck.direction @ shaft.direction
        )
        origin = head.centre + along_neck * neck.direction
        cut = bone.cut(origin, shaft.direction, reach_mm=3.5 * head.radius_mm, step_mm=_STEP_MM)
        if cut is not None and _reach(cut, shaft, lateral) > 0.0:
            return cut
    return None


def _reach(cut: Cut, shaft: Line, towards: Array) -> float:
    """How far beyond the shaft's axis a section reaches in a direction."""
    v, u = np.nonzero(cut.share >= 0.5)
    points = cut.origin + np.outer(cut.ticks_mm[u], cut.across) + np.outer(cut.ticks_mm[v], cut.along)
    return float((shaft.from_it(points) @ towards).max())
