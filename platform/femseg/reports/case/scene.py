"""What the page's viewer loads: the CT round the femora, their mask on the same voxels, and meshes with colours."""

import gzip
import struct
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from femseg.intake.preview import WINDOW_HU
from femseg.meshes.mesh import TriangleMesh
from femseg.volumes.grid import CtVolume, LabelVolume, VoxelGrid, to_lps, voxels_where_crossing
from femseg.volumes.resample import resampled

SCENE_MM = 1.5
_MOST_VOXELS = 3_000_000  # about 2 MB of the page
_MZ3_MAGIC, _MZ3_FACES, _MZ3_VERTICES, _MZ3_RGBA = 0x5A4D, 1, 2, 4


def cropped(ct: CtVolume, labels: LabelVolume, margin_mm: float) -> tuple[CtVolume, LabelVolume]:
    """Views of both in LPS order, of the box round all that is labelled and a margin; of everything if nothing is.

    Args:
        labels: on the CT's grid.
    """
    hu_zyx, grid = to_lps(ct.hu_zyx, ct.grid)
    labels_zyx, _ = to_lps(labels.labels_zyx, labels.grid)
    box = tuple(_range(labels_zyx, axis, margin_mm / grid.spacing_mm_zyx[axis]) for axis in range(3))
    z, y, x = (part.start for part in box)
    shape = tuple(part.stop - part.start for part in box)
    origin = tuple(grid.position_mm_xyz((z, y, x)).tolist())
    own = replace(grid, shape_zyx=shape, origin_mm_xyz=origin)
    return CtVolume(hu_zyx=hu_zyx[box], grid=own), LabelVolume(labels_zyx=labels_zyx[box], grid=own)


def _range(labels_zyx: NDArray[np.uint8], axis: int, margin: float) -> slice:
    filled = np.flatnonzero(labels_zyx.any(axis=tuple(other for other in range(3) if other != axis)))
    if not filled.size:
        return slice(0, labels_zyx.shape[axis])
    return slice(max(0, int(filled[0] - margin)), min(labels_zyx.shape[axis], int(filled[-1] + margin) + 1))


def scene_grid(grid: VoxelGrid) -> VoxelGrid:
    """The same box in voxels of 1.5 mm, or in as many as a page can carry; never finer than the CT."""
    edge_mm = max(SCENE_MM, (float(np.prod(grid.extent_mm_zyx)) / _MOST_VOXELS) ** (1 / 3))
    shape = tuple(
        min(n, max(1, round(n * spacing / edge_mm)))
        for n, spacing in zip(grid.shape_zyx, grid.spacing_mm_zyx, strict=True)
    )
    return grid.resized(shape)


def ct_nrrd(ct: CtVolume, grid: VoxelGrid) -> bytes:
    """A CT as grey values 0 … 255 of the usual bone window, on a grid that fills the same box, as an NRRD file."""
    low, high = WINDOW_HU

    def hu(indices: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]) -> NDArray[np.float32]:
        return np.asarray(np.nan_to_num(voxels_where_crossing(ct.hu_zyx, indices), nan=low))

    drawn = resampled(hu, ct.grid.shape_zyx, grid.shape_zyx, anti_aliasing=True)
    return _nrrd(np.clip((drawn - low) / (high - low) * 255.0, 0.0, 255.0).astype(np.uint8), grid)


def labels_nrrd(labels: LabelVolume, grid: VoxelGrid) -> bytes:
    """Labels at the nearest voxel, on a grid that fills the same box, as an NRRD file."""
    z, y, x = (
        np.minimum((2 * np.arange(n_out) + 1) * n_in // (2 * n_out), n_in - 1)
        for n_in, n_out in zip(labels.grid.shape_zyx, grid.shape_zyx, strict=True)
    )
    return _nrrd(voxels_where_crossing(labels.labels_zyx, (z, y, x)), grid)


def _nrrd(array_zyx: NDArray[np.uint8], grid: VoxelGrid) -> bytes:
    """Version 4 of NRRD (teem.sourceforge.net/nrrd/format.html), x fastest, in LPS; the same voxels, the same bytes."""
    axes = np.array(grid.direction_xyz).reshape(3, 3) * np.array(grid.spacing_mm_zyx[::-1])
    directions = " ".join(f"({','.join(f'{value:.9g}' for value in axes[:, axis])})" for axis in range(3))
    header = [
        "NRRD0004",
        "type: uint8",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, grid.shape_zyx[::-1]))}",
        f"space directions: {directions}",
        "kinds: domain domain domain",
        "encoding: gzip",
        f"space origin: ({','.join(f'{value:.9g}' for value in grid.origin_mm_xyz)})",
    ]
    return "\n".join(header).encode() + b"\n\n" + gzip.compress(np.ascontiguousarray(array_zyx).tobytes(), mtime=0)


def mz3(mesh: TriangleMesh, colours_rgb: NDArray[np.uint8]) -> bytes:
    """A mesh with a colour at each vertex (n, 3), in RAS millimetres, as an MZ3 file (of Surf Ice)."""
    vertices, opaque = mesh.vertices_in("RAS"), np.full((len(colours_rgb), 1), 255, np.uint8)
    header = struct.pack(
        "<HHIII", _MZ3_MAGIC, _MZ3_FACES | _MZ3_VERTICES | _MZ3_RGBA, len(mesh.triangles), len(vertices), 0
    )
    parts = (mesh.triangles.astype("<i4"), vertices.astype("<f4"), np.hstack([colours_rgb, opaque]))
    return gzip.compress(header + b"".join(part.tobytes() for part in parts), mtime=0)
