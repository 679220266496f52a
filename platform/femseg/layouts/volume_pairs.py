"""CTs and masks as volume files: NIfTI, NRRD or MHA pairs.

A folder for each study:

    <study>/ct.nii.gz            or image, img, volume, scan; or the only file that is no mask
    <study>/mask.nii.gz          or any name with the word mask, seg, segmentation or label; or a folder of such a name

or many studies in one folder:

    a.nii.gz  a_mask.nii.gz      or a_seg, a_label, a_segmentation
    a.nii.gz  labels/a.nii.gz    or masks/, seg/, segmentations/

All of .nii.gz, .nii, .nrrd, .mha and NIfTI pairs (.hdr with .img) may be mixed. Without DICOM there is no PatientID:
`cohort.patients` says whose a study is; else those named alike but for the visit are one patient's, and any other is
its own.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from femseg.cohorts.settings import CohortSettings, MaskUse
from femseg.errors import Fault
from femseg.formats.dicom.folder import files_below, folder_faults, is_hidden
from femseg.formats.source import CheckedVolume
from femseg.formats.volume_file import FOREIGN_SUFFIXES, check_volume_file, header_of_pair, volume_stem, volume_suffix
from femseg.layouts.adapter import (
    PairedStudy,
    Pseudonym,
    StudyFiles,
    collected,
    is_mask_path,
    mask_by_convention,
    names_a_mask,
    no_mask,
    patient_of,
    several,
)

_CT_STEMS = ("ct", "image", "img", "volume", "scan")
_MASK_TAIL = re.compile(r"[ _.-](masks?|seg|segmentations?|labels?)$", re.IGNORECASE)


def studies(folder: Path) -> list[StudyFiles]:
    """The folder itself if it holds a file named like a CT; else its image files, and each folder of volumes below."""
    entries = sorted(path for path in folder.iterdir() if not is_hidden(path.name))
    files = [path for path in entries if volume_suffix(path) and not path.is_dir()]
    if any(volume_stem(path).lower() in _CT_STEMS for path in files):
        return [_study(folder)]
    folders = [path for path in entries if path.is_dir()]
    mask_folders = [path for path in folders if names_a_mask(path.name)]
    masks = [path for path in files if names_a_mask(volume_stem(path))]
    for below in mask_folders:
        masks += [path for path in files_below(below) if volume_suffix(path)]
    images = [path for path in (*files, *filter(_is_lone_half, entries)) if path not in masks]
    found = [
        StudyFiles(
            name=volume_stem(image),
            location=image,
            folder=folder,
            files=(image, *(mask for mask in masks if _MASK_TAIL.sub("", volume_stem(mask)) == volume_stem(image))),
        )
        for image in images
    ]
    return found + [_study(below) for below in folders if below not in mask_folders]


def _study(folder: Path) -> StudyFiles:
    return StudyFiles(name=folder.name, location=folder, folder=folder, files=tuple(files_below(folder)))


def _is_lone_half(path: Path) -> bool:
    """Whether a file is the .img of a pair whose .hdr is not there."""
    header = header_of_pair(path)
    return header is not None and not os.path.lexists(header)


def _is_foreign(path: Path) -> bool:
    return path.name.lower().endswith(FOREIGN_SUFFIXES) and (header_of_pair(path) is None or _is_lone_half(path))


def pair(study: StudyFiles, settings: CohortSettings, pseudonym: Pseudonym, masks: MaskUse) -> PairedStudy:
    """Find the CT and the mask of a study and check both."""
    volumes = [path for path in study.files if volume_suffix(path)]
    foreign = [path for path in study.files if _is_foreign(path)]
    faults = folder_faults(path for path in study.files if path not in (*volumes, *foreign))
    if not volumes:
        for path in foreign:
            collected(lambda path=path: check_volume_file(path, "ct"), faults)  # type: ignore[misc]
        if not study.files:
            faults.append(Fault("IN-05", study.location, "is an empty folder", "put the CT there as ct.nii.gz"))
        return PairedStudy(faults=tuple(faults), ignored=tuple(path for path in study.files if path not in foreign))
    mask_files = [path for path in volumes if is_mask_path(path, study, settings)]
    candidates = [p for p in volumes if p not in mask_files and not mask_by_convention(p, study)]
    unread = [] if candidates else [p for p in foreign if not is_mask_path(p, study, settings)]
    wanted = masks == "required" and not mask_files
    unread_masks = [p for p in foreign if is_mask_path(p, study, settings)] if wanted else []
    for path in (*unread, *unread_masks):  # CT or mask, by all appearances, in a format that is not read: said by name
        collected(lambda path=path: check_volume_file(path, "ct"), faults)  # type: ignore[misc]
    ct_file = None if unread else _ct_file(candidates, study, faults)
    ct = collected(lambda: check_volume_file(ct_file, "ct"), faults) if ct_file else None
    mask = _mask(mask_files, study, faults) if masks == "required" and not unread_masks else None
    patient, remarks = patient_of(study)
    used = {ct_file, *mask_files, *unread, *unread_masks}
    return PairedStudy(
        ct=ct,
        mask=mask,
        case_key=study.name,
        patient_key=patient,
        faults=tuple(faults),
        remarks=remarks,
        ignored=tuple(path for path in study.files if path not in used),
    )


def _ct_file(candidates: Sequence[Path], study: StudyFiles, faults: list[Fault]) -> Path | None:
    named = [path for path in candidates if volume_stem(path).lower() in _CT_STEMS] or candidates
    if len(named) == 1:
        return named[0]
    if named:
        found = [path.name for path in named]
        faults.append(several(study, "files that may be the CT", found, "name the one to use ct.nii.gz"))
    elif not faults:  # what could not be looked at may be the CT, and is said already
        strange = [path.name for path in study.files if not volume_suffix(path)]
        besides = f"; {len(strange)} files are of no kind that is read ({strange[0]} …)" if strange else ""
        fix = "put the CT there as ct.nii.gz, or as a DICOM series"
        faults.append(Fault("IN-05", study.location, f"holds masks but no CT{besides}", fix))
    return None


def _mask(masks: Sequence[Path], study: StudyFiles, faults: list[Fault]) -> CheckedVolume | None:
    if len(masks) == 1:
        return collected(lambda: check_volume_file(masks[0], "mask"), faults)
    if masks:
        found = [str(path.relative_to(study.folder)) for path in masks]
        faults.append(several(study, "masks", found, f"name the one to use: --mask {found[0]} (cohort.mask)"))
    else:
        faults.append(no_mask(study))
    return None


def single(study: StudyFiles) -> PairedStudy:
    """A study of one file that is the CT, whatever its name."""
    faults: list[Fault] = []
    ct = collected(lambda: check_volume_file(study.files[0], "ct"), faults)
    return PairedStudy(ct=ct, case_key=study.name, patient_key=study.name, faults=tuple(faults))
