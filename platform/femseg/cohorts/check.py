"""`femseg check`: every study of a folder, every fault in one pass; studies can be checked in parallel, one by one."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from femseg.cohorts import dicom_pairs, volume_pairs
from femseg.cohorts.case import Case
from femseg.cohorts.examination import examined
from femseg.cohorts.identity import case_id, keyed_hash, patient_id
from femseg.cohorts.settings import CohortSettings, CohortSource, MaskUse
from femseg.cohorts.study import Adapter, PairedStudy, Pseudonym, StudyFiles
from femseg.errors import ExitCode, Fault, Refusal
from femseg.plain_files import is_folder
from femseg.volumes.files.dicom_folder import files_below, holds_dicom
from femseg.volumes.volume import CtVolume

ADAPTERS: Mapping[CohortSource, Adapter] = {
    "phantom": dicom_pairs,  # phantoms are written as DICOM, so that the demo takes the road of real data
    "dicom": dicom_pairs,
    "volumes": volume_pairs,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStudy:
    """A study after its check: a case, or faults; neither where the folder held nothing like a study.

    Attributes:
        location: what the user knows the study by.
        pixels_sha256: of the CT's values and size, to find one study under two names.
    """

    location: str
    case: Case | None
    faults: tuple[Fault, ...]
    ignored: tuple[str, ...]
    pixels_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCohort:
    """All that a check found. `cases` are usable whether or not other studies have faults.

    Attributes:
        cases: by ascending case id, file paths relative to the cohort's folder.
        ignored: files that are neither CT nor mask.
    """

    cases: tuple[Case, ...]
    faults: tuple[Fault, ...]
    ignored: tuple[str, ...]

    def refuse_faults(self) -> None:
        """Raises: Refusal with every fault, if there is any."""
        if self.faults:
            raise Refusal(self.faults)


def detected_source(folder: Path) -> CohortSource:
    """ "dicom" if any file below is DICOM, else "volumes"."""
    return "dicom" if holds_dicom(files_below(folder)) else "volumes"


def studies_of(folder: Path, settings: CohortSettings) -> list[StudyFiles]:
    """The studies below a folder, unread. Raises: Refusal if there is no such folder (exit 2) or no study (exit 3)."""
    if not is_folder(folder):
        fix = "set cohort.folder to the folder of your studies"
        raise Refusal(Fault(id="CFG-01", file=str(folder), problem="is no folder", fix=fix, exit_code=ExitCode.USAGE))
    try:
        found = ADAPTERS[settings.source].studies(folder)
    except OSError as error:
        problem, fix = f"cannot be looked into: {error.strerror or error}", "give yourself the right to read it"
        raise Refusal(Fault(id="IN-26", file=str(error.filename or folder), problem=problem, fix=fix)) from None
    if not found:
        raise Refusal(_no_study(folder, settings))
    return found


def _no_study(folder: Path, settings: CohortSettings) -> Fault:
    fix = "put each study into a folder of its own, or name another folder or cohort.source"
    return Fault(id="IN-05", file=str(folder), problem=f"holds no study ({settings.source})", fix=fix)


def check_one(
    study: StudyFiles, settings: CohortSettings, *, root: Path, id_key: bytes, masks: MaskUse = "required"
) -> CheckedStudy:
    """Check one study; what is wrong with it comes back as faults, never as an exception.

    Args:
        root: the cohort's folder, to which the case's file paths are made relative.
        id_key: secret key of the case and patient ids.
        masks: whether the study must have a mask, or its CT alone is looked at.
    """
    paired = ADAPTERS[settings.source].pair(study, settings, _pseudonym(id_key), masks)
    return _checked(study, paired, settings, root, id_key)[0]


def _pseudonym(id_key: bytes) -> Pseudonym:
    return lambda identifier: keyed_hash(identifier, key=id_key, purpose="message")


def _checked(
    study: StudyFiles, paired: PairedStudy, settings: CohortSettings, root: Path, id_key: bytes
) -> tuple[CheckedStudy, CtVolume | None]:
    outcome = CheckedStudy(
        location=str(study.location), case=None, faults=paired.faults, ignored=tuple(map(str, paired.ignored))
    )
    if paired.ct is None or paired.faults:
        return outcome, None
    try:
        found = examined(paired, paired.ct, settings)
        if found.faults:
            return replace(outcome, faults=found.faults), None
        case = Case(
            case_id=case_id(paired.case_key, key=id_key),
            patient_id=patient_id(paired.patient_key, key=id_key),
            ct=paired.ct.hashed(root),
            mask=paired.mask.hashed(root, found.femur_labels) if paired.mask else None,
            grid=found.ct.grid,
            femur=settings.femur,
            side_by_place=(paired.labels or settings.labels).side_by_place(settings.femur),
            facts=found.facts,
            remarks=(*paired.remarks, *paired.ct.remarks, *_of_mask(paired), *found.remarks),
        )
    except Refusal as refusal:
        return replace(outcome, faults=refusal.faults), None
    digest = hashlib.sha256(repr(found.ct.grid.shape_zyx).encode())
    digest.update(found.ct.hu_zyx.data)
    return replace(outcome, case=case, pixels_sha256=digest.hexdigest()), found.ct


def _of_mask(paired: PairedStudy) -> tuple[str, ...]:
    """The mask's remarks that its CT does not make anyway."""
    if paired.mask is None or paired.ct is None:
        return ()
    return tuple(f"{remark} (mask)" for remark in paired.mask.remarks if remark not in paired.ct.remarks)


