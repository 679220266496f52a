"""From closed triangle surfaces to voxels: which lie inside, and how far the surface is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from femseg.synthetic.anatomy.axes import Axes, Box, carried

Floats = NDArray[np.float64]

FAR_MM = 32.0
_NEAR_MM = 4.0
_SAMPLES_MM = 1.0  # distance of the points by which the nearest triangle is found
_TOUCH_MM = 1e-3  # a voxel that is known to be outside never lies on the surface


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A closed surface with its faces turned outwards: vertices (V, 3) in mm, faces (F, 3)."""

    vertices_mm: Floats
    faces: NDArray[np.int64]

    @property
    def box(self) -> Box:
        """Its lowest and highest corner."""
        return self.vertices_mm.min(axis=0), self.vertices_mm.max(axis=0)

    def normals(self) -> Floats:
        """Outward unit normals of the vertices, shape (V, 3)."""
        a, b, c = self.vertices_mm[self.faces].transpose(1, 0, 2)
        of_faces = np.cross(b - a, c - a)
        total = np.zeros_like(self.vertices_mm)
        for corner in range(3):
            np.add.at(total, self.faces[:, corner], of_faces)
        return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12))


def inside(surface: Surface, axes: Axes) -> NDArray[np.bool_]:
    """Which voxel centres lie inside of a surface, shape (Z, Y, X).

    A ray along x passes through each row of voxels; where it crosses the surface inwards one is added, outwards one
    taken, and what is not zero is inside. Rows are shifted by less than a thousandth of a voxel, so that none meets an
    edge exactly.
    """
    first = np.array([axes.x[0], axes.y[0], axes.z[0]])
    step = np.array([axis[1] - axis[0] if len(axis) > 1 else 1.0 for axis in (axes.x, axes.y, axes.z)])
    corners = ((surface.vertices_mm - first) / step + (1.1e-5, 0.71e-5, 0.37e-5))[surface.faces]  # (F, 3, 3)
    face, y, z = _rows_under(corners[:, :, 1:], (len(axes.y), len(axes.z)))
    a, b, c = corners[face].transpose(1, 0, 2)
    across = (b[:, 1] - a[:, 1]) * (c[:, 2] - a[:, 2]) - (c[:, 1] - a[:, 1]) * (b[:, 2] - a[:, 2])
    with np.errstate(divide="ignore", invalid="ignore"):
        to_b = ((y - a[:, 1]) * (c[:, 2] - a[:, 2]) - (c[:, 1] - a[:, 1]) * (z - a[:, 2])) / across
        to_c = ((b[:, 1] - a[:, 1]) * (z - a[:, 2]) - (y - a[:, 1]) * (b[:, 2] - a[:, 2])) / across
    hit = (to_b >= 0) & (to_c >= 0) & (to_b + to_c <= 1)
    x = (a[:, 0] + to_b * (b[:, 0] - a[:, 0]) + to_c * (c[:, 0] - a[:, 0]))[hit]
    column = np.clip(np.ceil(x), 0, len(axes.x)).astype(int)
    crossings = np.zeros((len(axes.z), len(axes.y), len(axes.x) + 1), dtype=np.int8)
    np.add.at(crossings, (z[hit], y[hit], column), np.where(across[hit] > 0, -1, 1).astype(np.int8))
    return np.asarray(np.cumsum(crossings[:, :, :-1], axis=2, dtype=np.int8) != 0)


def inside_any(surfaces: Sequence[Surface], axes: Axes) -> NDArray[np.bool_]:
    """Which voxel centres lie inside of at least one of the surfaces."""
    found = np.zeros(axes.shape, dtype=bool)
    for surface in surfaces:
        box = axes.within(surface.box)
        if found[box].size:
            found[box] |= inside(surface, axes.part(box))
    return found


def _rows_under(corners_yz: Floats, shape_yz: tuple[int, int]) -> tuple[NDArray[np.int64], ...]:
    """Every face with every row of voxels within its bounds: numbers of face, y and z."""
    low = np.maximum(np.ceil(corners_yz.min(axis=1)), 0).astype(int)
    high = np.minimum(np.floor(corners_yz.max(axis=1)), np.array(shape_yz) - 1).astype(int)
    size = np.maximum(high - low + 1, 0)
    count = size[:, 0] * size[:, 1]
    face = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    return face, low[face, 0] + within % size[face, 0], low[face, 1] + within // size[face, 0]


