"""A cohort's reference of a case: what is there, how its layout wants the next one, and how that takes its place."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.corrections.reading import LEFT, RIGHT, UNSIDED, coded
from femseg.errors import Fault, Refusal
from femseg.files.durable import folder_written_durably, written_durably
from femseg.formats.reading import read_checked_labels
from femseg.formats.source import CheckedVolume, files_to_open
from femseg.formats.volume_file import volume_stem, volume_suffix
from femseg.formats.writing import SUFFIXES, write_labels, write_mask
from femseg.inference.femora import told_apart
from femseg.intake.check import pseudonym_with, with_placed_mask
from femseg.intake.mask_checks import grid_faults, labels_by_place
from femseg.layouts.adapter import PairedStudy, StudyFiles
from femseg.layouts.dataset_json import NAME as DATASET
from femseg.layouts.detect import adapter_of
from femseg.layouts.structures import is_chosen
from femseg.layouts.totalsegmentator import FEMORA
from femseg.lineage.corrections import BEFORE, CORRECTIONS, Correction, corrections_of, write_correction
from femseg.volumes.grid import CtVolume, LabelVolume, MaskVolume

_KEY = b"-" * 32
_MASK = "mask.nii.gz"
_LABEL_AT_MOST = int(np.iinfo(np.uint8).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The reference that a study has.

    Attributes:
        files: of its mask; none where it has none.
        femora: 1 left, 2 right, 3 unsided; None where there is none, or on another grid than the CT's.
        others_zyx: values of the mask that are known to be something else, 0 elsewhere; None where there are none.
        labels: what the values of a mask mean in this cohort.
    """

    files: tuple[Path, ...]
    femora: LabelVolume | None
    others_zyx: NDArray[np.generic] | None
    labels: LabelMap


def reference_of(study: StudyFiles, settings: CohortSettings, ct: CheckedVolume, volume: CtVolume) -> Reference:
    """What is there now. Raises: Refusal with the faults of a mask that nobody can read: it must be taken out first."""
    paired = _paired(study, settings)
    labels = paired.labels if paired.labels and settings.source in ("nnunet", "msd") else settings.labels
    if paired.faults or paired.mask is None:
        without = _paired(replace(study, files=ct.paths), settings)
        if _places(paired.faults) != _places(without.faults):  # it is not only that a mask is missing
            raise Refusal(paired.faults)
        return Reference(files=(), femora=None, others_zyx=None, labels=labels)
    mask = paired.mask
    if grid_faults(volume.grid, mask.grid, str(mask.where)):
        return Reference(files=mask.paths, femora=None, others_zyx=None, labels=labels)
    meant = paired.labels or settings.labels
    values = read_checked_labels(mask, meant.meanings)
    by_place, _, _ = labels_by_place(values, meant, volume.grid, str(mask.where))
    others = np.where(np.isin(values, meant.other), values, 0) if meant.other else None
    return Reference(files=mask.paths, femora=coded(values, by_place, volume), others_zyx=others, labels=labels)


def _paired(study: StudyFiles, settings: CohortSettings) -> PairedStudy:
    return with_placed_mask(adapter_of(study, settings).pair(study, settings, pseudonym_with(_KEY), "required"))


def _places(faults: Iterable[Fault]) -> set[tuple[str, str]]:
    return {(fault.id, fault.file) for fault in faults}


def write_next(
    study: StudyFiles, before: Reference, femora: LabelVolume, settings: CohortSettings, into: Path
) -> tuple[Path, ...]:
    """Write the next reference below a folder, as it is to lie in the study's own; returns the paths below it.

    Raises: Refusal IN-22 if the cohort's values have none for what is drawn, IN-12 for a layout that takes no mask.
    """
    if settings.source == "totalsegmentator":
        return _write_structures(study, femora, settings, into)
    target = _place(study, before, settings)
    values_zyx = _values(femora, before, str(target))
    write_labels(into / target, LabelVolume(labels_zyx=values_zyx, grid=femora.grid))
    return (target,)


def _place(study: StudyFiles, before: Reference, settings: CohortSettings) -> Path:
    """Where the mask lies below the study's folder: in the place of the one before if that can be written."""
    opened = files_to_open("volume", before.files)
    if len(opened) == 1 and volume_suffix(opened[0]) in SUFFIXES:
        return opened[0].relative_to(study.folder)
    if settings.source == "nnunet":
        return Path("labelsTr", study.name + volume_suffix(study.location))
    if settings.source == "msd":
        problem = "has a label file of a kind that is not written"
        raise Refusal.of("IN-12", study.location, problem, f"write it as one of {', '.join(SUFFIXES)}")
    if settings.mask and volume_suffix(Path(settings.mask)) in SUFFIXES:
        return Path(settings.mask)
    if study.location == study.folder:
        return Path(settings.mask) / _MASK
    return Path(settings.mask) / f"{volume_stem(study.location)}_mask.nii.gz"


