"""How a folder of studies is laid out, and the studies that it holds, unread."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from femseg.cohorts.settings import CohortSettings, CohortSource
from femseg.errors import Fault, Refusal
from femseg.files.plain import is_folder
from femseg.formats.dicom.folder import files_below, holds_dicom
from femseg.formats.volume_file import volume_suffix
from femseg.formats.zip_archive import is_archive
from femseg.layouts import dataset_json, dicom_pairs, nnunet, totalsegmentator, volume_pairs
from femseg.layouts import dataset_json as msd
from femseg.layouts.adapter import Adapter, StudyFiles, is_mask_path
from femseg.layouts.patients import with_patients
from femseg.layouts.zipped_study import zip_holds_dicom, zipped_studies, zipped_study

ADAPTERS: Mapping[CohortSource, Adapter] = {
    "phantom": dicom_pairs,  # phantoms are written as DICOM, so that the demo takes the road of real data
    "synthetic": volume_pairs,  # as NIfTI pairs
    "dicom": dicom_pairs,
    "volumes": volume_pairs,
    "totalsegmentator": totalsegmentator,
    "nnunet": nnunet,
    "msd": msd,
}

_ZIPPED: tuple[CohortSource, ...] = ("dicom", "volumes")  # of which a study may be a ZIP file


def detected_source(folder: Path) -> CohortSource:
    """How a folder is laid out: a dataset by its dataset.json or its file names, else "dicom" if any file below is.

    A ZIP file, or those among the files, count by what they hold. What nobody may look into decides nothing: its
    study's check says so.

    Raises: Refusal IN-26 if nobody may look into the folder itself.
    """
    if is_archive(folder):
        return "dicom" if zip_holds_dicom(folder) else "volumes"
    with _looking_into(folder):
        if (folder / dataset_json.NAME).is_file():
            return "nnunet" if nnunet.is_layout_of(folder) else "msd"
        if totalsegmentator.is_layout_of(folder):
            return "totalsegmentator"
    files = files_below(folder)
    for linked in [path for path in files if path.parent == folder and path.is_symlink() and is_folder(path)]:
        files += files_below(linked)  # a study's folder may be a link; what it holds counts
    return "dicom" if holds_dicom(files) or any(map(zip_holds_dicom, filter(is_archive, files))) else "volumes"


@contextmanager
def _looking_into(folder: Path) -> Iterator[None]:
    """Raises: Refusal IN-26 for what the system does not allow."""
    try:
        yield
    except OSError as error:
        problem, fix = f"cannot be looked into: {error.strerror or error}", "give yourself the right to read it"
        raise Refusal.of("IN-26", error.filename or folder, problem, fix) from None


def adapter_of(study: StudyFiles, settings: CohortSettings) -> Adapter:
    """How a study is read: as the cohort's source says, but DICOM and volume files may stand side by side.

    A study in a folder of its own whose CT is of the other of both kinds, and that has none of the first, is read as
    what it is.
    """
    volumes = [path for path in study.files if volume_suffix(path)]
    if settings.source not in _ZIPPED or study.files == (study.location,):
        return ADAPTERS[settings.source]
    cts = [path for path in volumes if not is_mask_path(path, study, settings)]
    if settings.source == "volumes":
        return dicom_pairs if not cts and holds_dicom(study.files) else volume_pairs
    return volume_pairs if cts and not holds_dicom(study.files) else dicom_pairs


def studies_of(folder: Path, settings: CohortSettings) -> list[StudyFiles]:
    """The studies below a folder, or the one in an archive, unread.

    Raises: Refusal if there is no such folder or no patient (exit 2), no study or a wrong dataset.json (exit 3).
    """
    if is_archive(folder) and os.path.lexists(folder):
        return [zipped_study(folder)]
    if not is_folder(folder):
        raise Refusal.of("CFG-01", folder, "is no folder", "set cohort.folder to the folder of your studies")
    with _looking_into(folder):
        found = ADAPTERS[settings.source].studies(folder)
        if settings.source in _ZIPPED and all(study.location != folder for study in found):
            found = found + zipped_studies(folder)
    if not found:
        raise Refusal(no_study(folder, settings))
    return with_patients(found, settings.patients)


def no_study(folder: Path, settings: CohortSettings) -> Fault:
    """IN-05: a folder without anything like a study."""
    fix = "put each study into a folder of its own, or name another folder or cohort.source"
    return Fault("IN-05", folder, f"holds no study ({settings.source})", fix)
