"""How far a mesh lies from its mask's surface, in both senses, and how much its volume drifts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.meshes.mesh import TriangleMesh
from femseg.meshes.nearest import PIECES_MM, distances_to_triangles, pieces
from femseg.meshes.surface import mask_surface
from femseg.volumes.grid import MaskVolume

NEAR_MM = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """Of the distances in one sense: mean, 95th percentile, greatest, in mm."""

    mean_mm: float
    p95_mm: float
    max_mm: float

    @classmethod
    def of(cls, distances_mm: NDArray[np.float64]) -> "Distances":
        """Of all distances."""
        p95 = float(np.percentile(distances_mm, 95))
        return cls(mean_mm=float(distances_mm.mean()), p95_mm=p95, max_mm=float(distances_mm.max()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """A mesh against its mask.

    Attributes:
        to_mask: from the mesh to the mask's surface: from its vertices, and points at most 2 mm apart between them.
        to_mesh: from the mask's surface to the mesh: from each point halfway between a voxel in the mask and a
            neighbour out of it.
        vertices_near: share of the mesh's vertices within 0.25 mm of the mask's surface.
        volume_drift: the mesh's volume over the voxels' volume, less 1.
    """

    to_mask: Distances
    to_mesh: Distances
    vertices_near: float
    volume_drift: float


def deviation(mesh: TriangleMesh, mask: MaskVolume) -> Deviation:
    """Measure a mesh against a mask's surface, which runs halfway between voxels in it and out of it.

    That surface is the mask's own, of 0 and 1, by marching cubes: neither softened nor smoothed. Distances are exact.

    Raises: ValueError where mesh or mask are empty.
    """
    return deviation_by_vertex(mesh, mask)[0]


def deviation_by_vertex(mesh: TriangleMesh, mask: MaskVolume) -> tuple[Deviation, NDArray[np.float64]]:
    """The same, and of each vertex of the mesh the distance to the mask's surface in mm."""
    if not len(mesh.triangles):
        raise ValueError("the mesh is empty")
    own = mask_surface(mask, softened_mm=0)
    vertices_mm = distances_to_triangles(mesh.vertices_mm_xyz, own.corners_mm)
    between_mm = distances_to_triangles(pieces(mesh.corners_mm, PIECES_MM)[0].mean(axis=1), own.corners_mm)
    voxels_mm3 = float(np.count_nonzero(mask.femur_zyx)) * mask.grid.voxel_volume_mm3
    measured = Deviation(
        to_mask=Distances.of(np.concatenate([vertices_mm, between_mm])),
        to_mesh=Distances.of(distances_to_triangles(own.vertices_mm_xyz, mesh.corners_mm)),
        vertices_near=float(np.mean(vertices_mm <= NEAR_MM)),
        volume_drift=mesh.volume_mm3 / voxels_mm3 - 1.0,
    )
    return measured, vertices_mm