def gathered(studies: Iterable[CheckedStudy], folder: Path, settings: CohortSettings) -> CheckedCohort:
    """Many checked studies of a folder as one cohort.

    A study that is there twice becomes a fault (IN-23), and so does a cohort without any study (IN-05).
    """
    cases: dict[str, Case] = {}
    seen: dict[str, str] = {}
    faults: list[Fault] = []
    ignored: list[str] = []
    for study in studies:
        faults += study.faults
        ignored += study.ignored
        if study.case is None:
            continue
        twin = seen.get(study.case.case_id) or seen.get(study.pixels_sha256)
        if twin is None:
            cases[study.case.case_id] = study.case
            seen[study.case.case_id] = seen[study.pixels_sha256] = study.location
        else:
            problem = f"is the same study as {twin}"
            faults.append(Fault(id="IN-23", file=study.location, problem=problem, fix="remove one of the two"))
    if not cases and not faults:
        faults.append(_no_study(folder, settings))
    return CheckedCohort(cases=tuple(cases[key] for key in sorted(cases)), faults=tuple(faults), ignored=tuple(ignored))


def check_cohort(
    folder: Path,
    settings: CohortSettings,
    *,
    id_key: bytes,
    masks: MaskUse = "required",
    watched: Callable[[Sequence[StudyFiles]], Iterable[StudyFiles]] = iter,
) -> CheckedCohort:
    """Check every study below a folder, one after the other.

    Args:
        folder: the cohort's folder; the cases' file paths are relative to it.
        id_key: secret key of the case and patient ids.
        masks: whether every study must have a mask, or CTs alone are looked at.
        watched: hands the studies on one by one, to show how far the check has come.
    Raises: Refusal if there is no folder, or nothing in it; faults of studies are returned, not raised.
    """
    checked = [
        check_one(study, settings, root=folder, id_key=id_key, masks=masks)
        for study in watched(studies_of(folder, settings))
    ]
    return gathered(checked, folder, settings)


def inspect_study(
    path: Path, *, id_key: bytes, series: tuple[str, ...] = (), accept_hu: bool = False
) -> tuple[Case, CtVolume]:
    """Check a single CT, given as a DICOM folder or a volume file, and read it; a mask beside it is left alone.

    Raises: Refusal with every fault of the CT.
    """
    if not os.path.lexists(path):
        fix = "give a DICOM folder or a volume file"
        raise Refusal(Fault(id="CFG-01", file=str(path), problem="does not exist", fix=fix, exit_code=ExitCode.USAGE))
    root = path if path.is_dir() else path.parent
    study = StudyFiles(
        name=path.name, location=path, folder=root, files=tuple(files_below(path)) if path.is_dir() else (path,)
    )
    dicom = holds_dicom(study.files)
    settings = CohortSettings(source="dicom" if dicom else "volumes", series=series, accept_hu=accept_hu)
    if dicom or path.is_dir():
        paired = ADAPTERS[settings.source].pair(study, settings, _pseudonym(id_key), "ignored")
    else:
        paired = volume_pairs.single(study)
    outcome, ct = _checked(study, paired, settings, root, id_key)
    if outcome.faults:
        raise Refusal(outcome.faults)
    if series and dicom and not any(uid in paired.case_key.split() for uid in series):
        problem, fix = f"holds no CT series {', '.join(series)}", "give the SeriesInstanceUID of one that it holds"
        raise Refusal(Fault(id="IN-05", file=str(path), problem=problem, fix=fix))
    if outcome.case is None or ct is None:
        fix = "give a DICOM folder or a volume file"
        raise Refusal(Fault(id="IN-05", file=str(path), problem="holds no CT", fix=fix))
    return outcome.case, ct
