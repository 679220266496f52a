"""Slices of a series that is no volume, drawn at their true heights all the same: for pictures, never for work.

A refused series has gaps, doubles, a tilt. Here each slice lies where it says; between slices that are too far apart
nothing is drawn.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from femseg.cohorts.femur_side import of_side, pieces_of
from femseg.cohorts.settings import CohortSettings
from femseg.errors import Refusal
from femseg.formats.dicom.folder import by_series, scan_dicom
from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.dicom.stack import SAME_POSITION_MM, axes
from femseg.formats.itk import array_of, itk_reading
from femseg.formats.reading import read_checked_ct, read_checked_labels
from femseg.formats.volume_file import volume_suffix
from femseg.intake.preview import EDGE_PIXELS, Band, Preview, band_between, end_bands, preview
from femseg.intake.voxel_check import VoxelCheck
from femseg.layouts.adapter import PairedStudy, StudyFiles, mask_by_convention, names_a_mask
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid, lps_grid

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
    return _preview(max(series.values(), key=len), mask) if series else None


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
            image = sitk.ReadImage(str(header.path), sitk.sitkFloat32, imageIO="GDCMImageIO")
    except Refusal:
        return None
    array = array_of(image)
    return np.asarray(array[0, ::thin, ::thin]) if array.ndim == 3 else None


def checked_preview(found: VoxelCheck, paired: PairedStudy, settings: CohortSettings) -> Preview:
    """Of a study whose voxels are in memory."""
    mask = None
    if found.mask_values_zyx is not None and paired.mask is not None:
        mask = _outlined(found.mask_values_zyx, paired.mask.grid, replace(paired, labels=found.labels), settings)
    return preview(found.ct, mask, end_bands(found.facts.cut_off))


def refused_preview(study: StudyFiles, paired: PairedStudy, settings: CohortSettings) -> Preview | None:
    """Of a study with faults in its headers, as far as its files can be read; None where there is nothing to show."""
    try:
        mask = _mask(paired, settings)
        return preview(read_checked_ct(paired.ct), mask) if paired.ct else refused_series_preview(study, mask)
    except Refusal:
        return None


def _mask(paired: PairedStudy, settings: CohortSettings) -> MaskVolume | None:
    if paired.mask is None:
        return None
    try:
        values = read_checked_labels(paired.mask, (paired.labels or settings.labels).meanings)
    except Refusal:
        return None
    return _outlined(values, paired.mask.grid, paired, settings)


def _outlined(
    values_zyx: NDArray[np.generic], grid: VoxelGrid, paired: PairedStudy, settings: CohortSettings
) -> MaskVolume:
    """The femur that the case would stand for, as `read_case_mask` reads it; none of what else the mask shows."""
    labels = paired.labels or settings.labels
    femur_zyx = np.isin(values_zyx, labels.of_femur(settings.femur))
    if labels.side_by_place(settings.femur):
        femur_zyx = of_side(femur_zyx, pieces_of(femur_zyx, grid), settings.femur)
    return MaskVolume(femur_zyx=femur_zyx, grid=grid)
