"""The surface of a probability, or of a mask that is softened first: never the staircase of voxels."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array, diags_array
from skimage.measure import marching_cubes

from femseg.meshes.mesh import TriangleMesh
from femseg.volumes.grid import MaskVolume, VoxelGrid

SOFTENED_MM = 0.8
_REACH = 4.0  # standard deviations of the Gaussian
_LEVELS, _TRIES, _SAME_VOLUME = (0.2, 0.6), 4, 5e-4
_OFF_LEVEL = 1e-4  # of the field's range: no vertex falls on a voxel's centre, where triangles would have no area
_TAUBIN = (0.5, -0.51)  # lambda and mu of Taubin 1995: a step inwards, then a slightly longer one outwards


def mask_surface(mask: MaskVolume, softened_mm: float = SOFTENED_MM) -> TriangleMesh:
    """The surface of a mask that is blurred by a Gaussian first; it encloses as much as the mask's voxels.

    A blurred surface lies inside of the mask where it bulges, the more the thinner a bone is. So it is
    taken a little below one half, at the level that brings this back.

    Args:
        softened_mm: standard deviation; 0 leaves 0 and 1, and their steps.
    Raises: ValueError if the mask is empty, or so thin that nothing of it is left.
    """
    sigma_zyx = softened_mm / np.array(mask.grid.spacing_mm_zyx)
    field, grid = _in_its_box(mask, np.ceil(_REACH * sigma_zyx).astype(int))
    if softened_mm == 0:
        return surface(field, grid)
    field = ndimage.gaussian_filter(field, sigma_zyx, mode="constant", truncate=_REACH)
    wanted_mm3 = float(np.count_nonzero(mask.femur_zyx)) * grid.voxel_volume_mm3
    level, before = 0.5, 0.45
    made, other = surface(field, grid, level), surface(field, grid, before)
    for _ in range(_TRIES):
        if abs(made.volume_mm3 / wanted_mm3 - 1.0) < _SAME_VOLUME or level == before:
            break
        slope = (made.volume_mm3 - other.volume_mm3) / (level - before)
        before, other = level, made
        level = float(np.clip(level + (wanted_mm3 - made.volume_mm3) / min(slope, -1e-9), *_LEVELS))
        made = surface(field, grid, level)
    return made


def _in_its_box(mask: MaskVolume, margin_zyx: NDArray[np.integer[Any]]) -> tuple[NDArray[np.float32], VoxelGrid]:
    """A mask as 0 and 1, cropped to what it shows and padded by a margin."""
    box = ndimage.find_objects(mask.femur_zyx.view(np.int8))
    if not box:
        raise ValueError("the mask is empty")
    field = np.pad(mask.femur_zyx[box[0]], [(n, n) for n in margin_zyx]).astype(np.float32)
    z, y, x = (float(part.start - n) for part, n in zip(box[0], margin_zyx, strict=True))
    origin = tuple(mask.grid.position_mm_xyz((z, y, x)).tolist())
    return field, replace(mask.grid, shape_zyx=field.shape, origin_mm_xyz=origin)


def surface(field_zyx: NDArray[np.floating[Any]], grid: VoxelGrid, level: float = 0.5) -> TriangleMesh:
    """Where a field crosses a level, closed at the ends of its grid, in patient coordinates.

    Args:
        field_zyx: a probability, or what `softened` gives; greater inside.
        grid: of the same shape, of any orientation, mirrored ones included.
    Raises: ValueError if the shapes disagree, or the field does not reach the level.
    Source: Lewiner et al. 2003, "Efficient implementation of marching cubes' cases with topological guarantees", as in
        scikit-image.
    """
    if field_zyx.shape != grid.shape_zyx:
        raise ValueError(f"field shape {field_zyx.shape} does not match grid {grid.shape_zyx} (z, y, x)")
    if not field_zyx.max() > level:
        raise ValueError(f"the field is nowhere above {level:.3g}, its greatest value is {field_zyx.max():.3g}")
    padded = np.pad(field_zyx, 1).astype(np.float32)
    padded[np.abs(padded - level) < _OFF_LEVEL] = level + _OFF_LEVEL
    indices_zyx, triangles, _, _ = marching_cubes(padded, level)
    mirrored = np.linalg.det(np.array(grid.direction_xyz).reshape(3, 3)) < 0
    return TriangleMesh(
        vertices_mm_xyz=grid.positions_mm_xyz(indices_zyx.astype(np.float64) - 1.0),
        triangles=triangles[:, :: -1 if mirrored else 1].astype(np.int64),
    )


def smoothed(mesh: TriangleMesh, iterations: int) -> TriangleMesh:
    """Taubin's smoothing: evens out what is rough and keeps the volume, which Laplacian smoothing shrinks.

    Source: Taubin 1995, "A signal processing approach to fair surface design", with equal weights.
    """
    vertices = mesh.vertices_mm_xyz
    ends = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    edges = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(vertices),) * 2).tocsr()
    mean_of_neighbours = diags_array(1.0 / edges.sum(axis=1)) @ edges
    for _ in range(iterations):
        for share in _TAUBIN:
            vertices = vertices + share * (mean_of_neighbours @ vertices - vertices)
    return TriangleMesh(vertices_mm_xyz=vertices, triangles=mesh.triangles)
