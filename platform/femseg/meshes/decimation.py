"""Fewer triangles, within a tolerance that is measured."""

import fast_simplification
import numpy as np

from femseg.meshes.mesh import TriangleMesh
from femseg.meshes.nearest import distances_to_triangles
from femseg.meshes.solid import flaws, without_slivers

_KEPT = (0.1, 0.2, 0.4)  # of the triangles; the fewest that hold the tolerance are taken


def decimated(mesh: TriangleMesh, tolerance_mm: float) -> tuple[TriangleMesh, float]:
    """A mesh of fewer triangles that is still a solid, and nowhere farther from the first one than a tolerance.

    Measured from every vertex of either mesh to the other's surface.

    Returns: it, and its greatest distance in mm; the mesh as it is and 0 where none of fewer triangles holds.
    Source: Garland and Heckbert 1997, "Surface simplification using quadric error metrics", as in fast-simplification.
    """
    for kept in _KEPT if tolerance_mm > 0 else ():
        vertices, triangles = fast_simplification.simplify(
            mesh.vertices_mm_xyz, mesh.triangles.astype(np.int32), target_reduction=1.0 - kept
        )
        coarse = without_slivers(TriangleMesh(vertices_mm_xyz=vertices, triangles=triangles.astype(np.int64)))
        if len(coarse.triangles) and (apart_mm := _apart_mm(mesh, coarse)) <= tolerance_mm and not flaws(coarse):
            return coarse, apart_mm
    return mesh, 0.0


def _apart_mm(fine: TriangleMesh, coarse: TriangleMesh) -> float:
    there = distances_to_triangles(fine.vertices_mm_xyz, coarse.corners_mm)
    back = distances_to_triangles(coarse.vertices_mm_xyz, fine.corners_mm)
    return float(max(there.max(), back.max()))
