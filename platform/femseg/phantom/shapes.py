"""Shapes as functions: about how far a point lies outside (positive) or inside (negative) of a shape, in mm.

All arrays are float32. Only additions, products, divisions and square roots touch voxels here, which IEEE 754 fixes to
the last bit: the mask cannot depend on what a machine's vector units make of `exp` or `sin`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Voxels = NDArray[np.floating[Any]]  # float32 at run time
Vector = tuple[float, float, float]  # lateral, posterior, superior, in mm


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Where voxels lie, in an anatomical frame in mm; the three arrays broadcast to (Z, Y, X).

    `superior_mm` always has shape (Z, 1, 1): frames turn about the body axis and shear along it, no more.
    """

    lateral_mm: Voxels
    posterior_mm: Voxels
    superior_mm: Voxels

    def __getitem__(self, where: tuple[slice, slice, slice]) -> "Points":
        """The points of a sub-box."""
        arrays = (self.lateral_mm, self.posterior_mm, self.superior_mm)
        parts = [
            array[tuple(w if n > 1 else slice(None) for w, n in zip(where, array.shape, strict=True))]
            for array in arrays
        ]
        return Points(lateral_mm=parts[0], posterior_mm=parts[1], superior_mm=parts[2])


def along(superior_mm: Voxels, *knots: tuple[float, float]) -> Voxels:
    """A quantity that changes smoothly along the body axis, constant beyond its first and last knot (height, value)."""
    heights, values = zip(*sorted(knots), strict=True)
    inside = np.clip(superior_mm.astype(np.float64), heights[0], heights[-1])
    return np.asarray(PchipInterpolator(heights, values)(inside), dtype=np.float32)


def _squared(points: Points, centre: Vector, radii: Vector) -> Voxels:
    x = (points.lateral_mm - centre[0]) / radii[0]
    y = (points.posterior_mm - centre[1]) / radii[1]
    z = (points.superior_mm - centre[2]) / radii[2]
    return x * x + y * y + z * z


def ball(points: Points, centre: Vector, radius: float) -> Voxels:
    """A ball; exact."""
    return np.asarray(np.sqrt(_squared(points, centre, (1.0, 1.0, 1.0))) - radius)


def ellipsoid(points: Points, centre: Vector, radii: Vector) -> Voxels:
    """An ellipsoid with its axes along the frame's; first-order distance, exact on the surface."""
    k = np.sqrt(_squared(points, centre, radii))
    gradient = np.sqrt(_squared(points, centre, (radii[0] ** 2, radii[1] ** 2, radii[2] ** 2)))
    return np.asarray(k * (k - 1.0) / np.maximum(gradient, 1e-6))


def rod(points: Points, start: Vector, end: Vector, start_radius: float, end_radius: float) -> Voxels:
    """A rod with rounded ends whose radius changes evenly from start to end."""
    axis = [e - s for s, e in zip(start, end, strict=True)]
    x, y, z = points.lateral_mm - start[0], points.posterior_mm - start[1], points.superior_mm - start[2]
    share = np.clip((x * axis[0] + y * axis[1] + z * axis[2]) / sum(a * a for a in axis), 0.0, 1.0)
    x, y, z = x - share * axis[0], y - share * axis[1], z - share * axis[2]
    return np.asarray(np.sqrt(x * x + y * y + z * z) - (start_radius + share * (end_radius - start_radius)))


def tube(points: Points, centre: tuple[Voxels, Voxels], radii: tuple[Voxels, Voxels]) -> Voxels:
    """An endless tube along the body axis; centre and radii (lateral, posterior) per height, shape (Z, 1, 1)."""
    x, y = points.lateral_mm - centre[0], points.posterior_mm - centre[1]
    scaled_x, scaled_y = x / radii[0], y / radii[1]
    k = np.sqrt(scaled_x * scaled_x + scaled_y * scaled_y)
    slope_x, slope_y = scaled_x / radii[0], scaled_y / radii[1]
    return np.asarray(k * (k - 1.0) / np.maximum(np.sqrt(slope_x * slope_x + slope_y * slope_y), 1e-6))


def joined(a: Voxels, b: Voxels, blend_mm: float) -> Voxels:
    """Both shapes as one, their seam rounded over `blend_mm`."""
    share = np.clip(0.5 + 0.5 * (b - a) / blend_mm, 0.0, 1.0)
    return np.asarray(b + share * (a - b) - blend_mm * share * (1.0 - share))


def carved(shape: Voxels, hollow: Voxels, blend_mm: float) -> Voxels:
    """A shape without what lies in the hollow, the edge rounded over `blend_mm`."""
    return -joined(-shape, hollow, blend_mm)


def coverage(distance_mm: Voxels, edge_mm: float) -> Voxels:
    """Partial volume: the share of each voxel that the shape fills, falling from 1 to 0 over `edge_mm`."""
    return np.asarray(np.clip(0.5 - distance_mm / edge_mm, 0.0, 1.0))


def paint(hu_zyx: Voxels, share: Voxels, material_hu: Voxels | float) -> None:
    """Lay a material over what is there, in place: each voxel becomes the mixture by its share."""
    hu_zyx += share * (material_hu - hu_zyx)
