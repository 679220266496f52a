"""The knee's end: condyles, epicondyles, and the lines that touch or join them."""

from dataclasses import dataclass

import numpy as np

from femseg.measurements.bone import Bone, furthest
from femseg.measurements.lines import Array, Line, line_through, square_to, unit
from femseg.measurements.shaft import centres_between

_CONDYLES_MM = 45.0  # above the lowest point: the condyles and no shaft
_END_MM = 4.0  # above the lowest point a whole end is two small caps
_LARGEST_END = 0.6  # of the largest section of the condyles
_FLARE = 1.6  # the condyles' section against the narrowest of the shaft
_DISTAL_SHAFT_MM = (90.0, 150.0)
_EPICONDYLES_MM = (12.0, 60.0)
_EPICONDYLE_CAP_MM = 1.5
_ROUNDS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Knee:
    """The distal end, in directions of its own.

    Attributes:
        shaft: the line through the shaft's centres 90 to 150 mm above the lowest point.
        across: unit vector along the posterior condylar line, towards the condyle that is named second below.
        posterior: unit vector square to it and to the shaft.
        posterior_points, distal_points, epicondyles: of the two condyles in the order of `across`, shape (2, 3).
        surface: of the end alone.
    """

    shaft: Line
    across: Array
    posterior: Array
    posterior_points: Array
    distal_points: Array
    epicondyles: Array
    surface: Array


def found_knee(bone: Bone, axis: Line) -> Knee | str:
    """The condyles below a shaft, or why there are none to measure.

    Args:
        axis: of the shaft, pointing away from the knee.
    """
    height = (bone.surface - axis.point) @ axis.direction
    lowest = float(height.min())
    if len(bone.cut_off) and float(((bone.cut_off - axis.point) @ axis.direction).min()) < lowest + 2 * _CONDYLES_MM:
        return "the scan cuts the bone off at the knee"
    if not _is_whole(bone, axis, lowest):
        return "the mask holds no whole condyles"
    shaft = axis
    for _ in range(2):
        low = lowest - float((shaft.point - axis.point) @ axis.direction)
        if float(height.max()) < lowest + _DISTAL_SHAFT_MM[1]:
            return f"the shaft is seen to less than {_DISTAL_SHAFT_MM[1]:.0f} mm above the knee"
        centres = centres_between(bone, shaft, low + _DISTAL_SHAFT_MM[0], low + _DISTAL_SHAFT_MM[1])
        shaft = line_through(centres, axis.direction)
    end = bone.surface[height < lowest + _EPICONDYLES_MM[1]]
    across, posterior = _first_directions(end[(end - axis.point) @ axis.direction < lowest + _CONDYLES_MM], shaft)
    posterior_points = touching_points(end, across, posterior, shaft.direction)
    across = square_to(posterior_points[1] - posterior_points[0], shaft.direction)
    posterior = _turned(posterior, across, shaft.direction)
    return Knee(
        shaft=shaft,
        across=across,
        posterior=posterior,
        posterior_points=posterior_points,
        distal_points=touching_points(end, across, -shaft.direction, posterior),
        epicondyles=_epicondyles(end, across, posterior, shaft.direction),
        surface=end,
    )


def touching_points(end: Array, across: Array, outward: Array, view: Array) -> Array:
    """Where a line that is seen along `view` touches both condyles from outside, shape (2, 3).

    Args:
        end: surface of the knee's end.
        across: about from the first condyle to the second; their middle parts them.
        outward: about the side from which the line comes.
    """
    place = end @ across
    middle = 0.5 * (float(place.min()) + float(place.max()))
    first, second = end[place < middle], end[place > middle]
    points = np.stack([furthest(first, outward), furthest(second, outward)])
    for _ in range(_ROUNDS):
        along = square_to(points[1] - points[0], view)
        outward = _turned(outward, along, view)
        points = np.stack([furthest(first, outward), furthest(second, outward)])
    return points


def _turned(outward: Array, along: Array, view: Array) -> Array:
    """The direction nearest to `outward` that is square to a line seen along `view`."""
    normal = unit(np.cross(along, view))
    return normal if normal @ outward > 0 else -normal


def _is_whole(bone: Bone, axis: Line, lowest: float) -> bool:
    levels = lowest + np.arange(_END_MM, _CONDYLES_MM, _END_MM)
    near = [_area(bone, axis, level) for level in levels]
    shaft = min(_area(bone, axis, lowest + level) for level in np.arange(*_DISTAL_SHAFT_MM, 10.0))
    return near[0] < _LARGEST_END * max(near) and max(near) > _FLARE * max(shaft, 1.0)


def _area(bone: Bone, axis: Line, level: float) -> float:
    """Of all pieces of a section: the two condyles lie apart."""
    height = (bone.surface - axis.point) @ axis.direction
    around = bone.surface[np.abs(height - level) < 4.0]
    if not len(around):
        return 0.0
    ticks = np.arange(-70.0, 70.5, 2.0)
    across, along = unit(np.cross(axis.direction, axis.from_it(around).mean(axis=0) + 1e-9)), None
    along = np.cross(axis.direction, across)
    v, u = np.meshgrid(ticks, ticks, indexing="ij")
    origin = axis.point + level * axis.direction
    return 4.0 * float(bone.filled(origin + u.reshape(-1, 1) * across + v.reshape(-1, 1) * along).sum())


def _first_directions(condyles: Array, shaft: Line) -> tuple[Array, Array]:
    """About along the condyles' widest extent, and to the side on which they stand out behind the shaft."""
    flat = shaft.from_it(condyles)
    spread = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[2]
    across = square_to(spread[0], shaft.direction)
    posterior = np.cross(shaft.direction, across)
    return across, posterior if flat.mean(axis=0) @ posterior > 0 else -posterior


def _epicondyles(end: Array, across: Array, posterior: Array, up: Array) -> Array:
    """The middles of the two caps that reach furthest to either side, shape (2, 3)."""
    height = end @ up
    place = end[height > height.min() + _EPICONDYLES_MM[0]]
    points = []
    for outward in (-across, across):
        reach = place @ outward
        cap = place[reach > np.percentile(reach, 100) - _EPICONDYLE_CAP_MM]
        middle = cap.mean(axis=0)
        points.append(middle + (float(furthest(place, outward) @ outward) - float(middle @ outward)) * outward)
    return np.stack(points)
