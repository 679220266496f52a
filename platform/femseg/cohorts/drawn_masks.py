"""Masks that are drawn onto their CT: segments of a DICOM-SEG and regions of an RTSTRUCT, chosen by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.cohorts.structures import label_map
from femseg.cohorts.study import Pseudonym
from femseg.volumes.files.ct_planes import CtPlanes
from femseg.volumes.files.dicom_headers import SliceHeader
from femseg.volumes.files.dicom_seg import check_segmentation, read_segmentation
from femseg.volumes.files.rtstruct import check_structure_set, read_structure_set
from femseg.volumes.files.source import CheckedVolume


def check_drawn(
    mask: SliceHeader | Path,
    ct: CheckedVolume,
    ct_slices: Sequence[SliceHeader],
    settings: CohortSettings,
    pseudonym: Pseudonym,
) -> tuple[CheckedVolume, LabelMap]:
    """Check a segmentation object (by its header) or a structure set (by its path) against the CT.

    Args:
        ct_slices: the CT's slices, in the order of its grid.
    Returns: the mask, on the CT's grid, and what its numbers mean.
    Raises: Refusal with what is wrong with the object, its names, or its place on the CT.
    """
    planes = CtPlanes.of(ct, ct_slices)
    if isinstance(mask, Path):
        structures = read_structure_set(mask)
        labels = label_map(structures.names, settings, str(mask))
        chosen = _there(labels, structures.names)
        checked = check_structure_set(structures, chosen, ct, planes, pseudonym, accept_frame=settings.accept_frame)
        return checked, labels
    segmentation = read_segmentation(mask)
    labels = label_map(segmentation.names, settings, str(mask.path))
    chosen = _there(labels, segmentation.names)
    checked = check_segmentation(segmentation, chosen, ct, planes, pseudonym, accept_frame=settings.accept_frame)
    return checked, labels


def _there(labels: LabelMap, names: Mapping[str, int]) -> list[int]:
    """Numbers that are femur and that the object holds."""
    return [number for number in labels.of_femur("all") if number in names.values()]
