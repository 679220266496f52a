"""What a mesh encloses as a mask, and where it ends flat: what is measured on a mask is measured on a mesh, too."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull

from femseg.meshes.nearest import Corners, pieces
from femseg.volumes.grid import MaskVolume, VoxelGrid

MESH_VOXEL_MM = 0.8
_MARGIN = 2.37  # voxels; odd, so that hardly a corner of a mesh lies above a voxel's centre
_FLAT_MM, _FLAT_DEG = 0.1, 3.0  # how far a flat end's triangles lie off its plane, and how far they turn from it
_LEAST_MM2, _LEAST_WIDE_MM = 450.0, 6.0  # of a disc of 24 mm; masks of 2 to 3 mm have flat steps of up to 5.1
_SEED_MM2 = 2.0  # faces of the hull that are smaller are asked for nothing
_DENSE_MM = 1.0


def filled(corners_mm: Corners, spacing_mm: float) -> MaskVolume:
    """The voxels that a closed surface winds round, in LPS.

    Along each column of voxels the surface is entered and left; the sum of both tells how often it winds round a place.
    So solids may overlap, and may be turned inside out, but for each other.

    Args:
        corners_mm: of triangles in LPS, shape (m, 3, 3).
        spacing_mm: edge of a voxel.
    Raises: ValueError if the surface is open, its triangles are not turned alike, or it holds no voxel.
    """
    low, high = corners_mm.min(axis=(0, 1)), corners_mm.max(axis=(0, 1))
    x_0, y_0, z_0 = (low - _MARGIN * spacing_mm).tolist()
    nx, ny, nz = np.ceil((high - low) / spacing_mm + 2.0 * _MARGIN).astype(int).tolist()
    winding_zyx = np.zeros((nz, ny, nx), np.int16)
    np.add.at(winding_zyx, *_crossings((corners_mm - (x_0, y_0, z_0)) / spacing_mm))
    np.cumsum(winding_zyx, axis=0, out=winding_zyx)
    if winding_zyx[-1].any():
        raise ValueError("it is not closed, or its triangles are not turned alike")
    if not winding_zyx.any():
        raise ValueError("no voxel lies in it")
    grid = VoxelGrid(shape_zyx=(nz, ny, nx), spacing_mm_zyx=(spacing_mm,) * 3, origin_mm_xyz=(x_0, y_0, z_0))
    return MaskVolume(femur_zyx=winding_zyx != 0, grid=grid)


def _crossings(corners: Corners) -> tuple[tuple[NDArray[np.intp], ...], NDArray[np.int16]]:
    """Where columns of voxels cross triangles: the first voxel above, (z, y, x), and whether the solid begins there.

    Args:
        corners: as fractional indices (x, y, z).
    """
    first = np.ceil(corners[..., :2].min(axis=1)).astype(int)
    count = np.maximum(np.floor(corners[..., :2].max(axis=1)).astype(int) - first + 1, 0)
    columns = count.prod(axis=1)
    of = np.repeat(np.arange(len(corners)), columns)
    number = np.arange(len(of)) - np.repeat(np.cumsum(columns) - columns, columns)
    places = first[of] + np.column_stack([number % count[of, 0], number // count[of, 0]])
    shares = np.stack([_turn(places, corners[of, k - 2], corners[of, k - 1]) for k in range(3)], axis=1)
    total = shares.sum(axis=1)
    above = np.all(shares * np.sign(total)[:, None] > 0.0, axis=1)
    heights = np.sum(shares[above] * corners[of[above], :, 2], axis=1) / total[above]
    x, y = places[above].T
    return (np.ceil(heights).astype(int), y, x), -np.sign(total[above]).astype(np.int16)


def _turn(places: NDArray[np.intp], start: Corners, end: Corners) -> NDArray[np.float64]:
    """Twice the area of the triangle that an edge spans with a place, seen along z; positive to the edge's left."""
    (ax, ay), (bx, by), (px, py) = start[:, :2].T, end[:, :2].T, places.T
    return np.asarray((bx - ax) * (py - ay) - (by - ay) * (px - ax))


def flat_ends(corners_mm: Corners) -> NDArray[np.float64]:
    """Points on the flat ends of a solid: no bone ends flat, so that a scan or a saw ended there; shape (n, 3).

    Such an end lies on the solid's convex hull, which leaves few planes to look at. One of
    less than 24 mm across goes unnoticed, as of 3 mm of a head.
    """
    middle = corners_mm.mean(axis=(0, 1))  # far from it, planes would need more digits
    corners_mm = corners_mm - middle
    points, hull = corners_mm.reshape(-1, 3), ConvexHull(corners_mm.reshape(-1, 3))
    a, b, c = np.moveaxis(points[hull.simplices], 1, 0)
    large = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 2.0 * _SEED_MM2
    areas = np.cross(corners_mm[:, 1] - corners_mm[:, 0], corners_mm[:, 2] - corners_mm[:, 0]) / 2.0
    sizes = np.linalg.norm(areas, axis=1)
    normals = areas / np.maximum(sizes, 1e-12)[:, None]
    flat = np.zeros(len(corners_mm), bool)
    for *normal, offset in np.unique(hull.equations[large].round(4), axis=0):
        on_it = np.abs(normals @ normal) > np.cos(np.deg2rad(_FLAT_DEG))
        on_it[on_it] = np.all(np.abs(corners_mm[on_it] @ normal + offset) < _FLAT_MM, axis=1)
        if sizes[on_it].sum() > _LEAST_MM2:
            for piece in _joined(corners_mm, np.flatnonzero(on_it)):
                if sizes[piece].sum() > _LEAST_MM2 and _width_mm(corners_mm[piece]) > _LEAST_WIDE_MM:
                    flat[piece] = True
    return pieces(corners_mm[flat], _DENSE_MM)[0].mean(axis=1) + middle if flat.any() else np.zeros((0, 3))


def _joined(corners_mm: Corners, chosen: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Triangles that share corners, piece by piece."""
    corner = np.unique(corners_mm[chosen].reshape(-1, 3), axis=0, return_inverse=True)[1].reshape(-1, 3)
    starts, ends = corner.ravel(), np.roll(corner, -1, axis=1).ravel()
    count = int(corner.max()) + 1
    piece = connected_components(coo_array((np.ones(len(starts)), (starts, ends)), shape=(count, count)))[1]
    return [chosen[piece[corner[:, 0]] == number] for number in range(int(piece.max()) + 1)]


def _width_mm(corners_mm: Corners) -> float:
    """Standard deviation of a flat piece across its length; a quarter of a disc's diameter."""
    points = pieces(corners_mm, _DENSE_MM)[0].mean(axis=1)
    return float(np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[1] / np.sqrt(len(points)))
