"""CT series with their masks, as DICOM folders.

One folder for each study, files nested in it as they please:

    <study>/…/*.dcm               the CT: one series (others: name yours in cohort.series)
    <study>/mask/…/*.dcm          the mask: a series in a folder named mask, seg, segmentation or label,
                                  or one whose SeriesDescription says so,
    <study>/mask.nii.gz           or a volume file (.nii, .nii.gz, .nrrd, .mha) of such a name
    <study>/…                     or a DICOM-SEG or RTSTRUCT anywhere, whatever its name

The CT may also be one enhanced multi-frame file.

A folder that itself holds DICOM files, or a `ct` folder, is taken as one study.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from femseg.cohorts.case import scanner_family
from femseg.cohorts.settings import CohortSettings, LabelMap, MaskUse
from femseg.errors import Fault, Refusal
from femseg.formats.dicom.folder import DicomScan, by_series, files_below, holds_dicom, is_hidden, scan_dicom
from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.dicom.multiframe import ENHANCED_CT, multiframe_stack
from femseg.formats.dicom.rtstruct import STRUCTURE_SET
from femseg.formats.dicom.segmentation import SEGMENTATIONS
from femseg.formats.dicom.series import LOCALIZERS_AT_MOST, check_series, series_name
from femseg.formats.dicom.stack import median_step_mm
from femseg.formats.source import CheckedVolume, Mend
from femseg.formats.volume_file import check_volume_file, volume_suffix
from femseg.layouts.adapter import (
    PairedStudy,
    Pseudonym,
    StudyFiles,
    collected,
    is_mask_path,
    mask_by_convention,
    names_a_mask,
    no_mask,
    patient_of,
    several,
)
from femseg.layouts.structures import check_drawn

Slices = Sequence[SliceHeader]
_NO_PATIENT = "IN-06: no PatientID; the study's folder stands for the patient"
_SIDES: dict[str, Literal["left", "right"]] = {"L": "left", "R": "right"}
_MODALITIES = frozenset(
    ("CR", "DX", "MG", "MR", "NM", "OT", "PT", "RTDOSE", "RTIMAGE", "RTPLAN", "SC", "SEG", "SR", "US", "XA")
)


def studies(folder: Path) -> list[StudyFiles]:
    """Every folder below is a study, unless `folder` itself is one; a loose volume file is one that is refused."""
    entries = sorted(path for path in folder.iterdir() if not is_hidden(path.name))
    if holds_dicom(path for path in entries if not path.is_dir()) or (folder / "ct").is_dir():
        entries = [folder]
    return [
        StudyFiles(name=path.name, location=path, folder=path, files=tuple(files_below(path)))
        for path in entries
        if path.is_dir()
    ] + [
        StudyFiles(name=path.name, location=path, folder=folder, files=(path,))
        for path in entries
        if volume_suffix(path) and not path.is_dir()
    ]


def pair(study: StudyFiles, settings: CohortSettings, pseudonym: Pseudonym, masks: MaskUse) -> PairedStudy:
    """Find the CT series and the mask of a study and check both."""
    volume_files = [path for path in study.files if volume_suffix(path)]
    if volume_files == [study.location]:
        problem = "is a volume file beside studies in DICOM, and belongs to none of them"
        fix = "move it into its study's folder; check pairs of volume files in a folder of their own (--source volumes)"
        return PairedStudy(faults=(Fault("IN-05", study.location, problem, fix),))
    scan = scan_dicom([path for path in study.files if not volume_suffix(path)])
    if study.files and not (scan.slices or scan.faults or volume_files):
        return PairedStudy(ignored=study.files)
    faults = list(scan.faults)
    objects = _drawn_objects(scan)
    ct_slices, mask_slices = _told_apart([h for h in scan.slices if h not in objects], study, settings)
    headers, remarks = _chosen_ct(ct_slices, study, settings, faults, besides=bool(objects or mask_slices))
    ct, ordered = _checked_ct(headers, pseudonym, settings.mends, faults)
    mask, labels, mask_files = None, None, []
    if masks == "required":
        mask_files = [path for path in volume_files if is_mask_path(path, study, settings)]
        objects = [one for one in objects if not settings.mask or is_mask_path(_path(one), study, settings)]
        if len(objects) == 1 and not mask_slices and not mask_files:
            if ct is not None:
                mask, labels = _drawn(objects[0], ct, ordered, settings, pseudonym, faults)
        else:
            mask = _mask(mask_slices, [*mask_files, *map(_path, objects)], study, settings, pseudonym, scan, faults)
            strange, taken = _of_another_ct(headers, mask_slices, pseudonym, settings)
            faults += strange
            remarks += taken
    used = {*mask_files, *map(_path, objects)}
    unused = [*scan.ignored, *({*(other.path for other in scan.others), *volume_files} - used)]
    first = headers[0] if headers else None
    patient, unnamed = patient_of(study, first.patient_id if first else "", otherwise=_NO_PATIENT)
    remarks += unnamed if first else ()
    return PairedStudy(
        ct=ct,
        mask=mask,
        labels=labels,
        case_key=f"{first.study_uid} {first.series_uid}" if first else study.name,
        patient_key=patient,
        series=_names_of(first) if first else (),
        sex=_sex(first.sex) if first else None,
        age_years=_age_years(first.age) if first else None,
        side=_SIDES.get(first.laterality) if first else None,
        scanner=scanner_family(first.manufacturer, first.model) if first else None,
        faults=tuple(faults),
        remarks=tuple(remarks),
        ignored=tuple(sorted(unused)),
    )


def _drawn_objects(scan: DicomScan) -> list[SliceHeader | Path]:
    """Objects that are drawn onto a CT: segmentations by their header, structure sets by their path."""
    segmentations = [header for header in scan.slices if header.sop_class in SEGMENTATIONS]
    return [*segmentations, *(other.path for other in scan.others if other.kind == STRUCTURE_SET)]


def _path(mask: SliceHeader | Path) -> Path:
    return mask if isinstance(mask, Path) else mask.path


def _checked_ct(
    headers: Slices, pseudonym: Pseudonym, mends: Sequence[Mend], faults: list[Fault]
) -> tuple[CheckedVolume | None, list[SliceHeader]]:
    """The CT and its slices in stack order; None where there is none or it is refused."""
    try:
        if len(headers) == 1 and (headers[0].frames != 1 or headers[0].sop_class in ENHANCED_CT):
            return multiframe_stack(headers[0], pseudonym)
        if headers:
            ct = check_series(headers, "ct", pseudonym, mends)
            by_path = {header.path: header for header in headers}
            return ct, [by_path[path] for path in ct.paths]
    except Refusal as refusal:
        faults.extend(refusal.faults)
    return None, []


def _drawn(
    mask: SliceHeader | Path,
    ct: CheckedVolume,
    ordered: Slices,
    settings: CohortSettings,
    pseudonym: Pseudonym,
    faults: list[Fault],
) -> tuple[CheckedVolume | None, LabelMap | None]:
    try:
        return check_drawn(mask, ct, ordered, settings, pseudonym)
    except Refusal as refusal:
        faults.extend(refusal.faults)
        return None, None


def _told_apart(
    slices: Slices, study: StudyFiles, settings: CohortSettings
) -> tuple[list[SliceHeader], list[SliceHeader]]:
    """CT slices and mask slices: by the folder they lie in, else by what the series says of itself."""
    masks = [header for header in slices if is_mask_path(header.path, study, settings)]
    if not masks and not settings.mask:
        masks = [header for header in slices if header.modality == "SEG" or names_a_mask(header.series_description)]
    kept_out = {header.path for header in masks}
    return [h for h in slices if h.path not in kept_out and not mask_by_convention(h.path, study)], masks


def _chosen_ct(
    slices: Slices, study: StudyFiles, settings: CohortSettings, faults: list[Fault], *, besides: bool
) -> tuple[list[SliceHeader], list[str]]:
    """The one CT series (empty if there is no such one: a fault says so), and remarks.

    Args:
        besides: whether the study holds a mask at least.
    """
    series = by_series(slices)
    stated = {uid: {header.modality for header in found} for uid, found in series.items()}
    others = {uid: series[uid][0].modality for uid in series if not stated[uid] & {"CT", ""}}
    if len(others) < len(series):  # a dose, a PET or an MR beside the CT
        series = {uid: found for uid, found in series.items() if uid not in others}
    else:
        others = {}
    scouts = [uid for uid, found in series.items() if _is_overview(found)]
    if len(scouts) < len(series):
        series = {uid: found for uid, found in series.items() if uid not in scouts}
    else:
        scouts = []
    if len(series) > 1 and (wanted := {uid: found for uid, found in series.items() if _is_chosen(found, settings)}):
        series = wanted
    if len(series) > 1:
        numbers = [found[0].series_number for found in series.values()]
        short = numbers[0] if numbers[0] and numbers.count(numbers[0]) == 1 else next(iter(series))
        fix = f"choose one: --series {short}, its number, description or UID (cohort.series)"
        faults.append(several(study, "CT series", [_row(found) for found in series.values()], fix))
        return [], []
    if not series:
        if not faults:
            problem = f"holds no CT series{', a mask alone' if besides else ''}"
            fix = "put the CT's DICOM files into the study's folder"
            faults.append(Fault("IN-05", study.location, problem, fix))
        return [], []
    codes = [code if code in _MODALITIES else "another" for code in others.values()]  # free text might name somebody
    remarks = [f"IN-12: {code} series left out" for code in codes]
    return next(iter(series.values())), [*remarks, *("IN-07: localizer series left out" for _ in scouts)]


def _is_chosen(slices: Slices, settings: CohortSettings) -> bool:
    """Whether `cohort.series` names a series by its UID, its number, or its description, in whatever case."""
    return not {wanted.casefold() for wanted in settings.series}.isdisjoint(_names_of(slices[0]))


def _names_of(first: SliceHeader) -> tuple[str, ...]:
    """What a series may be called, in small letters."""
    names = (first.series_uid, first.series_number, first.series_description)
    return tuple(name.casefold() for name in names if name)


def _is_overview(slices: Slices) -> bool:
    """Whether a series is a topogram or another overview: it says so, or has too few images for any femur."""
    images = sum(header.frames for header in slices)
    return images <= LOCALIZERS_AT_MOST or all("LOCALIZER" in header.image_type for header in slices)


def _row(slices: Slices) -> str:
    """One line of IN-05's table: UID, number, description, count, spacing."""
    step = median_step_mm(slices)
    described = slices[0].series_description or "no description"
    images = sum(header.frames for header in slices)
    number = f"number {slices[0].series_number}, " if slices[0].series_number else ""
    return f"{slices[0].series_uid or 'no UID'} ({number}{described}, {images} images, {step} apart)"


