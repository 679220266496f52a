"""A closed surface of triangles in the patient."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SUFFIXES = (".stl", ".ply", ".3mf", ".glb")
Frame = Literal["LPS", "RAS"]
Points = NDArray[np.float64]  # (n, 3), mm
Triangles = NDArray[np.int64]  # (n, 3), indices of vertices


@dataclass(frozen=True, slots=True, kw_only=True)
class TriangleMesh:
    """Triangles whose corners run counter-clockwise when seen from outside.

    Attributes:
        vertices_mm_xyz: shape (n, 3), patient coordinates in LPS (left, posterior, superior).
        triangles: shape (m, 3), rows of `vertices_mm_xyz`.
    """

    vertices_mm_xyz: Points
    triangles: Triangles

    def __post_init__(self) -> None:
        for name, array in (("vertices_mm_xyz", self.vertices_mm_xyz), ("triangles", self.triangles)):
            if array.ndim != 2 or array.shape[1] != 3:
                raise ValueError(f"{name}: expected shape (n, 3), got {array.shape}")

    @property
    def corners_mm(self) -> NDArray[np.float64]:
        """Shape (m, 3, 3): triangle, corner, coordinate."""
        return np.asarray(self.vertices_mm_xyz[self.triangles])

    @property
    def area_vectors_mm2(self) -> Points:
        """Of each triangle its outward normal, as long as the triangle is large; shape (m, 3)."""
        a, b, c = np.moveaxis(self.corners_mm, 1, 0)
        return np.asarray(np.cross(b - a, c - a) / 2)

    @property
    def volume_mm3(self) -> float:
        """Enclosed volume (divergence theorem); negative where the surface is inside out."""
        if not len(self.triangles):
            return 0.0
        centre = self.vertices_mm_xyz.mean(axis=0)  # near the surface: far from it, digits are lost
        return float(np.sum((self.corners_mm.mean(axis=1) - centre) * self.area_vectors_mm2) / 3)

    def in_single_precision(self) -> "TriangleMesh":
        """The same with coordinates that STL, PLY and GLB hold exactly, so that what is proven of it holds of them."""
        rounded = self.vertices_mm_xyz.astype(np.float32).astype(np.float64)
        return TriangleMesh(vertices_mm_xyz=rounded, triangles=self.triangles)

    def vertices_in(self, frame: Frame) -> Points:
        """The vertices in LPS or RAS. Both are right-handed: two signs change, and the triangles stay as they are."""
        return self.vertices_mm_xyz * ((-1.0, -1.0, 1.0) if frame == "RAS" else (1.0, 1.0, 1.0))
