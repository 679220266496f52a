"""What a mesh encloses, as a mask: so what is measured on a mask is measured on a mesh, too."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.meshes.nearest import Corners
from femseg.volumes.grid import MaskVolume, VoxelGrid

MESH_VOXEL_MM = 0.8
_MARGIN = 2  # voxels
_MOST_VOXELS = 300_000_000  # two legs have a third of it


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
