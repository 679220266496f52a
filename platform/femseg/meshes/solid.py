"""Proof that a mesh is a solid: closed, 2-manifold, outward, and nowhere through itself."""

import manifold3d
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from femseg.meshes.mesh import TriangleMesh, Triangles
from femseg.meshes.nearest import PIECES_MM, pieces

_FOLDED = -0.9999  # cosine between neighbours that lie on one another
_SLIVERS_MM = 1e-3


def manifold_of(mesh: TriangleMesh) -> manifold3d.Manifold:
    """The same for the library manifold3d; its status is an error where edges do not pair up."""
    vertices = np.ascontiguousarray(mesh.vertices_mm_xyz)
    return manifold3d.Manifold(manifold3d.Mesh64(vertices, np.ascontiguousarray(mesh.triangles.astype(np.uint64))))


def mesh_of(manifold: manifold3d.Manifold) -> TriangleMesh:
    """A mesh out of that library's solid."""
    mesh = manifold.to_mesh64()
    return TriangleMesh(
        vertices_mm_xyz=np.asarray(mesh.vert_properties)[:, :3], triangles=np.asarray(mesh.tri_verts).astype(np.int64)
    )


def without_slivers(mesh: TriangleMesh) -> TriangleMesh:
    """The same without triangles that are thinner than a micrometre; as it is where its edges do not pair up."""
    manifold = manifold_of(mesh.in_single_precision())
    if manifold.status() != manifold3d.Error.NoError:
        return mesh.in_single_precision()
    return mesh_of(manifold.simplify(_SLIVERS_MM)).in_single_precision()


def flaws(mesh: TriangleMesh) -> tuple[str, ...]:
    """Why a mesh is no solid, one reason each; none means that it is proven.

    Closed and oriented: every edge is there once in each direction. 2-manifold: the triangles round a vertex are one
    fan. Outward: the volume is positive, and so says manifold3d, which knows nothing of our sums. Not through itself:
    no edge crosses a triangle, no two neighbours lie on one another.
    """
    triangles = mesh.triangles
    if not len(triangles):
        return ("it has no triangles",)
    starts, ends = triangles.ravel(), np.roll(triangles, -1, axis=1).ravel()
    twin = _twins(starts, ends, len(mesh.vertices_mm_xyz))
    if twin is None:
        return ("it is not closed, or three triangles meet at an edge",)
    found = []
    if _fans(triangles, twin) != len(np.unique(triangles)):
        found.append("parts of it meet in a single point")
    manifold = manifold_of(mesh)
    if manifold.status() != manifold3d.Error.NoError:
        found.append(f"manifold3d: {manifold.status().name}")
    elif not (mesh.volume_mm3 > 0 and manifold.volume() > 0):
        found.append("it is inside out")
    if folded := _folds(mesh, twin):
        found.append(f"it is folded flat at {folded} edges")
    if crossings := _crossings(mesh):
        found.append(f"it goes through itself at {crossings} places")
    return tuple(found)


def _twins(starts: NDArray[np.int64], ends: NDArray[np.int64], vertices: int) -> NDArray[np.intp] | None:
    """For each directed edge the one that runs back; None unless each is there once with its twin."""
    keys, back = starts * vertices + ends, ends * vertices + starts
    order = np.argsort(keys)
    place = np.searchsorted(keys[order], back)
    unique = np.all(np.diff(keys[order]) > 0) and np.all(starts != ends)
    if not unique or place.max() >= len(keys) or np.any(keys[order][place] != back):
        return None
    return order[place]


def _fans(triangles: Triangles, twin: NDArray[np.intp]) -> int:
    """How many fans of triangles there are round all vertices: as many as vertices where each has one.

    Edge 3t + k leaves corner k of triangle t. Its twin arrives there, so that the edge behind the twin leaves it, too.
    """
    edges = np.arange(triangles.size)
    behind = twin // 3 * 3 + (twin + 1) % 3
    same = coo_array((np.ones(triangles.size), (edges, behind)), shape=(triangles.size,) * 2)
    return int(connected_components(same, directed=False, return_labels=False))


def _folds(mesh: TriangleMesh, twin: NDArray[np.intp]) -> int:
    areas = mesh.area_vectors_mm2
    size = np.linalg.norm(areas, axis=1, keepdims=True)
    normals = areas / np.where(size > 0, size, 1.0)
    edges = np.arange(len(twin))
    return int(np.count_nonzero(np.sum(normals[edges // 3] * normals[twin // 3], axis=1) < _FOLDED)) // 2


def _crossings(mesh: TriangleMesh) -> int:
    """Pairs of triangles of which an edge of one goes through the other."""
    corners, vertices = mesh.corners_mm, mesh.triangles
    one, other = _close_pairs(corners)
    first, second = vertices[one], vertices[other]
    shared = (first[:, :, None] == second[:, None, :]).sum(axis=(1, 2))
    crossing = np.zeros(len(one), bool)
    for k in range(3):
        # an edge that has a corner of the other triangle at its end touches it there, and is left out
        for edges, planes, edge_of, plane_of in ((one, other, first, second), (other, one, second, first)):
            ends = edge_of[:, [k, (k + 1) % 3]]
            apart = (shared < 2) & ~(ends[:, :, None] == plane_of[:, None, :]).any(axis=(1, 2))
            start, end = corners[edges[apart], k], corners[edges[apart], (k + 1) % 3]
            crossing[apart] |= _through(start, end, corners[planes[apart]])
    return int(np.count_nonzero(crossing))


def _close_pairs(corners: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of triangles whose boxes overlap, looked for among pieces of like size."""
    small, owner = pieces(corners, PIECES_MM)
    centres = small.mean(axis=1)
    reach = float(np.linalg.norm(small - centres[:, None], axis=2).max())
    pairs = np.sort(owner[cKDTree(centres).query_pairs(2 * reach, output_type="ndarray")], axis=1)
    keys = np.unique(pairs[:, 0] * len(corners) + pairs[:, 1])
    one, other = keys // len(corners), keys % len(corners)
    low, high = corners.min(axis=1), corners.max(axis=1)
    overlap = np.all((low[one] <= high[other]) & (low[other] <= high[one]), axis=1) & (one != other)
    return one[overlap], other[overlap]


def _through(start: NDArray[np.float64], end: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether segments go through triangles: the ends on two sides, and the line on one side of all three edges."""
    a, b, c = np.moveaxis(corners, 1, 0)
    normal = np.cross(b - a, c - a)
    two_sides = np.sum((start - a) * normal, axis=1) * np.sum((end - a) * normal, axis=1) < 0
    along = end - start
    turns = np.stack([np.sum(np.cross(p - start, q - start) * along, axis=1) for p, q in ((a, b), (b, c), (c, a))])
    return np.asarray(two_sides & (np.all(turns > 0, axis=0) | np.all(turns < 0, axis=0)))
