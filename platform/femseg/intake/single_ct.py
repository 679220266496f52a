"""A CT alone, checked and read: what `femseg segment` is given, or one of the studies of a folder that it is given."""

import os
from pathlib import Path

from femseg.cohorts.case import Case
from femseg.cohorts.settings import CohortSettings
from femseg.errors import Refusal
from femseg.files.plain import is_folder, require_plain_name
from femseg.formats.dicom.folder import files_below, holds_dicom
from femseg.formats.source import Mend
from femseg.formats.zip_archive import is_archive
from femseg.intake.check import checked_by_headers, checked_by_voxels, in_archive, name_below, pseudonym_with
from femseg.layouts import volume_pairs
from femseg.layouts.adapter import PairedStudy, StudyFiles
from femseg.layouts.detect import ADAPTERS, adapter_of
from femseg.layouts.zipped_study import opened, zipped_study
from femseg.volumes.grid import CtVolume


def inspect_study(
    path: Path, *, id_key: bytes, series: tuple[str, ...] = (), accept_hu: bool = False, mends: tuple[Mend, ...] = ()
) -> tuple[Case, CtVolume]:
    """Check a single CT and read it: a DICOM folder, a volume file, or either in a ZIP. A mask beside it is left alone.

    Args:
        series, accept_hu, mends: as in the settings of a cohort.
    Raises: Refusal with every fault of the CT.
    """
    if not os.path.lexists(path):
        raise Refusal.of("CFG-01", path, "does not exist", "give a DICOM folder, a volume file or a ZIP of either")
    root = path if is_folder(path) else path.parent
    files = tuple(files_below(path)) if is_folder(path) else (path,)
    study = StudyFiles(name=path.name, location=path, folder=root, files=files)
    with opened(zipped_study(path) if is_archive(path) else study, root) as (there, files_root):
        case, ct = _inspected(there, files_root, id_key=id_key, series=series, accept_hu=accept_hu, mends=mends)
    return (in_archive(case, path, root) if is_archive(path) else case), ct


def _inspected(
    study: StudyFiles, root: Path, *, id_key: bytes, series: tuple[str, ...], accept_hu: bool, mends: tuple[Mend, ...]
) -> tuple[Case, CtVolume]:
    """The same for a study whose files lie below `root`."""
    path = study.location
    dicom = holds_dicom(study.files)
    settings = CohortSettings(
        source="dicom" if dicom else "volumes",
        series=series,
        accept_hu=accept_hu,
        regularise="regularise" in mends,
        untilt="untilt" in mends,
    )
    if dicom or study.files != (path,):
        paired = ADAPTERS[settings.source].pair(study, settings, pseudonym_with(id_key), "ignored")
    else:
        paired = volume_pairs.single(study)
    case, ct, _ = _read(study, paired, settings, root, id_key)
    if series and paired.series and {wanted.casefold() for wanted in series}.isdisjoint(paired.series):
        problem, fix = f"holds no CT series {', '.join(series)}", "give number, description or UID of one that it holds"
        raise Refusal.of("IN-05", path, problem, fix)
    return case, ct


def inspect_listed(
    study: StudyFiles, settings: CohortSettings, *, root: Path, id_key: bytes
) -> tuple[Case, CtVolume, str]:
    """The same for a study that `studies_of` found below `root`, in any layout, and the SHA-256 of its pixels.

    Raises: Refusal with every fault.
    """
    require_plain_name(study.location)
    with opened(study, root) as (there, files_root):
        paired = adapter_of(there, settings).pair(there, settings, pseudonym_with(id_key), "ignored")
        case, ct, pixels_sha256 = _read(there, paired, settings, files_root, id_key)
    return (in_archive(case, study.archive, root) if study.archive else case), ct, pixels_sha256


def _read(
    study: StudyFiles, paired: PairedStudy, settings: CohortSettings, root: Path, id_key: bytes
) -> tuple[Case, CtVolume, str]:
    judged = checked_by_headers(study, paired, name_below(study, root), root, id_key)
    outcome, found = checked_by_voxels(judged, paired, settings, root)
    if outcome.faults:
        raise Refusal(outcome.faults)
    if outcome.case is None or found is None:
        raise Refusal.of("IN-05", study.location, "holds no CT", "give a DICOM folder or a volume file")
    return outcome.case, found.ct, outcome.pixels_sha256
