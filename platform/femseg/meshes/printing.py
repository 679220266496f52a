"""What a printer needs to know of a solid: does it fit, where is it thin, and in two parts if it does not fit."""

from collections.abc import Sequence

import manifold3d
import numpy as np
from trimesh.bounds import oriented_bounds

from femseg.errors import Refusal
from femseg.meshes.mesh import TriangleMesh
from femseg.meshes.solid import flaws, manifold_of, mesh_of, without_slivers

Vector = tuple[float, float, float]
_SAMPLES = 4000
_BENEATH_MM = 1e-3


def least_box_mm(mesh: TriangleMesh) -> Vector:
    """Edges of the smallest box round a mesh, turned as it likes; longest first."""
    _, edges = oriented_bounds(mesh.vertices_mm_xyz)
    short, middle, long = sorted(float(edge) for edge in edges)
    return long, middle, short


def fits(mesh: TriangleMesh, build_mm: Sequence[float]) -> bool:
    """Whether that box fits into a build volume with its edges along the printer's; a diagonal is not tried."""
    return all(edge <= room for edge, room in zip(least_box_mm(mesh), sorted(build_mm, reverse=True), strict=True))


def thinner_than(mesh: TriangleMesh, wall_mm: float) -> tuple[float, float | None]:
    """Where a solid is thin: from points all over its surface straight in, until it is left again.

    Returns: share of the surface behind which it is thinner than `wall_mm`, and the least thickness found there (None).
    """
    areas = mesh.area_vectors_mm2
    size = np.linalg.norm(areas, axis=1)
    chosen = np.random.default_rng(0).choice(len(size), _SAMPLES, p=size / size.sum())
    inwards = -areas[chosen] / size[chosen, None]
    starts = mesh.corners_mm[chosen].mean(axis=1) + _BENEATH_MM * inwards
    solid = manifold_of(mesh)
    hits = [solid.ray_cast(start, start + wall_mm * way) for start, way in zip(starts, inwards, strict=True)]
    found = [hit[0].distance * wall_mm for hit in hits if hit]
    return len(found) / _SAMPLES, min(found, default=None)


def cut(
    mesh: TriangleMesh, point_mm_xyz: Vector, normal_xyz: Vector, *, name: str
) -> tuple[TriangleMesh, TriangleMesh]:
    """The two parts of a solid on either side of a plane (LPS), each a solid; first the one that the normal points to.

    Raises: Refusal CFG-01 (exit 2) if the plane misses it, MS-01 (exit 3) if a part is no solid.
    """
    normal = np.array(normal_xyz) / max(float(np.linalg.norm(normal_xyz)), 1e-12)
    solid: manifold3d.Manifold = manifold_of(mesh)
    parts = [without_slivers(mesh_of(part)) for part in solid.split_by_plane(normal, float(normal @ point_mm_xyz))]
    if not all(len(part.triangles) for part in parts):
        along = (mesh.vertices_mm_xyz - np.array(point_mm_xyz)) @ normal
        problem = f"lies beside the plane, {np.abs(along).min():.1f} mm away"
        raise Refusal.of("CFG-01", name, problem, "give a point inside of it, in LPS millimetres")
    for part in parts:
        if found := flaws(part):
            raise Refusal.of("MS-01", name, f"a part is no solid: {'; '.join(found)}", "cut at another place")
    return parts[0], parts[1]
