"""Small pictures of a study: three planes through the femur, true to scale, with the mask's outline and what is amiss.

Planes are shown as a radiologist expects: the patient's right on the picture's left, the head or the front up, the face
to the left in sagittal planes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid, to_lps

EDGE_PIXELS = 192
WINDOW_HU = (-220.0, 950.0)  # fat dark, muscle in the middle, cortical bone white
HU_EDGES = tuple(range(-1100, 2101, 50))
_SAMPLED_VOXELS = 400_000
_POINTS_ALONG = 96
_BONE_HU, _BODY_HU = 250.0, -300.0

PlaneName = Literal["axial", "coronal", "sagittal"]
BandKind = Literal["missing", "double", "cut off", "level"]
_AXIS = {"axial": 0, "coronal": 1, "sagittal": 2}  # along which a plane is one slice, in LPS order (z, y, x)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One plane with square pixels.

    Attributes:
        grey: uint8, shape (rows, columns).
        mask: where the mask is, of the same shape; None without one.
        pixel_mm: edge of a pixel.
        at: where it cuts the volume, as a fraction of the axis across it.
        spot: row and column, as fractions from the top and the left, of a place that it was to show; None of none.
    """

    name: PlaneName
    grey: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None
    pixel_mm: float
    at: float = 0.5
    spot: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Something amiss across the whole volume between two heights.

    Attributes:
        axis: of the volume in LPS order (z, y, x).
        start, stop: as fractions of that axis, from inferior, anterior, or right; equal for a mere line.
    """

    kind: BandKind
    axis: int
    start: float
    stop: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The pictures of one study."""

    planes: tuple[Plane, ...]
    bands: tuple[Band, ...] = ()


def hu_counts(ct_hu_zyx: NDArray[np.float32]) -> tuple[int, ...]:
    """How many voxels of an even sample lie in each bin of `HU_EDGES`; what lies outside counts to the outer bins."""
    flat = ct_hu_zyx.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLED_VOXELS)]
    counts, _ = np.histogram(np.clip(sample, HU_EDGES[0], HU_EDGES[-1]), bins=HU_EDGES)
    return tuple(counts.tolist())


def preview(ct: CtVolume, mask: MaskVolume | None, bands: tuple[Band, ...] = ()) -> Preview:
    """Pictures of a CT: planes through the middle of the mask, or of the bone where there is none, 192 pixels an edge.

    Args:
        ct: NaN where there is no slice.
        mask: may lie on another grid; it is then shown where that grid places it.
        bands: what to mark.
    """
    return Preview(planes=planes(ct, mask, edge_pixels=EDGE_PIXELS), bands=bands)


def planes(
    ct: CtVolume,
    mask: MaskVolume | None,
    *,
    edge_pixels: int,
    heights: tuple[float, ...] = (50.0,),
    through_mm_xyz: tuple[float, float, float] | None = None,
) -> tuple[Plane, ...]:
    """An axial plane at each height, then a coronal and a sagittal one where most of the femur is cut.

    Args:
        edge_pixels: at most, along an edge.
        heights: how many of 100 voxels of the femur lie below.
        through_mm_xyz: a place that both, and the axial plane next to it, must show.
    """
    hu_zyx, grid = to_lps(ct.hu_zyx, ct.grid)
    axial_zs, y, x = _centre(hu_zyx, grid, mask, heights)
    place = None
    if through_mm_xyz is not None:
        index = _index_zyx(np.array(through_mm_xyz), grid).round().astype(int)
        z, y, x = np.clip(index, 0, np.array(grid.shape_zyx) - 1).tolist()
        place, nearest = (z, y, x), min(axial_zs, key=lambda at: abs(at - z))
        axial_zs = tuple(z if at == nearest else at for at in axial_zs)
    window = _window(hu_zyx)
    cuts: list[tuple[PlaneName, tuple[int, int, int]]] = [("axial", (z, y, x)) for z in axial_zs]
    cuts += [("coronal", (axial_zs[0], y, x)), ("sagittal", (axial_zs[0], y, x))]
    return tuple(_plane(name, hu_zyx, grid, mask, centre, window, edge_pixels, place) for name, centre in cuts)


def end_bands(ends: tuple[str, ...]) -> tuple[Band, ...]:
    """Marks at the ends of the body axis at which the femur leaves the scan."""
    places = {"inferior": 0.0, "superior": 1.0}
    return tuple(Band(kind="cut off", axis=0, start=places[end], stop=places[end]) for end in ends)


def band_between(
    kind: BandKind, start_mm_xyz: NDArray[np.float64], stop_mm_xyz: NDArray[np.float64], grid: VoxelGrid
) -> Band:
    """A mark between two points of the patient, across the volume of `grid` (in LPS order)."""
    ends = np.stack([_index_zyx(point[None], grid)[0] for point in (start_mm_xyz, stop_mm_xyz)])
    fractions = np.clip((ends + 0.5) / grid.shape_zyx, 0.0, 1.0)
    axis = int(np.argmax(np.abs(_axes_xyz(grid).T @ (stop_mm_xyz - start_mm_xyz))[::-1]))
    low, high = sorted(fractions[:, axis].tolist())
    return Band(kind=kind, axis=axis, start=low, stop=high)


def _axes_xyz(grid: VoxelGrid) -> NDArray[np.float64]:
    return np.array(grid.direction_xyz).reshape(3, 3)


def _index_zyx(points_mm_xyz: NDArray[np.float64], grid: VoxelGrid) -> NDArray[np.float64]:
    """Fractional voxel indices of points, shape (..., 3)."""
    steps = (points_mm_xyz - np.array(grid.origin_mm_xyz)) @ _axes_xyz(grid)
    return np.asarray((steps / np.array(grid.spacing_mm_zyx[::-1]))[..., ::-1])


