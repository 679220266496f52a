"""The shaft: the centres of its sections, the lines through them, and the lesser trochanter at its upper end."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks, peak_widths

from femseg.measurements.bone import Bone
from femseg.measurements.head import Head
from femseg.measurements.lines import Array, Line, line_through, square_to

_WIDER = 1.5  # than the narrow part of the bone: no longer shaft
_COARSE_STEP_MM = 4.0
LEAST_SHAFT_MM = 50.0
_ROUNDS = 3
_TROCHANTER_BELOW_HEAD = (1.2, 5.0)  # in radii of the head
_TROCHANTER_DEG = range(20, 111, 10)  # behind the neck's azimuth, about the shaft
_LEAST_PROMINENCE_MM = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LesserTrochanter:
    """The lesser trochanter.

    Attributes:
        tip: its point furthest from the shaft's axis, at half the height between its edges.
        width_mm: along the shaft, at half its height; its upper edge lies about as far above the tip.
        posterior: the direction square to the shaft, and to the neck as seen along the shaft, in which it lies.
    """

    tip: Array
    width_mm: float
    posterior: Array


def narrow_part(bone: Bone, towards: Array) -> Line | None:
    """The axis of the bone's narrow part, found from its own sections; None where there are less than 50 mm of it.

    Args:
        towards: which way the line is to point.
    """
    thinned = bone.surface[:: max(1, len(bone.surface) // 20_000)]
    axis = line_through(thinned, towards)
    for _ in range(_ROUNDS):
        height = (thinned - axis.point) @ axis.direction
        levels = np.arange(height.min() + 3.0, height.max() - 3.0, _COARSE_STEP_MM)
        cuts = [bone.cut(axis.point + level * axis.direction, axis.direction, step_mm=1.5) for level in levels]
        areas = np.array([cut.area_mm2 if cut else np.inf for cut in cuts])
        first, last = _longest_run(areas < _WIDER * np.percentile(areas, 15))
        if (last - first) * _COARSE_STEP_MM < LEAST_SHAFT_MM:
            return None
        axis = line_through(np.array([cut.centre for cut in cuts[first:last] if cut]), axis.direction)
    return axis


def _longest_run(flags: Array) -> tuple[int, int]:
    """Where the longest run of true values begins, and the index behind it."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    runs = edges.reshape(-1, 2)
    first, last = runs[int(np.argmax(runs[:, 1] - runs[:, 0]))].tolist() if len(runs) else (0, 0)
    return first, last


def centres_between(bone: Bone, axis: Line, low_mm: float, high_mm: float, step_mm: float = 2.0) -> Array:
    """Centres of the sections square to an axis, shape (n, 3), upwards; heights are from the axis's point."""
    levels = np.arange(low_mm, high_mm + step_mm / 2, step_mm)
    cuts = [bone.cut(axis.point + level * axis.direction, axis.direction, reach_mm=40.0) for level in levels]
    return np.array([cut.centre for cut in cuts if cut])


def shaft_line(bone: Bone, axis: Line, low: Array, high: Array) -> Line:
    """The line through the centres of the shaft's sections between the heights of two points; found from a start."""
    for _ in range(_ROUNDS):
        heights = [float((point - axis.point) @ axis.direction) for point in (low, high)]
        axis = line_through(centres_between(bone, axis, *heights), axis.direction)
    return axis


def lesser_trochanter(bone: Bone, head: Head, axis: Line) -> LesserTrochanter | None:
    """The bump of the bone's outline behind the neck, or in front of it where a mask is mirrored; None without one.

    Args:
        axis: of the shaft near its upper end, pointing upwards.
    """
    medial = square_to(axis.from_it(head.centre[None])[0], axis.direction)
    turned = np.cross(axis.direction, medial)
    depth = (head.centre - bone.surface) @ axis.direction
    radial = axis.from_it(bone.surface)
    above, below = (radii * head.radius_mm for radii in _TROCHANTER_BELOW_HEAD)
    levels = np.arange(above, below, 1.0)
    level_of = np.digitize(depth, levels) - 1
    within = (level_of >= 0) & (level_of < len(levels) - 1)
    best: tuple[float, float, Array, Array] | None = None
    for degrees in (*_TROCHANTER_DEG, *(-d for d in _TROCHANTER_DEG)):
        towards = np.cos(np.deg2rad(degrees)) * medial + np.sin(np.deg2rad(degrees)) * turned
        outline = np.full(len(levels) - 1, -np.inf)
        np.maximum.at(outline, level_of[within], radial[within] @ towards)
        outline = np.maximum(outline, 0.0)
        peaks, found = find_peaks(outline, prominence=_LEAST_PROMINENCE_MM)
        for peak, prominence in zip(peaks.tolist(), found["prominences"].tolist(), strict=True):
            if best is None or prominence > best[0]:
                _, _, half_up, half_down = (float(w[0]) for w in peak_widths(outline, [peak], rel_height=0.5))
                middle = 0.5 * (half_up + half_down)
                depth_mm = levels[0] + 0.5 + middle
                foot = axis.nearest(head.centre) - depth_mm * axis.direction
                tip = foot + float(outline[peak]) * towards
                best = (prominence, half_down - half_up, tip, turned if degrees > 0 else -turned)
    if best is None:
        return None
    return LesserTrochanter(tip=best[2], width_mm=best[1], posterior=best[3])
