"""The femoral head: the ball in the bone whose surface is bone nearly all round, but for the neck."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from femseg.measurements.bone import Bone
from femseg.measurements.lines import Array, directions, sphere_through, unit

_RADII_MM = (15.0, 35.0)
_COARSE_MM = 2.0
_APART_MM = 15.0  # two balls with centres nearer than this are one
_MOST_BALLS = 12
_ON_SURFACE_MM = 1.5
_BESIDE = 2.0 * np.sin(np.deg2rad(4.0))  # two directions 8 degrees apart
_LEAST_COVERED = 0.7  # of all directions; a ball in a shaft or a knee has bone on up to 0.6 of its surface
_NECK_CONE_DEG = 65.0
_OUTLIER_MM = 1.0  # the fovea lies deeper
_ROUNDS = 6
_THINNED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A sphere on the head's surface.

    Attributes:
        residual_mm: root mean square distance of the surface from the sphere, fovea and neck left out.
        covered: share of all directions in which the sphere's surface is the bone's.
        towards_neck: unit vector from the centre to where the sphere has no surface.
    """

    centre: Array
    radius_mm: float
    residual_mm: float
    covered: float
    towards_neck: Array


def found_head(bone: Bone, *, least_covered: float = _LEAST_COVERED) -> Head | None:
    """The femoral head, wherever the bone lies; None where the mask holds none, or not enough of one.

    Balls as large as the bone holds them are tried where its inner distance peaks. The one with most bone on its
    surface is fitted by least squares, without the cone of the neck and without what lies off it (the fovea).

    Args:
        least_covered: a ball with less of its surface on the bone's is no head.
    """
    thinned = bone.surface[:: max(1, len(bone.surface) // _THINNED)]
    heads = [head for centre, radius in _balls(bone) if (head := _fitted(thinned, centre, radius, rounds=2))]
    best = max(heads, key=lambda head: head.covered, default=None)
    best = best and _fitted(bone.surface, best.centre, best.radius_mm, rounds=_ROUNDS)
    return best if best is not None and best.covered >= least_covered else None


def _balls(bone: Bone) -> list[tuple[Array, float]]:
    """Centres and radii of the largest balls that the bone holds, no two at one place."""
    steps = [max(1, round(_COARSE_MM / edge)) for edge in bone.grid.spacing_mm_zyx]
    inside = bone.soft_zyx[:: steps[0], :: steps[1], :: steps[2]] >= 0.5
    edges = [step * edge for step, edge in zip(steps, bone.grid.spacing_mm_zyx, strict=True)]
    depth_mm = ndimage.distance_transform_edt(inside, sampling=edges)
    peaks = (depth_mm == ndimage.maximum_filter(depth_mm, 3)) & (depth_mm >= _RADII_MM[0] - _COARSE_MM)
    places = np.argwhere(peaks)
    centres, depths = bone.grid.positions_mm_xyz(places * np.array(steps)), depth_mm[tuple(places.T)]
    kept: list[int] = []
    for place in np.argsort(-depths, kind="stable").tolist():
        if len(kept) < _MOST_BALLS and all(np.linalg.norm(centres[place] - centres[k]) > _APART_MM for k in kept):
            kept.append(place)
    return [(centres[place], float(depths[place])) for place in kept]


def _fitted(surface: Array, centre: Array, radius: float, *, rounds: int) -> Head | None:
    """A sphere fitted anew in each round to what is nearer to it than in the round before, the neck's cone left out."""
    around, fitted = directions(500), None
    for round_number in range(rounds):
        apart = surface - centre
        distance = np.linalg.norm(apart, axis=1)
        near = np.abs(distance - radius) < max(_ON_SURFACE_MM, 4.0 - 1.5 * round_number)
        if np.count_nonzero(near) < 100:
            return None
        towards = apart[near] / distance[near, None]
        seen = KDTree(towards).query(around)[0] < _BESIDE
        if seen.mean() < 0.25 or seen.all():
            return None
        towards_neck = unit(around[~seen].mean(axis=0))
        used = surface[near][towards @ towards_neck < np.cos(np.deg2rad(_NECK_CONE_DEG))]
        centre, radius, residual = sphere_through(used, centre, radius, _OUTLIER_MM)
        if not _RADII_MM[0] <= radius <= _RADII_MM[1]:
            return None
        fitted = Head(
            centre=centre, radius_mm=radius, residual_mm=residual, covered=float(seen.mean()), towards_neck=towards_neck
        )
    return fitted
