"""Lines, angles, circles and spheres in space; lengths in mm."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]  # one vector, shape (3,), or points, shape (n, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line: a point of it and a unit vector along it."""

    point: Array
    direction: Array

    def nearest(self, point: Array) -> Array:
        """The point of the line nearest to one in space."""
        return np.asarray(self.point + float((point - self.point) @ self.direction) * self.direction)

    def from_it(self, points: Array) -> Array:
        """What leads from the line to each point, square to it, shape (n, 3)."""
        apart = points - self.point
        return np.asarray(apart - np.outer(apart @ self.direction, self.direction))


def line_through(points: Array, along: Array) -> Line:
    """Least squares of the distances to a line; it points as `along` does."""
    middle = points.mean(axis=0)
    direction = np.linalg.svd(points - middle, full_matrices=False)[2][0]
    return Line(point=middle, direction=direction if direction @ along > 0 else -direction)


def unit(vector: Array) -> Array:
    """The same direction, of length 1."""
    return np.asarray(vector / np.linalg.norm(vector))


def square_to(vector: Array, axis: Array) -> Array:
    """The unit vector of what is left of a vector without its share along an axis."""
    return unit(vector - float(vector @ axis) * axis)


def square(normal: Array) -> tuple[Array, Array]:
    """Two unit vectors that span the plane of a normal."""
    across = unit(np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))]))
    return across, np.cross(normal, across)


def angle_deg(a: Array, b: Array) -> float:
    """Between two directions, 0 to 180 degrees."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), float(a @ b))))


def angle_seen_deg(a: Array, b: Array, view: Array) -> float:
    """The same as seen along a direction."""
    return angle_deg(square_to(a, view), square_to(b, view))


def circle_radius(points_uv: Array) -> float:
    """Radius of the least-squares circle through points of a plane, shape (n, 2) (Coope 1993)."""
    u, v = (points_uv - points_uv.mean(axis=0)).T
    (a, b, c), *_ = np.linalg.lstsq(np.column_stack([2 * u, 2 * v, np.ones_like(u)]), u**2 + v**2, rcond=None)
    return float(np.sqrt(c + a**2 + b**2))


def directions(count: int) -> Array:
    """Unit vectors spread evenly over the sphere (Fibonacci's spiral), shape (count, 3)."""
    k = np.arange(count) + 0.5
    height, turn = 1.0 - 2.0 * k / count, np.pi * (1.0 + np.sqrt(5.0)) * k
    ring = np.sqrt(1.0 - height**2)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)


def sphere_through(points: Array, centre: Array, radius: float, outlier_mm: float) -> tuple[Array, float, float]:
    """Least squares of the distances to a sphere, from a start near it; far points count less (Tukey's biweight).

    Returns: centre, radius, and the root mean square distance of the points nearer than `outlier_mm`.
    """
    for _ in range(10):
        apart = points - centre
        distance = np.linalg.norm(apart, axis=1)
        off = distance - radius
        weight = np.clip(1.0 - (off / (3.0 * outlier_mm)) ** 2, 0.0, None)
        slope = np.column_stack([apart / distance[:, None], np.ones(len(points))])
        change = np.linalg.lstsq(slope * weight[:, None], off * weight, rcond=None)[0]
        centre, radius = centre + change[:3], radius + float(change[3])
    off = np.linalg.norm(points - centre, axis=1) - radius
    kept = off[np.abs(off) < outlier_mm]
    return centre, radius, float(np.sqrt(np.mean(kept**2))) if kept.size else float("inf")
