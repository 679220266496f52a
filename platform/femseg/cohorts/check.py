"""`femseg check`: every study of a folder, every fault in one pass; studies can be checked in parallel, one by one."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from femseg.cohorts import dataset_json, dicom_pairs, msd, nnunet, totalsegmentator, volume_pairs
from femseg.cohorts.archive import is_archive
from femseg.cohorts.case import Case, HashedFile
from femseg.cohorts.examination import examined
from femseg.cohorts.identity import case_id, keyed_hash, patient_id
from femseg.cohorts.settings import CohortSettings, CohortSource, MaskUse
from femseg.cohorts.study import Adapter, PairedStudy, Pseudonym, StudyFiles
from femseg.cohorts.zipped_study import named_in_archive, opened, zip_holds_dicom, zipped_studies, zipped_study
from femseg.durable import sha256_of_file
from femseg.errors import ExitCode, Fault, Refusal
from femseg.volumes.files.dicom_folder import files_below, holds_dicom
from femseg.volumes.files.source import Mend
from femseg.volumes.volume import CtVolume

ADAPTERS: Mapping[CohortSource, Adapter] = {
    "phantom": dicom_pairs,  # phantoms are written as DICOM, so that the demo takes the road of real data
    "dicom": dicom_pairs,
    "volumes": volume_pairs,
    "totalsegmentator": totalsegmentator,
    "nnunet": nnunet,
    "msd": msd,
}
_ZIPPED: tuple[CohortSource, ...] = ("dicom", "volumes")  # of which a study may be a ZIP file


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStudy:
    """A study after its check: a case, or faults; neither where the folder held nothing like a study.

    Attributes:
        location: what the user knows the study by.
        pixels_sha256: of the CT's values and size, to find one study under two names.
        part: what its dataset keeps it for; only "training" makes a case of the cohort.
    """

    location: str
    case: Case | None
    faults: tuple[Fault, ...]
    ignored: tuple[str, ...]
    pixels_sha256: str = ""
    part: Literal["training", "test"] = "training"


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
    """How a folder is laid out: a dataset by its dataset.json or its file names, else "dicom" if any file below is.

    A ZIP file, or those among the files, count by what they hold.
    """
    if is_archive(folder):
        return "dicom" if zip_holds_dicom(folder) else "volumes"
    if (folder / dataset_json.NAME).is_file():
        return "nnunet" if nnunet.is_layout_of(folder) else "msd"
    if totalsegmentator.is_layout_of(folder):
        return "totalsegmentator"
    files = files_below(folder)
    return "dicom" if holds_dicom(files) or any(map(zip_holds_dicom, filter(is_archive, files))) else "volumes"


def studies_of(folder: Path, settings: CohortSettings) -> list[StudyFiles]:
    """The studies below a folder, or the one in an archive, unread.

    Raises: Refusal if there is no such folder (exit 2), no study or a wrong dataset.json (exit 3).
    """
    if is_archive(folder) and folder.exists():
        return [zipped_study(folder)]
    if not folder.is_dir():
        fix = "set cohort.folder to the folder of your studies"
        raise Refusal(Fault(id="CFG-01", file=str(folder), problem="is no folder", fix=fix, exit_code=ExitCode.USAGE))
    found = ADAPTERS[settings.source].studies(folder)
    if settings.source in _ZIPPED and all(study.location != folder for study in found):
        found = found + zipped_studies(folder)
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
    try:
        with opened(study, root) as (there, files_root):
            paired = ADAPTERS[settings.source].pair(there, settings, _pseudonym(id_key), masks)
            checked = _checked(there, paired, settings, files_root, id_key)[0]
            return replace(_outside(checked, study, files_root, root), part=study.part)
    except Refusal as refusal:  # of the archive
        return CheckedStudy(location=str(study.location), case=None, faults=refusal.faults, ignored=())


def _outside(checked: CheckedStudy, study: StudyFiles, folder: Path, root: Path) -> CheckedStudy:
    """What was found in an archive's temporary folder, told by the archive; anything else as it is."""
    if study.archive is None:
        return checked
    case = checked.case
    return replace(
        checked,
        case=_from_archive(case, study.archive, root) if case else None,
        faults=named_in_archive(checked.faults, folder, study.archive),
        ignored=tuple(name.replace(str(folder), str(study.archive)) for name in checked.ignored),
    )


def _from_archive(case: Case, path: Path, root: Path) -> Case:
    """The same case with its files in an archive."""
    archive = HashedFile(path=path.relative_to(root).as_posix(), sha256=sha256_of_file(path))
    mask = replace(case.mask, archive=archive) if case.mask else None
    return replace(case, ct=replace(case.ct, archive=archive), mask=mask)


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
            if study.part == "training":
                cases[study.case.case_id] = study.case
            seen[study.case.case_id] = seen[study.pixels_sha256] = study.location
        else:
            problem = f"is the same study as {twin}"
            faults.append(Fault(id="IN-23", file=study.location, problem=problem, fix="remove one of the two"))
    faults = list(dict.fromkeys(faults))  # what is wrong with a dataset.json is found by each of its studies
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
        check_one(study, settings, root=folder if folder.is_dir() else folder.parent, id_key=id_key, masks=masks)
        for study in watched(studies_of(folder, settings))
    ]
    return gathered(checked, folder, settings)


def inspect_study(
    path: Path,
    *,
    id_key: bytes,
    series: tuple[str, ...] = (),
    accept_hu: bool = False,
    mends: tuple[Mend, ...] = (),
) -> tuple[Case, CtVolume]:
    """Check a single CT and read it: a DICOM folder, a volume file, or either in a ZIP. A mask beside it is left alone.

    Raises: Refusal with every fault of the CT.
    """
    if not path.exists():
        fix = "give a DICOM folder, a volume file or a ZIP of either"
        raise Refusal(Fault(id="CFG-01", file=str(path), problem="does not exist", fix=fix, exit_code=ExitCode.USAGE))
    root = path if path.is_dir() else path.parent
    files = tuple(files_below(path)) if path.is_dir() else (path,)
    study = StudyFiles(name=path.name, location=path, folder=root, files=files)
    with opened(zipped_study(path) if is_archive(path) else study, root) as (there, files_root):
        case, ct = _inspected(there, files_root, id_key=id_key, series=series, accept_hu=accept_hu, mends=mends)
    return (_from_archive(case, path, root) if is_archive(path) else case), ct


def _inspected(
    study: StudyFiles,
    root: Path,
    *,
    id_key: bytes,
    series: tuple[str, ...],
    accept_hu: bool,
    mends: tuple[Mend, ...],
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
