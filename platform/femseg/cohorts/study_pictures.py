"""Which pictures can be made of a study, whatever became of its check."""

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.examination import Examination
from femseg.cohorts.femur_side import of_side, pieces_of
from femseg.cohorts.open_stack import refused_series_preview
from femseg.cohorts.preview import Preview, end_bands, preview
from femseg.cohorts.settings import CohortSettings
from femseg.cohorts.study import PairedStudy, StudyFiles
from femseg.errors import Refusal
from femseg.volumes.files.reading import read_checked_ct, read_checked_labels
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.volume import MaskVolume


def examined_preview(found: Examination, paired: PairedStudy, settings: CohortSettings) -> Preview:
    """Of a study whose voxels are in memory."""
    mask = None
    if found.mask_values_zyx is not None and paired.mask is not None:
        mask = _outlined(found.mask_values_zyx, paired.mask.grid, paired, settings)
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
