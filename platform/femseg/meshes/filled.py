"""What a mesh encloses as a mask, and where it ends flat: what is measured on a mask is measured on a mesh, too."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull

from femseg.meshes.nearest import Corners, pieces
from femseg.volumes.grid import MaskVolume, VoxelGrid

MESH_VOXEL_MM = 0.8
_MARGIN = 2  # voxels
_MOST_VOXELS = 300_000_000  # two legs have a third of it
_FLAT_MM, _FLAT_DEG = 0.3, 10.0  # how far a flat end's triangles lie off its plane, and how far they turn from it


class _Size(NamedTuple):
    area_mm2: float
    width_mm: float  # standard deviation across: a quarter of a disc's diameter


_SMALL, _CUT = _Size(100.0, 3.0), _Size(450.0, 6.0)  # masks of 2 and 3 mm have flat steps of up to 5.1 mm
_SEED_MM2 = 2.0  # faces of the hull that are smaller are asked for nothing
_DENSE_MM = 1.0


def filled(corners_mm: Corners, spacing_mm: float) -> MaskVolume:
    """The voxels that a closed surface winds round, in LPS.

    Along each column of voxels the surface is entered and left; the sum of both tells how often it winds round a place.
    So solids may overlap, and may be turned inside out, but for each other.

    Args:
        corners_mm: of triangles in LPS, shape (m, 3, 3).
        spacing_mm: edge of a voxel.
    Raises: ValueError if the surface is open, its triangles are not turned alike, it holds no voxel, or too many.
    """
    low, high = corners_mm.min(axis=(0, 1)), corners_mm.max(axis=(0, 1))
    x_0, y_0, z_0 = (low - _MARGIN * spacing_mm).tolist()
    nx, ny, nz = np.ceil((high - low) / spacing_mm + 2 * _MARGIN).astype(int).tolist()
    if nx * ny * nz > _MOST_VOXELS:
        raise ValueError(f"its parts are spread over {' × '.join(f'{edge:.0f}' for edge in high - low)} mm")
    winding_zyx = np.zeros((nz, ny, nx), np.int16)
    np.add.at(winding_zyx, *_crossings((corners_mm - (x_0, y_0, z_0)) / spacing_mm))
    np.cumsum(winding_zyx, axis=0, out=winding_zyx)
    if winding_zyx[-1].any():
        raise ValueError("it is not closed, or its triangles are not turned alike")
    if not winding_zyx.any():
        raise ValueError("no voxel lies in it")
    grid = VoxelGrid(shape_zyx=(nz, ny, nx), spacing_mm_zyx=(spacing_mm,) * 3, origin_mm_xyz=(x_0, y_0, z_0))
    return MaskVolume(femur_zyx=winding_zyx != 0, grid=grid)


def without_cavities(mask: MaskVolume) -> tuple[MaskVolume, float]:
    """A mask with what it encloses on all sides, and how many ml that is."""
    outside, _ = ndimage.label(np.pad(~mask.femur_zyx, 1, constant_values=True))
    full_zyx = (outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1]
    more = int(np.count_nonzero(full_zyx)) - int(np.count_nonzero(mask.femur_zyx))
    return MaskVolume(femur_zyx=full_zyx, grid=mask.grid), more * mask.grid.voxel_volume_mm3 / 1000.0


def _crossings(corners: Corners) -> tuple[tuple[NDArray[np.intp], ...], NDArray[np.int16]]:
    """Where columns of voxels cross triangles: the first voxel above, (z, y, x), and whether the solid begins there.

    A column that meets an edge is taken to pass a little beside it, and so crosses one of its two triangles.

    Args:
        corners: as fractional indices (x, y, z).
    """
    first = np.ceil(corners[..., :2].min(axis=1)).astype(int)
    count = np.maximum(np.floor(corners[..., :2].max(axis=1)).astype(int) - first + 1, 0)
    columns = count.prod(axis=1)
    of = np.repeat(np.arange(len(corners)), columns)
    number = np.arange(len(of)) - np.repeat(np.cumsum(columns) - columns, columns)
    places = first[of] + np.column_stack([number % count[of, 0], number // count[of, 0]])
    edges = [_side_of(places, corners[of, k - 2], corners[of, k - 1]) for k in range(3)]
    areas, sides = (np.stack(part, axis=1) for part in zip(*edges, strict=True))
    crossed = np.abs(sides.sum(axis=1)) == 3
    z = corners[of[crossed], :, 2]
    heights = np.sum(areas[crossed] * z, axis=1) / areas[crossed].sum(axis=1)
    above = np.ceil(np.clip(heights, z.min(axis=1), z.max(axis=1))).astype(int)
    x, y = places[crossed].T
    return (above, y, x), -sides[crossed, 0]


def _side_of(places: NDArray[np.intp], start: Corners, end: Corners) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Seen along z, twice the area that an edge spans with a place, positive to its left, and on which side that lies.

    Both triangles at an edge are told the opposite, to the last bit: it is looked at from the same end.
    """
    (ax, ay), (bx, by), (px, py) = start[:, :2].T, end[:, :2].T, places.T
    back = (ax > bx) | ((ax == bx) & (ay > by))
    ax, ay, bx, by = (np.where(back, b, a) for a, b in ((ax, bx), (ay, by), (bx, ax), (by, ay)))
    area = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
    side = np.sign(area) + (area == 0) * (np.sign(ay - by) + (ay == by) * np.sign(bx - ax))
    turned = np.where(back, -1, 1)
    return area * turned, (side * turned).astype(np.int16)


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
