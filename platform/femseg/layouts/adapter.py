"""The one contract of all adapters: a folder in, studies out; a study in, its checked CT and mask out.

An adapter is a module with two functions, `studies` and `pair`. Finding studies opens no more files than it must, so
that the studies themselves can then be checked in parallel. What comes after `pair` is the same for every layout.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from femseg.cohorts.settings import CohortSettings, LabelMap, MaskUse
from femseg.errors import Fault, Refusal
from femseg.formats.source import CheckedVolume
from femseg.formats.volume_file import volume_stem, volume_suffix

Pseudonym = Callable[[str], str]

NO_PATIENT = "IN-06: volume files hold no PatientID; each study counts as its own patient"
_MASK_NAME = re.compile(r"(^|[^a-z])(masks?|seg|segmentations?|labels?|labelmap)([^a-z]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFiles:
    """One study as it lies on disk, unread.

    Attributes:
        name: by which its owner knows it: its folder or file name.
        location: what faults name: its folder, or its file in a folder of many.
        folder: the folder below which its files lie.
        files: everything that belongs to it; of an archive, known once it is unpacked.
        archive: the ZIP file that holds the study, if one does.
        part: what its dataset keeps it for. A study kept for the final test is checked, and looked for among the
            others (IN-23), and is no case.
        patient: whose it is, as `cohort.patients` says or, where files do not, its name; "" where neither does.
    """

    name: str
    location: Path
    folder: Path
    files: tuple[Path, ...]
    archive: Path | None = None
    part: Literal["training", "test"] = "training"
    patient: str = field(default="", repr=False)
    patient_by: Literal["", "settings", "name"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedStudy:
    """A study whose headers have been judged.

    Attributes:
        ct, mask: None where absent or refused.
        labels: what the mask's values mean, where the study itself says; else cohort.labels holds.
        case_key: what names this study and no other; only its keyed hash is kept.
        patient_key: what names the patient; likewise.
        series: of a DICOM CT, what it may be called: its UID, number and description.
        sex, age_years, side, scanner: as the header's allow-listed tags say.
        faults: everything wrong so far.
        ignored: files that were no business of ours.
    """

    ct: CheckedVolume | None = None
    mask: CheckedVolume | None = None
    labels: LabelMap | None = None
    case_key: str = field(default="", repr=False)
    patient_key: str = field(default="", repr=False)
    series: tuple[str, ...] = field(default=(), repr=False)
    sex: Literal["F", "M", "O"] | None = None
    age_years: int | None = None
    side: Literal["left", "right"] | None = None
    scanner: str | None = None
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()
    ignored: tuple[Path, ...] = ()


class Adapter(Protocol):
    """How one kind of layout is read."""

    def studies(self, folder: Path) -> list[StudyFiles]:
        """Every study below a folder, by name."""

    def pair(self, study: StudyFiles, settings: CohortSettings, pseudonym: Pseudonym, masks: MaskUse) -> PairedStudy:
        """Find a study's CT and mask and check their headers; never raises for what is wrong with the files."""


def patient_of(study: StudyFiles, stated: str = "", *, otherwise: str = NO_PATIENT) -> tuple[str, tuple[str, ...]]:
    """What names a study's patient, and a remark where its files do not: `cohort.patients`, PatientID, or its name.

    Args:
        stated: PatientID of its files, if they hold one.
        otherwise: the remark where the study alone stands for its patient.
    """
    if study.patient_by == "settings" or stated:
        return (study.patient if study.patient_by == "settings" else stated), ()
    if study.patient:
        return study.patient, ("IN-06: no PatientID; studies that are named alike but for the visit are one patient's",)
    return study.name, (otherwise,)


def names_a_mask(name: str) -> bool:
    """Whether a file's, folder's or series' name says that it holds a mask."""
    return _MASK_NAME.search(name.lower()) is not None


def inside(path: Path, folder: Path, name: str) -> bool:
    """Whether a file is, or lies in, the entry `name` of a folder."""
    return path == folder / name or folder / name in path.parents


def mask_by_convention(path: Path, study: StudyFiles) -> bool:
    """Whether a folder below the study's, or a volume file's own name, says mask."""
    inner = path.relative_to(study.folder)
    return any(names_a_mask(part) for part in (*inner.parts[:-1], volume_stem(path) if volume_suffix(path) else ""))


def is_mask_path(path: Path, study: StudyFiles, settings: CohortSettings) -> bool:
    """Whether a file is the mask's by its place in the study: as the settings name it, else by convention."""
    return inside(path, study.folder, settings.mask) if settings.mask else mask_by_convention(path, study)


def no_mask(study: StudyFiles, unread: str = "") -> Fault:
    """A study that a training cohort cannot use."""
    problem = "has no mask" + (f"; {unread} is not read" if unread else "")
    fix = "add mask.nii.gz or a folder `mask` with its DICOM series, or name it by cohort.mask"
    return Fault("IN-22", study.location, problem, fix)


def several(study: StudyFiles, what: str, found: Sequence[str], fix: str) -> Fault:
    """IN-05: more candidates than one; the first is never taken by default."""
    return Fault("IN-05", study.location, f"holds {len(found)} {what}: {'; '.join(found)}", fix)


def collected(check: Callable[[], CheckedVolume], faults: list[Fault]) -> CheckedVolume | None:
    """Run a check; what it refuses goes to the faults found so far, and work goes on."""
    try:
        return check()
    except Refusal as refusal:
        faults.extend(refusal.faults)
        return None
