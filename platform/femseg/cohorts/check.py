"""`femseg check`: every study of a folder, every fault in one pass; studies can be checked in parallel, one by one."""

from dataclasses import replace
from pathlib import Path

from femseg.cohorts.archive import is_archive
from femseg.cohorts.checked import CheckedCohort, CheckedStudy
from femseg.cohorts.gathering import gathered
from femseg.cohorts.judging import in_archive, judged_by_headers, judged_by_voxels, name_below, pseudonym_with
from femseg.cohorts.layouts import ADAPTERS, studies_of
from femseg.cohorts.settings import CohortSettings, MaskUse
from femseg.cohorts.study import PairedStudy, StudyFiles
from femseg.cohorts.study_pictures import examined_preview, refused_preview
from femseg.cohorts.zipped_study import named_in_archive, opened
from femseg.errors import Fault, Refusal
from femseg.plain_files import is_folder
from femseg.volumes.files.opening import require_plain_name


def check_one(
    study: StudyFiles,
    settings: CohortSettings,
    *,
    root: Path,
    id_key: bytes,
    masks: MaskUse = "required",
    headers_only: bool = False,
    pictures: bool = False,
) -> CheckedStudy:
    """Check one study; what is wrong with it comes back as faults, never as an exception.

    Args:
        root: the cohort's folder, to which the case's file paths are made relative.
        id_key: secret key of the case and patient ids.
        masks: whether the study must have a mask, or its CT alone is looked at.
        headers_only: look at no voxel, beyond proving that all are there; a study without fault is then no case yet.
        pictures: make a preview, also of a study with faults where that is possible.
    """
    try:
        require_plain_name(study.location)  # said once, not for each file below
        with opened(study, root) as (there, files_root):
            outcome = _looked_at(
                there, settings, root, files_root, id_key, masks, headers_only=headers_only, pictures=pictures
            )
            return replace(_outside(outcome, study, files_root, root), part=study.part)
    except Refusal as refusal:  # of its name or the archive
        return CheckedStudy(
            name=name_below(study, root), location=str(study.location), case=None, faults=refusal.faults, ignored=()
        )


def _looked_at(
    study: StudyFiles,
    settings: CohortSettings,
    root: Path,
    files_root: Path,
    id_key: bytes,
    masks: MaskUse,
    *,
    headers_only: bool,
    pictures: bool,
) -> CheckedStudy:
    """The same for a study whose files are on disk, below `files_root`."""
    paired = _with_packed(ADAPTERS[settings.source].pair(study, settings, pseudonym_with(id_key), masks), study)
    judged = judged_by_headers(study, paired, name_below(study, root), files_root, id_key)
    if headers_only:
        return judged
    outcome, found = judged_by_voxels(judged, paired, settings, files_root)
    if pictures and (outcome.faults or outcome.usable):
        made = examined_preview(found, paired, settings) if found else refused_preview(study, paired, settings)
        outcome = replace(outcome, preview=made, no_preview="" if made else "the CT could not be read far enough")
    return outcome


def _with_packed(paired: PairedStudy, study: StudyFiles) -> PairedStudy:
    """IN-12 for each archive among a study's files: what it holds was not looked at."""
    packed = [path for path in study.files if is_archive(path)]
    problem, fix = "is an archive inside a study", "put the ZIP beside the studies' folders, unpack it, or take it away"
    faults = tuple(Fault(id="IN-12", file=str(path), problem=problem, fix=fix) for path in packed)
    ignored = tuple(path for path in paired.ignored if path not in packed)
    return replace(paired, faults=(*paired.faults, *faults), ignored=ignored)


def _outside(checked: CheckedStudy, study: StudyFiles, folder: Path, root: Path) -> CheckedStudy:
    """What was found in an archive's temporary folder, told by the archive; anything else as it is."""
    if study.archive is None:
        return checked
    case = checked.case
    return replace(
        checked,
        case=in_archive(case, study.archive, root) if case else None,
        faults=named_in_archive(checked.faults, folder, study.archive),
        ignored=tuple(name.replace(str(folder), str(study.archive)) for name in checked.ignored),
    )


def crashed_study(study: StudyFiles, fault: Fault) -> CheckedStudy:
    """What is left of a study whose check brought its process down."""
    return CheckedStudy(name=study.name, location=str(study.location), case=None, faults=(fault,), ignored=())


def check_cohort(
    folder: Path, settings: CohortSettings, *, id_key: bytes, masks: MaskUse = "required"
) -> CheckedCohort:
    """Check every study below a folder, one after the other, voxels and all.

    Args:
        folder: the cohort's folder; the cases' file paths are relative to it.
        id_key: secret key of the case and patient ids.
        masks: whether every study must have a mask, or CTs alone are looked at.
    Raises: Refusal if there is no folder, or nothing in it; faults of studies are returned, not raised.
    """
    root = folder if is_folder(folder) else folder.parent
    studies = studies_of(folder, settings)
    checked = [check_one(study, settings, root=root, id_key=id_key, masks=masks) for study in studies]
    return gathered(checked, folder, settings)
