"""Which pictures can be made of a study, whatever became of its check."""

from femseg.cohorts.examination import Examination
from femseg.cohorts.open_stack import refused_series_preview
from femseg.cohorts.preview import Preview, end_bands, preview
from femseg.cohorts.study import PairedStudy, StudyFiles
from femseg.errors import Refusal
from femseg.volumes.files.reading import read_checked_ct, read_checked_labels
from femseg.volumes.volume import MaskVolume


def examined_preview(found: Examination, paired: PairedStudy) -> Preview:
    """Of a study whose voxels are in memory."""
    mask = None
    if found.mask_values_zyx is not None and paired.mask is not None:
        mask = MaskVolume(femur_zyx=found.mask_values_zyx != 0, grid=paired.mask.grid)
    return preview(found.ct, mask, end_bands(found.facts.cut_off))


def refused_preview(study: StudyFiles, paired: PairedStudy) -> Preview | None:
    """Of a study with faults in its headers, as far as its files can be read; None where there is nothing to show."""
    try:
        mask = _mask(paired)
        return preview(read_checked_ct(paired.ct), mask) if paired.ct else refused_series_preview(study, mask)
    except Refusal:
        return None


def _mask(paired: PairedStudy) -> MaskVolume | None:
    if paired.mask is None:
        return None
    try:
        return MaskVolume(femur_zyx=read_checked_labels(paired.mask) != 0, grid=paired.mask.grid)
    except Refusal:
        return None