def _mask(
    slices: Slices,
    files: Sequence[Path],
    study: StudyFiles,
    settings: CohortSettings,
    pseudonym: Pseudonym,
    scan: DicomScan,
    faults: list[Fault],
) -> CheckedVolume | None:
    series = list(by_series(slices).values())
    if len(series) + len(files) > 1:
        found = [*(series_name(one) for one in series), *map(str, files)]
        faults.append(several(study, "masks", found, "name the one to use, or its folder, by cohort.mask"))
        return None
    if series:
        return collected(lambda: check_series(series[0], "mask", pseudonym, settings.mends), faults)
    if files:
        return collected(lambda: check_volume_file(files[0], "mask"), faults)
    faults.append(no_mask(study, ", ".join(sorted({other.kind for other in scan.others}))))
    return None


def _of_another_ct(
    ct: Slices, mask: Slices, pseudonym: Pseudonym, settings: CohortSettings
) -> tuple[list[Fault], list[str]]:
    """IN-06: a mask series that names another patient, or another frame of reference, than the CT does.

    A mask of another patient may well lie on an equal grid, where no comparison of geometry finds it. Another frame of
    reference is what some workstations write; it is taken if the user says so, and then remarked. So is another study,
    without a question: many tools write their masks into a study of their own.
    """
    if not ct or not mask:
        return [], []
    faults, remarks = [], []
    if len({header.study_uid for header in (*ct, *mask)} - {""}) > 1:
        remarks.append("IN-06: the mask's StudyInstanceUID is not its CT's; it may have been drawn on another scan")
    for tag, name in (("PatientID", "patient_id"), ("FrameOfReferenceUID", "frame_of_reference_uid")):
        theirs = {getattr(header, name) for header in ct} - {""}
        ours = {getattr(header, name) for header in mask} - {""}
        if theirs and (strange := ours - theirs):
            found, expected = (", ".join(sorted(map(pseudonym, values))) for values in (strange, theirs))
            differ = f"its {tag} is {found}, the CT's is {expected} (hashed)"
            by_frame = name == "frame_of_reference_uid"
            if by_frame and settings.accept_frame:
                remarks.append(f"IN-06: mask taken by cohort.accept_frame, for it lies on the CT's grid: {differ}")
                continue
            fix = "take the mask that was drawn on this CT"
            if by_frame:
                fix += "; if it is, take it all the same by --accept-frame (cohort.accept_frame)"
            faults.append(Fault("IN-06", series_name(mask), f"mask of another CT: {differ}", fix))
    return faults, remarks


def _sex(text: str) -> Literal["F", "M", "O"] | None:
    return text if text in ("F", "M", "O") else None  # type: ignore[return-value]  # one of the three


def _age_years(text: str) -> int | None:
    """DICOM's age string, "043Y"; younger ages come in months, weeks or days."""
    if len(text) != 4 or not text[:3].isdigit() or text[3] not in "YMWD":
        return None
    return int(text[:3]) // {"Y": 1, "M": 12, "W": 52, "D": 365}[text[3]]
