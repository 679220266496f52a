"""Where a mesh ends flat, as no bone does: a scan ended there, or a saw cut."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull

from femseg.meshes.nearest import Corners, pieces

_FLAT_MM, _FLAT_DEG = 0.3, 10.0  # how far a flat end's triangles lie off its plane, and how far they turn from it


class _Size(NamedTuple):
    area_mm2: float
    width_mm: float  # standard deviation across: a quarter of a disc's diameter


_SMALL, _CUT = _Size(100.0, 3.0), _Size(450.0, 6.0)  # masks of 2 and 3 mm have flat steps of up to 5.1 mm
_SEED_MM2 = 2.0  # faces of the hull that are smaller are asked for nothing
_DENSE_MM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatEnd:
    """A flat place at a solid's outside.

    Attributes:
        points_mm: all over it, shape (n, 3).
        is_cut: whether it is as wide as only a scan's end or a saw's cut makes it; a small one may be a coarse voxel's.
    """

    points_mm: NDArray[np.float64]
    area_mm2: float
    is_cut: bool


def flat_ends(corners_mm: Corners) -> tuple[FlatEnd, ...]:
    """Where a solid may have been cut off by a plane, which its convex hull then has, too; no whole bone ends flat."""
    middle = corners_mm.mean(axis=(0, 1))  # far from it, planes would need more digits
    corners_mm = corners_mm - middle
    points, hull = corners_mm.reshape(-1, 3), ConvexHull(corners_mm.reshape(-1, 3))
    a, b, c = np.moveaxis(points[hull.simplices], 1, 0)
    large = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 2.0 * _SEED_MM2
    areas = np.cross(corners_mm[:, 1] - corners_mm[:, 0], corners_mm[:, 2] - corners_mm[:, 0]) / 2.0
    sizes = np.linalg.norm(areas, axis=1)
    normals = areas / np.maximum(sizes, 1e-12)[:, None]
    flat, cut = np.zeros(len(corners_mm), bool), np.zeros(len(corners_mm), bool)
    for *normal, offset in np.unique(hull.equations[large].round(4), axis=0):
        on_it = np.abs(normals @ normal) > np.cos(np.deg2rad(_FLAT_DEG))
        on_it[on_it] = np.all(np.abs(corners_mm[on_it] @ normal + offset) < _FLAT_MM, axis=1)
        for piece in _joined(corners_mm, np.flatnonzero(on_it)) if sizes[on_it].sum() > _SMALL.area_mm2 else ():
            area_mm2 = float(sizes[piece].sum())
            width_mm = _width_mm(corners_mm[piece]) if area_mm2 > _SMALL.area_mm2 else 0.0
            flat[piece] |= width_mm > _SMALL.width_mm
            cut[piece] |= area_mm2 > _CUT.area_mm2 and width_mm > _CUT.width_mm
    return tuple(
        FlatEnd(
            points_mm=pieces(corners_mm[piece], _DENSE_MM)[0].mean(axis=1) + middle,
            area_mm2=float(sizes[piece].sum()),
            is_cut=is_cut,
        )
        for chosen, is_cut in ((cut, True), (flat & ~cut, False))
        for piece in _joined(corners_mm, np.flatnonzero(chosen))
        if is_cut or sizes[piece].sum() > _SMALL.area_mm2
    )


def _joined(corners_mm: Corners, chosen: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Triangles that share corners, piece by piece."""
    if not len(chosen):
        return []
    corner = np.unique(corners_mm[chosen].reshape(-1, 3), axis=0, return_inverse=True)[1].reshape(-1, 3)
    starts, ends = corner.ravel(), np.roll(corner, -1, axis=1).ravel()
    count = int(corner.max()) + 1
    piece = connected_components(coo_array((np.ones(len(starts)), (starts, ends)), shape=(count, count)))[1]
    return [chosen[piece[corner[:, 0]] == number] for number in range(int(piece.max()) + 1)]


def _width_mm(corners_mm: Corners) -> float:
    """Standard deviation of a flat piece across its length; a quarter of a disc's diameter."""
    points = pieces(corners_mm, _DENSE_MM)[0].mean(axis=1)
    return float(np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[1] / np.sqrt(len(points)))
