"""Many checked studies as one cohort: who is there twice, and on which side of a split."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from femseg.cohorts.case import Part
from femseg.cohorts.settings import CohortSettings
from femseg.errors import Fault
from femseg.files.plain import is_folder
from femseg.formats.dicom.folder import system_folders
from femseg.intake.leakage import Fold, given_parts, split_faults, split_findings
from femseg.intake.outliers import outlier_findings, quantities
from femseg.intake.result import CheckedCohort, CheckedStudy, Finding
from femseg.layouts.adapter import NO_PATIENT
from femseg.layouts.detect import no_study
from femseg.layouts.patients import alike_but_for_a_number

NUMBERED = "'(.+?)([ _.-]+[0-9-]+)?$'"  # a pattern of names as YAML takes it: what comes before a number or a date


def gathered(
    studies: Iterable[CheckedStudy], folder: Path, settings: CohortSettings, folds: tuple[Fold, ...] = ()
) -> CheckedCohort:
    """Many checked studies of a folder as one cohort.

    A study that is there twice becomes a fault (IN-23), a patient on two sides of a given split too, and so does a
    cohort without any study (IN-05).

    Args:
        folds: how somebody means to split the studies; empty where nobody said.
    """
    all_of = list(studies)
    leaks = split_faults(all_of, folds)
    judged = [_with(study, leaks.get(study.location, ())) for study in _twins_refused(all_of)]
    found = [study for study in judged if study.faults or study.usable]
    parts: dict[str, Part] = {}
    if settings.split:
        usable = [study for study in found if study.usable and study.part == "training"]
        parts = given_parts(usable, folds, Path(settings.split), settings.split_fold)
    faults = dict.fromkeys(fault for study in found for fault in study.faults)  # a dataset.json's, by each study
    cases = {
        s.case.case_id: replace(s.case, part=parts.get(s.location, ""))
        for s in found
        if s.case and s.usable and s.part == "training"
    }
    return CheckedCohort(
        cases=tuple(cases[key] for key in sorted(cases)),
        faults=tuple(faults) if found else (no_study(folder, settings),),
        ignored=tuple(path for study in judged for path in study.ignored),
        studies=tuple(found),
        findings=(
            *_system_folders(folder),
            *_several_studies(found),
            *_perhaps_of_one_patient(found, settings),
            *split_findings(found, folds),
            *outlier_findings(quantities([study for study in found if study.usable])),
        ),
    )


def _system_folders(folder: Path) -> tuple[Finding, ...]:
    """One remark on what a file server or an operating system keeps among the studies; none of it was looked at."""
    names = system_folders(folder) if is_folder(folder) else ()
    if not names:
        return ()
    problem = f"folders of the system were left out: {', '.join(names)}"
    return (Finding(id="IN-05", study="", problem=problem, advice="Nothing to do, unless a study lies in one."),)


def _with(study: CheckedStudy, faults: Iterable[Fault]) -> CheckedStudy:
    return replace(study, faults=(*study.faults, *faults))


def _twins_refused(studies: Iterable[CheckedStudy]) -> list[CheckedStudy]:
    """IN-23: of studies with the same UIDs or the same pixels, the first is kept."""
    all_of = list(studies)
    keys = [(study.location, (study.case_id, study.pixels_sha256) if study.usable else ()) for study in all_of]
    faults = [
        [Fault("IN-23", study.location, same_study(twin), "remove one of the two")] if twin else []
        for study, twin in zip(all_of, earlier_twins(keys), strict=True)
    ]
    return [_with(study, of_study) for study, of_study in zip(all_of, faults, strict=True)]


def same_study(twin: str) -> str:
    """IN-23 in words."""
    return f"is the same study as {twin}"


def earlier_twins(studies: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Of each study the earlier one that it is the same as; "" of the first of its kind.

    Args:
        studies: name and keys of each, such as hashes of its UIDs and of its pixels; an empty key tells nothing.
    """
    seen: dict[str, str] = {}
    twins = []
    for name, keys in studies:
        told = [key for key in keys if key]
        twin = next((seen[key] for key in told if key in seen), "")
        seen |= {} if twin else dict.fromkeys(told, name)
        twins.append(twin)
    return twins


def _several_studies(studies: Iterable[CheckedStudy]) -> tuple[Finding, ...]:
    """Patients with more than one study: right, but they must stay together when the cohort is split."""
    of_patient: dict[str, list[str]] = {}
    for study in studies:
        if study.patient_id:
            of_patient.setdefault(study.patient_id, []).append(study.name)
    return tuple(
        Finding(
            id="IN-23",
            study="",
            problem=f"one patient has {len(names)} studies: {', '.join(names)}",
            advice="Keep them on one side of every split; the stage `split` does.",
        )
        for names in of_patient.values()
        if len(names) > 1
    )


def _perhaps_of_one_patient(studies: Iterable[CheckedStudy], settings: CohortSettings) -> tuple[Finding, ...]:
    """Studies that count as a patient each, though their names differ by a number or a date alone."""
    unnamed = [study.name for study in studies if NO_PATIENT in study.remarks]
    alike = alike_but_for_a_number(unnamed)
    if settings.patients or not alike:
        return ()
    stem, names = next(iter(alike.items()))
    problem = f"{len(alike)} stems are shared by names that count as a patient each, such as {', '.join(names[:3])}"
    advice = f"If '{stem}' is a patient, write `cohort.patients: {NUMBERED}`, or a .csv file of study and patient."
    return (Finding(id="IN-06", study="", problem=problem, advice=advice),)