def _values(femora: LabelVolume, before: Reference, file: str) -> NDArray[np.uint8]:
    """The femora by the values of the cohort; what the mask before knew besides stays, where no femur is drawn now."""
    labels, codes = before.labels, femora.labels_zyx
    present = {int(code) for code in np.unique(codes)} - {0}
    if not labels.known:
        pair = LabelMap(left=(LEFT,), right=(RIGHT,))
        by_place = labels_by_place(codes, LabelMap(), femora.grid, file)[0]
        return codes if present == {LEFT, RIGHT} and by_place == pair else (codes != 0).astype(np.uint8)
    if not labels.femur:
        codes = _sides_told(femora)
        present = {int(code) for code in np.unique(codes)} - {0}
    values_zyx = np.zeros(codes.shape, np.uint8)
    others = before.others_zyx
    if others is not None:
        values_zyx[:] = others
    for code in sorted(present):
        own = {LEFT: labels.left, RIGHT: labels.right}.get(code, ())
        value = next(iter((*own, *labels.femur)), 0)
        if not value or max(value, 0 if others is None else int(others.max())) > _LABEL_AT_MOST:
            what = {LEFT: "the left femur", RIGHT: "the right femur"}.get(code, "a femur whose side nothing tells")
            problem = f"the cohort's labels have no value of 1 to {_LABEL_AT_MOST} for {what}"
            raise Refusal.of("IN-22", file, problem, "complete cohort.labels, or say the side: --label left=1")
        values_zyx[codes == code] = value
    return values_zyx


def _write_structures(study: StudyFiles, femora: LabelVolume, settings: CohortSettings, into: Path) -> tuple[Path, ...]:
    """One file for each femur, as TotalSegmentator has them; a side that is not drawn is an empty file."""
    wanted = settings.structures if is_chosen(settings.structures) else FEMORA
    codes = femora.labels_zyx if wanted.femur else _sides_told(femora)
    if (codes == UNSIDED).any() and not wanted.femur:
        problem = "shows a femur whose side nothing tells, and the layout has a file for each side"
        raise Refusal.of("IN-22", study.location, problem, "say the side: --label left=1, or right=1")
    folder, written, rest = Path(settings.mask or "segmentations"), [], codes != 0
    for names, code in ((wanted.left, LEFT), (wanted.right, RIGHT), (wanted.femur, UNSIDED)):
        if names:
            written.append(folder / f"{names[0]}.nii.gz")
            shown = rest if code == UNSIDED else codes == code
            write_mask(into / written[-1], MaskVolume(femur_zyx=shown, grid=femora.grid))
            rest = rest & ~shown
    return tuple(written)


def _sides_told(femora: LabelVolume) -> NDArray[np.uint8]:
    """The codes, those of an untold side by place and shape where these tell."""
    codes = femora.labels_zyx
    unsided = codes == UNSIDED
    if not unsided.any():
        return codes
    return np.where(unsided, told_apart(MaskVolume(femur_zyx=unsided, grid=femora.grid)).labels.labels_zyx, codes)


def mirrored(study: StudyFiles, before: Reference, new: Sequence[Path], made: Path) -> StudyFiles:
    """The study as it will be, of links to the files that stay, beside the mask that was written below `made`."""
    stay = [path for path in study.files if path not in before.files]
    places = {path: made / path.relative_to(study.folder) for path in stay}
    dataset = study.folder / DATASET
    for path, link in [*places.items(), *([(dataset, made / DATASET)] if dataset.is_file() else [])]:
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    files = tuple(dict.fromkeys((*places.values(), *(made / name for name in new))))
    own = study.location == study.folder
    return replace(study, folder=made, location=made if own else places[study.location], files=files)


def keep(home: Path, correction: Correction, before: Reference, folder: Path) -> Path:
    """Write the record as the study's next, and the files of the reference before beside it; returns its folder."""
    earlier = corrections_of(home)
    kept = home / str(1 + (int(earlier[-1].parent.name) if earlier else 0))
    with folder_written_durably(kept) as made:
        for path in before.files:
            copy_durably(path, made / BEFORE / path.relative_to(folder))
        write_correction(made, correction)
    return kept


def take_place(before: Reference, new: Mapping[Path, Path]) -> None:
    """Let the new mask take the place of the one before, which was kept: by file of the study, what it is to be.

    A mask of the same name is replaced at once. Any other goes before the new one comes, so that a study whose
    correction was interrupted has no mask rather than two.
    """
    for path in before.files:
        if path not in new:
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
    for place, made in new.items():
        copy_durably(made, place)


def copy_durably(path: Path, place: Path) -> None:
    """A file's bytes under another name, whole."""
    with written_durably(place) as temporary:
        shutil.copyfile(path, temporary)


def home_of(study: StudyFiles) -> Path:
    """Where the records of a study lie."""
    return study.folder / CORRECTIONS / study.name
