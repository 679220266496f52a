"""The medullary canal and the cortex round it, from the HU inside of the mask, square to the shaft.

Along each ray from the canal's middle, the cortex is the highest HU near the mask's edge. Its inner edge is where HU
are half-way between the marrow's and that; its outer edge where they are half-way down to what lies outside (half
maximum: Prevrhal et al. 1999; a cortex thinner than about 2 mm comes out too thick, for the scanner's blur fills it).
"""

from dataclasses import dataclass

import numpy as np

from femseg.measurements.bone import Bone, sampled
from femseg.measurements.lines import Array, Line
from femseg.volumes.grid import CtVolume

_RAYS = 72
_STEP_MM = 0.2
_REACH_MM = 45.0
_OUTSIDE_MM = 4.0  # beyond the mask's edge
_SLAB_MM = (-3.0, -1.5, 0.0, 1.5, 3.0)  # along the shaft, averaged against noise
_MARROW_SHARE = 0.3  # of the way to the mask's edge
_LEAST_CONTRAST_HU = 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CanalSection:
    """The canal in one section.

    Attributes:
        centre: of the canal.
        diameter_mm: of the circle of the canal's area.
        cortex_mm: thickness of the cortex, the median of all directions.
        inner, outer: points of the cortex's edges, one for each ray, shape (72, 3).
    """

    centre: Array
    diameter_mm: float
    cortex_mm: float
    inner: Array
    outer: Array

    def width_mm(self, along: Array) -> float:
        """Between the canal's two walls in a direction."""
        return float(np.ptp(self.inner @ along))


def canal_section(bone: Bone, ct: CtVolume, axis: Line, level: Array) -> CanalSection | None:
    """The canal where a plane square to an axis passes through `level`; None where no cortex stands out of the HU.

    Args:
        ct: of the mask's place; its grid may be another.
    """
    cut = bone.cut(level, axis.direction)
    if cut is None:
        return None
    centre = cut.centre
    for _ in range(2):  # from the bone's middle, then from the canal's
        rays = [
            _edges_mm(profile, inside) for profile, inside in _profiles(bone, ct, axis, centre, cut.across, cut.along)
        ]
        found = np.array([ray if ray else (np.nan, np.nan) for ray in rays])
        if np.isnan(found[:, 0]).mean() > 0.25:
            return None
        inner_mm, outer_mm = (_closed(column) for column in found.T)
        turns = _turns(cut.across, cut.along)
        inner = centre + inner_mm[:, None] * turns
        section = CanalSection(
            centre=inner.mean(axis=0),
            diameter_mm=float(2.0 * np.sqrt(np.mean(inner_mm**2))),
            cortex_mm=float(np.median(outer_mm - inner_mm)),
            inner=inner,
            outer=centre + outer_mm[:, None] * turns,
        )
        centre = section.centre
    return section


def _turns(across: Array, along: Array) -> Array:
    angles = 2.0 * np.pi * np.arange(_RAYS)[:, None] / _RAYS
    return np.asarray(np.cos(angles) * across + np.sin(angles) * along)


def _profiles(
    bone: Bone, ct: CtVolume, axis: Line, centre: Array, across: Array, along: Array
) -> list[tuple[Array, Array]]:
    """HU and share of bone along each ray, every 0.2 mm, averaged over a slab of the shaft."""
    distances = np.arange(0.0, _REACH_MM, _STEP_MM)
    rays = centre + distances[None, :, None] * _turns(across, along)[:, None, :]
    hu = np.mean([sampled(ct.hu_zyx, ct.grid, (rays + up * axis.direction).reshape(-1, 3)) for up in _SLAB_MM], axis=0)
    share = bone.filled(rays.reshape(-1, 3))
    return list(zip(hu.reshape(_RAYS, -1), share.reshape(_RAYS, -1), strict=True))


def _edges_mm(hu: Array, share: Array) -> tuple[float, float] | None:
    """Where the cortex begins and ends on one ray; None without one."""
    outside = np.flatnonzero(share < 0.5)
    if not outside.size or outside[0] < 10:
        return None
    edge, beyond = int(outside[0]), round(_OUTSIDE_MM / _STEP_MM)
    marrow = float(np.median(hu[: max(3, int(_MARROW_SHARE * edge))]))
    start = edge // 2
    peak = start + int(np.argmax(hu[start : edge + beyond // 2]))
    tissue = float(hu[peak : edge + beyond].min())
    if hu[peak] - max(marrow, tissue) < _LEAST_CONTRAST_HU:
        return None
    inner, outer = 0.5 * (hu[peak] + marrow), 0.5 * (hu[peak] + tissue)
    below = np.flatnonzero(hu[:peak] < inner)
    after = np.flatnonzero(hu[peak:] < outer)
    if not below.size or not after.size:
        return None
    return _crossing(hu, int(below[-1]), inner), _crossing(hu, peak + int(after[0]) - 1, outer)


def _crossing(hu: Array, before: int, level: float) -> float:
    return _STEP_MM * (before + float((level - hu[before]) / (hu[before + 1] - hu[before])))


def _closed(around_mm: Array) -> Array:
    """Radii of all rays: those that found nothing, or stand out of their neighbours, from their neighbours."""
    known = ~np.isnan(around_mm)
    places = np.arange(len(around_mm))
    filled = np.interp(places, places[known], around_mm[known], period=len(around_mm))
    windows = np.stack([np.roll(filled, k) for k in range(-2, 3)])
    return np.asarray(np.median(windows, axis=0))
