"""A dataset in the layout of TotalSegmentator: one file for each structure.

    <folder>/meta.csv                                 image_id;age;gender;…
    <folder>/s0001/ct.nii.gz
    <folder>/s0001/segmentations/femur_left.nii.gz    one of about a hundred; empty where it is not in the field of view
    <folder>/s0001/segmentations/femur_right.nii.gz

`cohort.structures` chooses by file name; femur_left and femur_right are taken if it is empty. One of the two may be
missing or empty. The column `split` of meta.csv is not used: `split` of params.yaml divides the cohort anew.

Source: Wasserthal et al. 2023, "TotalSegmentator"; doi.org/10.5281/zenodo.6802613.
"""

import csv
import io
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from femseg.cohorts.settings import CohortSettings, LabelMap, MaskUse, StructureNames
from femseg.errors import Fault, Refusal
from femseg.files.plain import is_file, open_plain
from femseg.formats.dicom.folder import files_below, folder_faults, is_hidden
from femseg.formats.structures import check_structure_files
from femseg.formats.volume_file import check_volume_file, volume_stem, volume_suffix
from femseg.layouts.adapter import PairedStudy, Pseudonym, StudyFiles, collected, patient_of, several
from femseg.layouts.structures import is_chosen, label_map

FEMORA = StructureNames(left=("femur_left",), right=("femur_right",))
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
_MASKS = "segmentations"
_META_BYTES_AT_MOST = 4 << 20


def is_layout_of(folder: Path) -> bool:
    """Whether any study below has its femora in files of their own."""
    return any(is_file(below / _MASKS / f"femur_{side}.nii.gz") for below in _folders(folder) for side in SIDES)


def _folders(folder: Path) -> list[Path]:
    if (folder / _MASKS).is_dir():
        return [folder]
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def studies(folder: Path) -> list[StudyFiles]:
    """Every folder below is a study, unless `folder` itself is one."""
    files = {below: tuple(files_below(below)) for below in _folders(folder)}
    return [StudyFiles(name=below.name, location=below, folder=below, files=files[below]) for below in files]


def pair(study: StudyFiles, settings: CohortSettings, pseudonym: Pseudonym, masks: MaskUse) -> PairedStudy:
    """Find the CT and the wanted structures' files of a study and check them all."""
    if study.files == (study.folder,):  # nobody may look into it
        return PairedStudy(faults=tuple(folder_faults(study.files)))
    faults: list[Fault] = []
    ct_files = [p for p in study.files if p.parent == study.folder and volume_suffix(p) and volume_stem(p) == "ct"]
    ct_file = ct_files[0] if len(ct_files) == 1 else None
    if len(ct_files) > 1:
        fix = "leave the one to use, and take the others out"
        faults.append(several(study, "files that may be the CT", [path.name for path in ct_files], fix))
    elif ct_file is None:
        problem, fix = "holds no ct.nii.gz", "put the CT there, or take the folder out"
        faults.append(Fault("IN-05", study.location, problem, fix))
    ct = collected(lambda: check_volume_file(ct_file, "ct"), faults) if ct_file else None
    chosen = None
    if masks == "required":
        try:
            chosen = _chosen(study, settings)
        except Refusal as refusal:
            faults.extend(refusal.faults)
    files = chosen.files if chosen else ()
    mask = collected(lambda: check_structure_files(files), faults) if files else None
    person = _person(study)
    patient, remarks = patient_of(study)
    within = study.folder / (settings.mask or _MASKS)
    return PairedStudy(
        ct=ct,
        mask=mask,
        labels=chosen.labels if chosen else None,
        case_key=study.name,
        patient_key=patient,
        sex=person.sex,
        age_years=person.age_years,
        faults=tuple(faults),
        remarks=(*remarks, *(chosen.remarks if chosen else ())),
        ignored=tuple(p for p in study.files if p != ct_file and not (within in p.parents and volume_suffix(p))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """The files of the wanted structures; the k-th has the value k in `labels`."""

    files: tuple[Path, ...]
    labels: LabelMap
    remarks: tuple[str, ...]


def _chosen(study: StudyFiles, settings: CohortSettings) -> _Chosen:
    """Raises: Refusal IN-22 if there is no such file, IN-05 if there are several of one structure."""
    within = study.folder / (settings.mask or _MASKS)
    files = [path for path in study.files if path.parent == within and volume_suffix(path)]
    wanted = settings.structures if is_chosen(settings.structures) else FEMORA
    by_name: dict[str, list[str]] = {}
    for path in files:
        by_name.setdefault(volume_stem(path).casefold(), []).append(path.name)
    asked = {name.strip().casefold() for name in (*wanted.femur, *wanted.left, *wanted.right)}
    fix = f"leave the one to use in {within.name}, and take the others out"
    if twice := [names for name, names in by_name.items() if name in asked and len(names) > 1]:
        raise Refusal([several(study, "files of one structure", names, fix) for names in twice])
    found = {volume_stem(path): number for number, path in enumerate(files, start=1)}
    labels = label_map(found, replace(settings, structures=wanted), str(within))
    numbers = sorted(labels.of_femur("all"))
    renumbered = {old: new for new, old in enumerate(numbers, start=1)}
    left, right = (tuple(renumbered[old] for old in labels.of_side(side)) for side in SIDES)
    return _Chosen(
        files=tuple(files[number - 1] for number in numbers),
        labels=LabelMap(femur=tuple(renumbered[old] for old in labels.femur), left=left, right=right),
        remarks=tuple(
            f"IN-22: no file of the {side} femur ({', '.join(names)})"
            for side, names, present in (("left", wanted.left, left), ("right", wanted.right, right))
            if names and not present
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Person:
    """What meta.csv says of a study's patient."""

    sex: Literal["F", "M"] | None = None
    age_years: int | None = None


def _person(study: StudyFiles) -> _Person:
    """Nothing is known where meta.csv is missing or not as expected: these facts decide nothing."""
    try:
        with open_plain(study.folder.parent / "meta.csv") as stream:
            text = stream.read(_META_BYTES_AT_MOST).decode("utf-8-sig")
        rows = csv.DictReader(io.StringIO(text), delimiter=";")
        row = next((row for row in rows if row.get("image_id") == study.name), {})
    except (OSError, ValueError, csv.Error):
        return _Person()
    gender, age = (row.get("gender") or "").lower(), row.get("age") or ""
    try:
        years = float(age)
    except ValueError:
        years = math.nan
    age_years = int(years) if 0 <= years < 150 else None
    return _Person(sex="F" if gender == "f" else "M" if gender == "m" else None, age_years=age_years)
