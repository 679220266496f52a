"""`femseg check`: every study of a folder, every fault in one pass; studies can be checked in parallel, one by one."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from femseg.cohorts.case import Case, CaseFacts, HashedFile, case_id, keyed_hash, patient_id
from femseg.cohorts.settings import CohortSettings, MaskUse
from femseg.errors import Fault, Refusal
from femseg.files.durable import sha256_of_file
from femseg.files.plain import is_folder, require_plain_name
from femseg.formats.plausible import place_in
from femseg.formats.reading import read_checked_ct
from femseg.formats.source import Source
from femseg.formats.zip_archive import is_archive
from femseg.intake.cohort import gathered
from femseg.intake.identifying_text import header_text_findings
from femseg.intake.mask_checks import grid_faults
from femseg.intake.open_stack import checked_preview, refused_preview
from femseg.intake.preview import hu_counts
from femseg.intake.result import CheckedCohort, CheckedStudy, doubts
from femseg.intake.voxel_check import VoxelCheck, check_voxels
from femseg.layouts.adapter import PairedStudy, Pseudonym, StudyFiles
from femseg.layouts.detect import adapter_of, studies_of
from femseg.layouts.zipped_study import named_in_archive, opened
from femseg.volumes.grid import CtVolume


def name_below(study: StudyFiles, root: Path) -> str:
    """A study's place below the cohort's folder."""
    name = study.location.relative_to(root).as_posix() if study.location.is_relative_to(root) else study.name
    return study.name if name == "." else name


def pseudonym_with(id_key: bytes) -> Pseudonym:
    return lambda identifier: keyed_hash(identifier, key=id_key, purpose="message")


def checked_by_headers(
    study: StudyFiles, paired: PairedStudy, name: str, files_root: Path, id_key: bytes
) -> CheckedStudy:
    """A study as far as its headers tell."""
    faults = paired.faults
    if paired.ct and paired.mask and not faults:
        faults = tuple(grid_faults(paired.ct.grid, paired.mask.grid, str(paired.mask.where)))
    used = [path for volume in (paired.ct, paired.mask) if volume for path in volume.paths]  # a pair's .img, too
    return CheckedStudy(
        location=str(study.location),
        name=name,
        case=None,
        faults=faults,
        ignored=tuple(str(path) for path in paired.ignored if path not in used),
        case_id=case_id(paired.case_key, key=id_key) if paired.case_key else "",
        patient_id=patient_id(paired.patient_key, key=id_key) if paired.patient_key else "",
        grid=paired.ct.grid if paired.ct else None,
        facts=CaseFacts(side=paired.side, sex=paired.sex, age_years=paired.age_years, scanner=paired.scanner),
        remarks=(*paired.remarks, *(paired.ct.remarks if paired.ct else ()), *_of_mask(paired)),
        findings=header_text_findings(name, files_root, study.files),
    )


def _of_mask(paired: PairedStudy) -> tuple[str, ...]:
    """The mask's remarks that its CT does not make anyway."""
    if paired.mask is None or paired.ct is None:
        return ()
    return tuple(f"{remark} (mask)" for remark in paired.mask.remarks if remark not in paired.ct.remarks)


def checked_by_voxels(
    outcome: CheckedStudy, paired: PairedStudy, settings: CohortSettings, root: Path
) -> tuple[CheckedStudy, VoxelCheck | None]:
    """A judged study as far as its voxels tell, and these voxels if they could be read."""
    if paired.ct is None or paired.faults:
        return outcome, None
    try:
        with ThreadPoolExecutor(2) as hashing:  # while the voxels are looked at; neither waits for the interpreter
            sources = hashing.submit(_hashed, paired, root)
            volume = read_checked_ct(paired.ct)
            pixels = hashing.submit(_pixels_sha256, volume)
            found = check_voxels(paired, paired.ct, settings, volume)
    except Refusal as refusal:
        return replace(outcome, faults=refusal.faults), None
    remarks = (*outcome.remarks, *found.remarks)
    outcome = replace(
        outcome,
        faults=found.faults,
        facts=found.facts,
        grid=found.ct.grid,
        remarks=remarks,
        findings=(*outcome.findings, *doubts(outcome.name, remarks)),
        hu_counts=hu_counts(found.ct.hu_zyx),
    )
    if found.faults:
        return outcome, found
    try:
        ct, mask = sources.result()
        case = Case(
            case_id=outcome.case_id,
            patient_id=outcome.patient_id,
            ct=ct,
            mask=replace(mask, labels=found.femur_labels) if mask else None,
            grid=found.ct.grid,
            femur=settings.femur,
            side_by_place=found.labels.side_by_place(settings.femur),
            facts=found.facts,
            remarks=remarks,
        )
    except Refusal as refusal:
        return replace(outcome, faults=refusal.faults), found
    return replace(outcome, case=case, pixels_sha256=pixels.result()), found


def _pixels_sha256(ct: CtVolume) -> str:
    digest = hashlib.sha256(repr(ct.grid.shape_zyx).encode())
    digest.update(ct.hu_zyx.data)
    return digest.hexdigest()


def _hashed(paired: PairedStudy, root: Path) -> tuple[Source, Source | None]:
    if paired.ct is None:
        raise ValueError("a study without a CT has no files to hash")
    try:
        return paired.ct.hashed(root), paired.mask.hashed(root) if paired.mask else None
    except OSError as error:  # a file that went away since its header was read
        problem, fix = f"cannot be read: {error.strerror or error}", "leave the files alone during the check"
        raise Refusal.of("IN-26", error.filename, problem, fix) from None


def in_archive(case: Case, path: Path, root: Path) -> Case:
    """The same case with its files in an archive."""
    archive = HashedFile(path=path.relative_to(root).as_posix(), sha256=sha256_of_file(path))
    mask = replace(case.mask, archive=archive) if case.mask else None
    return replace(case, ct=replace(case.ct, archive=archive), mask=mask)


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
    paired = _with_packed(adapter_of(study, settings).pair(study, settings, pseudonym_with(id_key), masks), study)
    paired = with_placed_mask(paired)
    judged = checked_by_headers(study, paired, name_below(study, root), files_root, id_key)
    if headers_only:
        return judged
    outcome, found = checked_by_voxels(judged, paired, settings, files_root)
    if pictures and (outcome.faults or outcome.usable):
        made = checked_preview(found, paired, settings) if found else refused_preview(study, paired, settings)
        outcome = replace(outcome, preview=made, no_preview="" if made else "the CT could not be read far enough")
    return outcome


def with_placed_mask(paired: PairedStudy) -> PairedStudy:
    """A mask cropped to what it shows, as 3D Slicer exports it, is placed on the CT's grid by its header (IN-20)."""
    ct, mask = paired.ct, paired.mask
    start = place_in(ct.grid, mask.grid) if ct and mask and mask.kind == "volume" else None
    if ct is None or mask is None or start is None:
        return paired
    small, at = (" × ".join(map(str, numbers)) for numbers in (mask.grid.shape_zyx, start))
    remark = f"IN-20: the mask holds {small} of the CT's voxels alone, from {at} on (z, y, x); placed there"
    return replace(paired, mask=replace(mask, grid=ct.grid, remarks=(*mask.remarks, remark)))


def _with_packed(paired: PairedStudy, study: StudyFiles) -> PairedStudy:
    """IN-12 for each archive among a study's files: what it holds was not looked at."""
    packed = [path for path in study.files if is_archive(path)]
    problem, fix = "is an archive inside a study", "put the ZIP beside the studies' folders, unpack it, or take it away"
    faults = tuple(Fault("IN-12", path, problem, fix) for path in packed)
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