class SignedDistance:
    """Signed distance to some surfaces, positive inside of any of them; at most `FAR_MM`.

    Exact within `_NEAR_MM` of a surface, from the triangle that the nearest of many points on it belongs to; further
    away it comes from a lattice and is right within about a millimetre.
    """

    def __init__(self, surfaces: Sequence[Surface], lattice: Axes) -> None:
        """Only what lies near the lattice is looked at, and distances are known within it."""
        low, high = lattice.box
        self.lattice = lattice
        triangles = np.concatenate([np.empty((0, 3, 3)), *(s.vertices_mm[s.faces] for s in surfaces)])
        near = (triangles.max(axis=1) >= low).all(axis=1) & (triangles.min(axis=1) <= high).all(axis=1)
        self._triangles = triangles[near]
        self._points, self._triangle_of = _samples(self._triangles)
        self._tree = cKDTree(self._points) if len(self._points) else None
        within = inside_any(surfaces, lattice)
        self.lattice_mm = np.where(within, 1, -1).astype(np.float32) * self._far_mm()

    def _far_mm(self) -> NDArray[np.float32]:
        """Unsigned distances on the lattice, by the sample that is nearest to a lattice point or its neighbour."""
        if not len(self._points):
            return np.full(self.lattice.shape, FAR_MM, dtype=np.float32)
        first = np.array([axis[0] for axis in (self.lattice.z, self.lattice.y, self.lattice.x)])
        step = self.lattice.z[1] - self.lattice.z[0]
        place = np.rint((self._points[:, ::-1] - first) / step).astype(int)
        within = ((place >= 0) & (place < self.lattice.shape)).all(axis=1)
        sample = np.full(self.lattice.shape, -1)
        sample[tuple(place[within].T)] = np.flatnonzero(within)
        if not within.any():
            return np.full(self.lattice.shape, FAR_MM, dtype=np.float32)
        steps, found = distance_transform_edt(sample < 0, return_indices=True)
        nearest = sample[tuple(found)]
        at = steps * step < FAR_MM + 2 * step
        points = self.lattice.positions(at)
        for _ in range(2):  # what a neighbour found may be nearer; twice, because it may have it from its own
            best = np.full(len(points), np.inf)
            chosen = np.zeros(len(points), dtype=np.int64)
            padded = np.pad(nearest, 1, mode="edge")
            for shift in ((1, 1, 1), (0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 0), (1, 1, 2)):
                other = padded[tuple(slice(s, s + n) for s, n in zip(shift, nearest.shape, strict=True))][at]
                squared = ((self._points[other] - points) ** 2).sum(axis=1)
                chosen = np.where(squared < best, other, chosen)
                best = np.minimum(squared, best)
            nearest[at] = chosen
        distances = distance_to_triangles_mm(points, self._triangles[self._triangle_of[chosen]])
        near = distances < 2 * _NEAR_MM
        distances[near] = self._near_mm(points[near])
        far = np.full(self.lattice.shape, FAR_MM, dtype=np.float32)
        far[at] = np.minimum(distances, FAR_MM)
        return far

    def _near_mm(self, points: Floats) -> Floats:
        """Unsigned distances of points (N, 3): of the triangle that the nearest sample is of. Slow far from it."""
        if self._tree is None:
            return np.full(len(points), FAR_MM)
        nearest = self._tree.query(points)[1]
        return distance_to_triangles_mm(points, self._triangles[self._triangle_of[nearest]])

    def at(self, axes: Axes, within: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Signed distances at voxels, of which it is known which are inside."""
        signed = carried(self.lattice_mm, self.lattice, axes)
        signed = np.where(within, np.maximum(signed, _TOUCH_MM), np.minimum(signed, -_TOUCH_MM))
        near = np.abs(signed) < _NEAR_MM + 1.0
        signed[near] = np.where(within[near], 1, -1) * np.maximum(self._near_mm(axes.positions(near)), _TOUCH_MM)
        return signed


def _samples(triangles: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Points spread over triangles about a millimetre apart, and the triangle of each."""
    longest = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2).max(axis=1, initial=0.0)
    parts = np.maximum(np.ceil(longest / _SAMPLES_MM), 1).astype(int)
    points, owners = [np.empty((0, 3))], [np.empty(0, dtype=np.int64)]
    for n in np.unique(parts):
        of_n = np.flatnonzero(parts == n)
        i, j = (index.ravel() for index in np.mgrid[0:n, 0:n])
        keep = i + j < n
        centres = np.stack([i[keep] + 1 / 3, j[keep] + 1 / 3], axis=-1) / n
        weights = np.column_stack([1 - centres.sum(axis=1), centres])  # (K, 3)
        points.append(np.einsum("kc,fcx->fkx", weights, triangles[of_n]).reshape(-1, 3))
        owners.append(np.repeat(of_n, len(weights)))
    return np.concatenate(points), np.concatenate(owners)


def distance_to_triangles_mm(points: Floats, triangles: Floats) -> Floats:
    """Distance of each point (N, 3) to its own triangle (N, 3, 3).

    Source: Ericson 2004, "Real-Time Collision Detection", 5.1.5: inside of the face's prism the plane is nearest,
    elsewhere one of the three edges.
    """
    a, b, c = triangles.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    length = np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
    to_plane = np.abs(np.einsum("ij,ij->i", points - a, normal)) / length
    over_face = np.ones(len(points), dtype=bool)
    to_edges = np.full(len(points), np.inf)
    for start, end in ((a, b), (b, c), (c, a)):
        edge, offset = end - start, points - start
        over_face &= np.einsum("ij,ij->i", np.cross(edge, offset), normal) >= 0
        share = np.einsum("ij,ij->i", offset, edge) / np.maximum(np.einsum("ij,ij->i", edge, edge), 1e-12)
        nearest = np.clip(share, 0, 1)[:, None] * edge
        to_edges = np.minimum(to_edges, np.linalg.norm(offset - nearest, axis=1))
    return np.where(over_face, to_plane, to_edges)
