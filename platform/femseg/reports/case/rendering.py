"""Meshes seen from a side, with a colour at each vertex: a picture that needs no graphics card and no script."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import TriMesh
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from femseg.meshes.mesh import TriangleMesh
from femseg.reports.style import PIXELS_PER_INCH, figure, pixels

Colours = NDArray[np.uint8]  # (n, 3)
# how far a vertex lies from the mask: bone, then darker and darker, also to eyes that see no red or green
STOPS = np.array([(238, 228, 205), (245, 186, 98), (214, 94, 0), (116, 12, 62)], np.float64)
_TOPS_MM = (0.5, 1.0, 2.0, 5.0)
_AMBIENT, _LIGHT = 0.42, (-0.35, 0.45, 0.82)  # to the right, up, towards the viewer
_VIEWS = {  # in LPS: the picture's right, and whence one looks
    "from the front": ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),
    "from the left": ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    "from the back": ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "from the right": ((0.0, -1.0, 0.0), (-1.0, 0.0, 0.0)),
}
_UP = (0.0, 0.0, 1.0)
_FINER = 3  # drawn larger and then averaged: smooth edges
_MARGIN_MM = 3.0


def top_mm(off_mm: Sequence[NDArray[np.float64]]) -> float:
    """The deviation at the legend's end: of round numbers the least that 99 of 100 vertices keep to."""
    kept = max((float(np.percentile(off, 99)) for off in off_mm), default=0.0)
    return next((top for top in _TOPS_MM if kept <= top), _TOPS_MM[-1])


def deviation_colours(off_mm: NDArray[np.float64], top: float) -> Colours:
    """A colour for each deviation, shape (n, 3); beyond `top` that of `top`."""
    place = np.clip(np.abs(off_mm) / top, 0.0, 1.0) * (len(STOPS) - 1)
    channels = [np.interp(place, np.arange(len(STOPS)), channel) for channel in STOPS.T]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def css_gradient() -> str:
    """The same colours for the legend."""
    return ", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in STOPS)


def view_names(femora: int) -> tuple[str, ...]:
    """From where femora are drawn: of two, one hides the other from the side."""
    return tuple(_VIEWS) if femora == 1 else ("from the front", "from the back")


def rendered(meshes: Sequence[tuple[TriangleMesh, Colours]], view: str, pixel_mm: float) -> NDArray[np.uint8]:
    """An orthographic picture with the patient's head up, shape (rows, columns, 4); clear where nothing is.

    Args:
        meshes: in one patient, with a colour for each vertex.
        view: one of `view_names`.
        pixel_mm: edge of a pixel.
    """
    looking = np.array([_VIEWS[view][0], _UP, _VIEWS[view][1]])  # rows: right, up, towards the viewer
    points = np.concatenate([mesh.vertices_mm_xyz for mesh, _ in meshes]) @ looking.T
    shades = np.concatenate([_shaded(mesh, colours, looking) for mesh, colours in meshes])
    firsts = np.cumsum([0, *(len(mesh.vertices_mm_xyz) for mesh, _ in meshes[:-1])])
    triangles = np.concatenate([mesh.triangles + first for (mesh, _), first in zip(meshes, firsts, strict=True)])
    triangles = triangles[np.argsort(points[triangles, 2].mean(axis=1), kind="stable")]  # what is nearest comes last
    low, high = points.min(axis=0)[:2] - _MARGIN_MM, points.max(axis=0)[:2] + _MARGIN_MM
    columns, rows = np.ceil((high - low) / pixel_mm).astype(int).tolist()
    picture = _drawn((points[:, :2] - low) / pixel_mm * _FINER, triangles, shades, (rows * _FINER, columns * _FINER))
    boxes = picture.reshape(rows, _FINER, columns, _FINER, 4).mean(axis=(1, 3))
    boxes[..., :3] /= np.maximum(boxes[..., 3:], 1.0) / 255.0
    return np.asarray(boxes.round(), np.uint8)


def _drawn(
    points: NDArray[np.float64], triangles: NDArray[np.int64], shades: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Triangles in their order, with colours that run from corner to corner; (rows, columns, 4), 0 … 255."""
    rows, columns = shape
    made = figure(columns / PIXELS_PER_INCH, rows / PIXELS_PER_INCH, arranged=False)
    made.patch.set_alpha(0.0)
    axes = made.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set(xlim=(0, columns), ylim=(0, rows))
    faces = TriMesh(Triangulation(points[:, 0], points[:, 1], triangles), antialiased=False)
    faces.set_facecolor(list(map(tuple, np.column_stack([shades / 255.0, np.ones(len(shades))]))))
    axes.add_collection(faces, autolim=False)
    return pixels(made)[:rows, :columns].astype(np.float64)


def _shaded(mesh: TriangleMesh, colours: Colours, looking: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lambert's law at the vertices, whose normals are those of the triangles around, weighted by area."""
    normals = np.zeros_like(mesh.vertices_mm_xyz)
    for corner in range(3):
        np.add.at(normals, mesh.triangles[:, corner], mesh.area_vectors_mm2)
    normals = normals @ looking.T
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    light = np.array(_LIGHT) / np.linalg.norm(_LIGHT)
    lit = _AMBIENT + (1.0 - _AMBIENT) * np.clip(normals @ light, 0.0, 1.0)
    return np.asarray(colours * lit[:, None])
