"""Slices of a series that is no volume, drawn at their true heights all the same: for pictures, never for work.

A refused series has gaps, doubles, a tilt. Here each slice lies where it says; between slices that are too far apart
nothing is drawn.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from femseg.cohorts.preview import EDGE_PIXELS, Band, Preview, band_between, preview
from femseg.cohorts.study import StudyFiles, mask_by_convention, names_a_mask
from femseg.errors import Refusal
from femseg.volumes.files.dicom_folder import by_series, scan_dicom
from femseg.volumes.files.dicom_headers import SliceHeader
from femseg.volumes.files.itk import array_of, itk_reading
from femseg.volumes.files.slice_stack import SAME_POSITION_MM, axes
from femseg.volumes.files.volume_file import volume_suffix
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.orientation import lps_grid
from femseg.volumes.volume import CtVolume, MaskVolume

_MISSING_FROM_STEPS = 1.5
_SHIFT_AT_MOST = 1.0  # of a tilted stack, in widths of a slice: more is no scan of a patient


def refused_series_preview(study: StudyFiles, mask: MaskVolume | None) -> Preview | None:
    """Pictures of the largest CT series of a study whose headers were refused; None where none can be drawn."""
    scan = scan_dicom([path for path in study.files if not volume_suffix(path)])
    candidates = [
        header
        for header in scan.slices
        if _drawable(header)
        and not mask_by_convention(header.path, study)
        and not names_a_mask(header.series_description)
    ]
    series = by_series(candidates)
    if not series:
        return None
    return _preview(max(series.values(), key=len), mask)


def _drawable(header: SliceHeader) -> bool:
    placed = header.position_mm_xyz and header.orientation and header.spacing_mm_yx
    sized = 0 < (header.rows or 0) <= 4096 and 0 < (header.columns or 0) <= 4096
    return bool(placed and sized and min(header.spacing_mm_yx or (0,)) > 0 and header.frames == 1)


def _preview(headers: Sequence[SliceHeader], mask: MaskVolume | None) -> Preview | None:
    usual = Counter((h.rows, h.columns, h.orientation, h.spacing_mm_yx) for h in headers).most_common(1)[0][0]
    alike = [h for h in headers if (h.rows, h.columns, h.orientation, h.spacing_mm_yx) == usual]
    frame = axes(alike[0].orientation or ())
    ordered = sorted(alike, key=lambda h: float(np.dot(h.position_mm_xyz or (), frame[:, 2])))
    positions = np.array([h.position_mm_xyz for h in ordered])  # (n, 3)
    heights = positions @ frame[:, 2]
    steps = np.diff(heights)
    apart = steps[steps > SAME_POSITION_MM]
    if not apart.size:
        return None
    step = float(np.sort(apart)[(apart.size - 1) // 2])
    volume = _drawn(ordered, positions, heights, frame, step)
    if volume is None:
        return None
    grid, normal = lps_grid(volume.grid), frame[:, 2]
    marks: list[Band] = []
    for k in np.flatnonzero(steps > _MISSING_FROM_STEPS * step):
        low, high = positions[k] + normal * step / 2, positions[k + 1] - normal * step / 2
        marks.append(band_between("missing", low, high, grid))
    for k in np.flatnonzero(steps <= SAME_POSITION_MM):
        marks.append(band_between("double", positions[k], positions[k] + normal * step / 1000, grid))
    return preview(volume, mask, tuple(marks))


def _drawn(
    ordered: Sequence[SliceHeader],
    positions: NDArray[np.float64],
    heights: NDArray[np.float64],
    frame: NDArray[np.float64],
    step: float,
) -> CtVolume | None:
    """The slices as a coarse volume of at most 192 × 192 pixels and heights, NaN where there is none."""
    first = ordered[0]
    thin = max(1, -(-max(first.rows or 1, first.columns or 1) // EDGE_PIXELS))
    spacing_yx = [thin * mm for mm in first.spacing_mm_yx or (1.0, 1.0)]
    count = int(min(EDGE_PIXELS, round((heights[-1] - heights[0]) / step) + 1))
    if count < 2:
        return None
    wanted = np.linspace(heights[0], heights[-1], count)
    travelled = positions - positions[0]
    shift_px = np.stack([travelled @ frame[:, 1] / spacing_yx[0], travelled @ frame[:, 0] / spacing_yx[1]], axis=1)
    shift_px = shift_px.round().astype(int)  # of a tilted stack: each slice lies a little aside of the one below
    lowest = shift_px.min(axis=0)
    size = np.array([-(-(first.rows or 1) // thin), -(-(first.columns or 1) // thin)])
    if (np.ptp(shift_px, axis=0) > _SHIFT_AT_MOST * size).any():
        return None
    volume = np.full((count, *(size + np.ptp(shift_px, axis=0))), np.nan, np.float32)
    for k, height in enumerate(wanted):
        nearest = int(np.argmin(np.abs(heights - height)))
        if abs(heights[nearest] - height) > max(step, wanted[1] - wanted[0]) * 0.55:
            continue
        pixels = _pixels(ordered[nearest], thin)
        if pixels is not None and pixels.shape == tuple(size):
            y, x = shift_px[nearest] - lowest
            volume[k, y : y + size[0], x : x + size[1]] = pixels
    origin = positions[0] + frame[:, 1] * lowest[0] * spacing_yx[0] + frame[:, 0] * lowest[1] * spacing_yx[1]
    grid = VoxelGrid(
        shape_zyx=volume.shape,
        spacing_mm_zyx=(float(wanted[1] - wanted[0]), spacing_yx[0], spacing_yx[1]),
        origin_mm_xyz=tuple(origin.tolist()),
        direction_xyz=tuple(frame.ravel().tolist()),
    )
    return CtVolume(hu_zyx=volume, grid=grid) if np.isfinite(volume).any() else None


def _pixels(header: SliceHeader, thin: int) -> NDArray[np.float32] | None:
    """Every `thin`-th pixel of one slice; None where it cannot be read."""
    try:
        with itk_reading(str(header.path)):
            image = sitk.ReadImage(str(header.path), sitk.sitkFloat32)
    except Refusal:
        return None
    array = array_of(image)
    return np.asarray(array[0, ::thin, ::thin]) if array.ndim == 3 else None
