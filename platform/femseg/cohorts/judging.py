"""What a study's headers say of it, and then its voxels: faults and remarks, or a case."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from femseg.cohorts.case import Case, CaseFacts, HashedFile
from femseg.cohorts.checked import CheckedStudy
from femseg.cohorts.examination import Examination, examined
from femseg.cohorts.findings import doubts
from femseg.cohorts.header_text import header_text_findings
from femseg.cohorts.identity import case_id, keyed_hash, patient_id
from femseg.cohorts.mask_checks import grid_faults
from femseg.cohorts.preview import hu_counts
from femseg.cohorts.settings import CohortSettings
from femseg.cohorts.study import PairedStudy, Pseudonym, StudyFiles
from femseg.durable import sha256_of_file
from femseg.errors import Fault, Refusal
from femseg.volumes.files.reading import read_checked_ct
from femseg.volumes.files.source import Source
from femseg.volumes.volume import CtVolume


def name_below(study: StudyFiles, root: Path) -> str:
    """A study's place below the cohort's folder."""
    name = study.location.relative_to(root).as_posix() if study.location.is_relative_to(root) else study.name
    return study.name if name == "." else name


def pseudonym_with(id_key: bytes) -> Pseudonym:
    return lambda identifier: keyed_hash(identifier, key=id_key, purpose="message")


def judged_by_headers(
    study: StudyFiles, paired: PairedStudy, name: str, files_root: Path, id_key: bytes
) -> CheckedStudy:
    """A study as far as its headers tell."""
    faults = paired.faults
    if paired.ct and paired.mask and not faults:
        faults = tuple(grid_faults(paired.ct.grid, paired.mask.grid, str(paired.mask.where)))
    return CheckedStudy(
        location=str(study.location),
        name=name,
        case=None,
        faults=faults,
        ignored=tuple(map(str, paired.ignored)),
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


def judged_by_voxels(
    outcome: CheckedStudy, paired: PairedStudy, settings: CohortSettings, root: Path
) -> tuple[CheckedStudy, Examination | None]:
    """A judged study as far as its voxels tell, and these voxels if they could be read."""
    if paired.ct is None or paired.faults:
        return outcome, None
    try:
        with ThreadPoolExecutor(2) as hashing:  # while the voxels are looked at; neither waits for the interpreter
            sources = hashing.submit(_hashed, paired, root)
            volume = read_checked_ct(paired.ct)
            pixels = hashing.submit(_pixels_sha256, volume)
            found = examined(paired, paired.ct, settings, volume)
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
            side_by_place=(paired.labels or settings.labels).side_by_place(settings.femur),
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
        raise Refusal(Fault(id="IN-26", file=str(error.filename), problem=problem, fix=fix)) from None


def in_archive(case: Case, path: Path, root: Path) -> Case:
    """The same case with its files in an archive."""
    archive = HashedFile(path=path.relative_to(root).as_posix(), sha256=sha256_of_file(path))
    mask = replace(case.mask, archive=archive) if case.mask else None
    return replace(case, ct=replace(case.ct, archive=archive), mask=mask)