def _points_mm_xyz(index_zyx: NDArray[np.float64], grid: VoxelGrid) -> NDArray[np.float64]:
    """Patient coordinates of voxel indices, shape (..., 3)."""
    steps = index_zyx[..., ::-1] * np.array(grid.spacing_mm_zyx[::-1])
    return np.asarray(np.array(grid.origin_mm_xyz) + steps @ _axes_xyz(grid).T)


def _centre(
    hu_zyx: NDArray[np.float32], grid: VoxelGrid, mask: MaskVolume | None, heights: tuple[float, ...]
) -> tuple[tuple[int, ...], int, int]:
    """The slices of the planes: at these heights, and where most of the femur, else of the bone, else of the body is
    cut.
    """
    index = np.empty((0, 3))
    if mask is not None:
        inside = _indices(mask.femur_zyx, lambda thin: thin)
        index = _index_zyx(_points_mm_xyz(inside, mask.grid), grid)
    for level in (_BONE_HU, _BODY_HU):
        if not len(index):
            index = _indices(hu_zyx, partial(np.less, level))
    if not len(index):
        z, y, x = (n // 2 for n in hu_zyx.shape)
        return (z,) * len(heights), y, x
    index = np.clip(index.round().astype(int), 0, np.array(hu_zyx.shape) - 1)
    drawn = np.flatnonzero(np.isfinite(hu_zyx[:, ::7, ::7]).any(axis=(1, 2)))  # a gap shows nothing
    wanted = np.percentile(index[:, 0], heights)
    axial_zs = tuple(int(drawn[np.argmin(np.abs(drawn - z))]) for z in wanted)
    y, x = (int(np.argmax(np.bincount(index[:, axis]))) for axis in (1, 2))
    return axial_zs, y, x


def _thinning(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(None, None, max(1, n // _POINTS_ALONG)) for n in shape)


def _indices(array_zyx: NDArray[Any], wanted: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Indices of wanted voxels among every k-th, shape (n, 3)."""
    steps = _thinning(array_zyx.shape)
    return np.asarray(np.argwhere(wanted(array_zyx[steps])) * np.array([float(step.step) for step in steps]))


def _plane(
    name: PlaneName,
    hu_zyx: NDArray[np.float32],
    grid: VoxelGrid,
    mask: MaskVolume | None,
    centre: tuple[int, int, int],
    window: tuple[float, float],
    edge_pixels: int,
    place: tuple[int, int, int] | None,
) -> Plane:
    axis = _AXIS[name]
    row_axis, column_axis = (other for other in range(3) if other != axis)
    rows_mm, columns_mm = grid.extent_mm_zyx[row_axis], grid.extent_mm_zyx[column_axis]
    spacing = grid.spacing_mm_zyx
    pixel_mm = max(min(spacing[row_axis], spacing[column_axis]), max(rows_mm, columns_mm) / edge_pixels)
    shape = (max(1, round(rows_mm / pixel_mm)), max(1, round(columns_mm / pixel_mm)))
    rows = ((np.arange(shape[0]) + 0.5) * pixel_mm / spacing[row_axis] - 0.5)[:, None]
    columns = ((np.arange(shape[1]) + 0.5) * pixel_mm / spacing[column_axis] - 0.5)[None, :]
    if name != "axial":
        rows = rows[::-1]  # the head up
    flat = np.nan_to_num(np.asarray(np.take(hu_zyx, centre[axis], axis), np.float32), nan=window[0])
    smooth = [max(1, round(pixel_mm / spacing[other])) for other in (row_axis, column_axis)]
    flat = ndimage.uniform_filter(flat, smooth, mode="nearest")
    drawn = ndimage.map_coordinates(flat, np.broadcast_arrays(rows, columns), order=1, mode="nearest")
    grey = np.clip((drawn - window[0]) / (window[1] - window[0]) * 255, 0, 255).astype(np.uint8)
    index = np.empty((*shape, 3))
    index[..., axis], index[..., row_axis], index[..., column_axis] = centre[axis], rows, columns
    covered = _covered(mask, _points_mm_xyz(index, grid)) if mask is not None else None
    at = (centre[axis] + 0.5) / grid.shape_zyx[axis]
    spot = None
    if place is not None and place[axis] == centre[axis]:
        down, right = ((place[other] + 0.5) / grid.shape_zyx[other] for other in (row_axis, column_axis))
        spot = (down if name == "axial" else 1.0 - down, right)
    return Plane(name=name, grey=grey, mask=covered, pixel_mm=pixel_mm, at=at, spot=spot)


def _covered(mask: MaskVolume, points_mm_xyz: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the mask is at these points, wherever its own grid lies."""
    index = _index_zyx(points_mm_xyz, mask.grid).round().astype(int)
    inside = np.asarray(((index >= 0) & (index < np.array(mask.grid.shape_zyx))).all(axis=-1))
    z, y, x = np.moveaxis(np.where(inside[..., None], index, 0), -1, 0)
    return np.asarray(mask.femur_zyx[z, y, x] & inside)


def _window(hu_zyx: NDArray[np.float32]) -> tuple[float, float]:
    """The usual window; the values' own range where nothing is as dark as fat or air: an unknown scale."""
    thin = hu_zyx[_thinning(hu_zyx.shape)]
    thin = thin[np.isfinite(thin)]
    if not thin.size:
        return WINDOW_HU
    low, high = (float(edge) for edge in np.percentile(thin, (1, 99.8)))
    return WINDOW_HU if low < -20 or high <= low else (low, high)
