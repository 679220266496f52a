"""Exact distances from points to triangles."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from femseg.meshes.mesh import Points

Corners = NDArray[np.float64]  # (m, 3, 3): triangle, corner, coordinate
Distances = NDArray[np.float64]
PIECES_MM = 2.0  # of triangles that differ much in size
_CANDIDATES = 8
_AT_ONCE = 1 << 12


def pieces(corners: Corners, longest_mm: float) -> tuple[Corners, NDArray[np.intp]]:
    """Triangles cut in two at their longest edge until no edge is longer than `longest_mm`.

    Returns: corners of the pieces, and the triangle that each is of.
    """
    owner = np.arange(len(corners))
    done: list[tuple[Corners, NDArray[np.intp]]] = []
    while len(corners):
        lengths = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
        longest = lengths.argmax(axis=1)
        small = lengths.max(axis=1) <= longest_mm
        done.append((corners[small], owner[small]))
        order = (longest[~small, None] + np.arange(3)) % 3  # the longest edge comes first
        a, b, c = np.moveaxis(np.take_along_axis(corners[~small], order[:, :, None], axis=1), 1, 0)
        middle = (a + b) / 2
        corners = np.concatenate([np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)])
        owner = np.tile(owner[~small], 2)
    return np.concatenate([part for part, _ in done]), np.concatenate([of for _, of in done])


def distances_to_triangles(points: Points, corners: Corners) -> Distances:
    """Distance of each point to the nearest of these triangles.

    They are cut into pieces of like size first, and those with the nearest centres are measured. Any other is farther
    away than the last of these centres less the greatest distance from a centre to its corners; where that does not
    prove them enough, four times as many are taken the next time.
    """
    corners, _ = pieces(corners, PIECES_MM)
    centres = corners.mean(axis=1)
    reach = float(np.linalg.norm(corners - centres[:, None], axis=2).max())
    tree, distances = cKDTree(centres), np.empty(len(points))
    for first in range(0, len(points), _AT_ONCE):
        unproven = np.arange(first, min(first + _AT_ONCE, len(points)))
        candidates = min(_CANDIDATES, len(centres))
        while len(unproven):
            apart, chosen = tree.query(points[unproven], k=np.arange(1, candidates + 1), workers=-1)
            least = _to_triangle(points[unproven][:, None], corners[chosen]).min(axis=1)
            distances[unproven] = least
            if candidates == len(centres):
                break
            unproven = unproven[least > apart[:, -1] - reach]
            candidates = min(4 * candidates, len(centres))
    return distances


def _to_triangle(points: NDArray[np.float64], corners: NDArray[np.float64]) -> Distances:
    """Distances of points (…, 3) to triangles (…, 3, 3): to the plane above a triangle, else to its nearest edge."""
    a = corners[..., 0, :]
    normal = np.cross(corners[..., 1, :] - a, corners[..., 2, :] - a)
    squared = _dot(normal, normal)
    above = np.full(np.broadcast_shapes(points.shape, a.shape)[:-1], True) & (squared > 0)
    least = np.full(above.shape, np.inf)
    for k in range(3):
        start = corners[..., k, :]
        edge, to_point = corners[..., (k + 1) % 3, :] - start, points - start
        length = _dot(edge, edge)
        share = np.clip(_dot(to_point, edge) / np.where(length > 0, length, 1.0), 0.0, 1.0)
        off = to_point - share[..., None] * edge
        least = np.minimum(least, _dot(off, off))
        above &= _dot(np.cross(edge, to_point), normal) >= 0
    height = _dot(points - a, normal) ** 2 / np.where(squared > 0, squared, 1.0)
    return np.sqrt(np.where(above, height, least))


def _dot(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("...i,...i->...", a, b))
