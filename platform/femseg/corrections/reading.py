"""A mask in whatever format a person saved it, read onto its CT by intake's own readers, under intake's own rules."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.case import Femur
from femseg.cohorts.femur_side import of_side, pieces_of
from femseg.cohorts.settings import CohortSettings, CohortSource, LabelMap, StructureNames
from femseg.errors import Fault, Refusal
from femseg.files.plain import is_folder
from femseg.formats.dicom.folder import files_below
from femseg.formats.nifti import voxel_file
from femseg.formats.reading import of_labels, read_checked_labels
from femseg.formats.source import CheckedVolume
from femseg.formats.volume_file import check_volume_file, is_nifti, volume_suffix
from femseg.inference.femora import AS_WRITTEN, STRUCTURES
from femseg.intake.check import pseudonym_with, with_placed_mask
from femseg.intake.mask_checks import grid_faults
from femseg.intake.voxel_check import check_voxels
from femseg.layouts.adapter import PairedStudy, StudyFiles
from femseg.layouts.detect import ADAPTERS
from femseg.layouts.totalsegmentator import FEMORA
from femseg.volumes.grid import CtVolume, LabelVolume

LEFT, RIGHT, UNSIDED = (STRUCTURES[side].value for side in ("left", "right", "unknown"))
_KEY = b"-" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the user says of a mask's values or structures; empty: found out."""

    labels: LabelMap = field(default_factory=LabelMap)
    structures: StructureNames = field(default_factory=StructureNames)

    def labels_to_try(self, settings: CohortSettings) -> tuple[LabelMap, ...]:
        """The cohort's, where it explains its values; 1 as femur, or 1 and 2 by their place; ours."""
        cohorts = (settings.labels,) if settings.labels.known else ()
        return (self.labels,) if self.labels.known else (*cohorts, LabelMap(), AS_WRITTEN)

    def structures_to_try(self, settings: CohortSettings) -> tuple[StructureNames, ...]:
        """The cohort's names, ours and TotalSegmentator's; then a structure that is alone."""
        if self.structures != StructureNames():
            return (self.structures,)
        own = StructureNames(
            femur=(STRUCTURES["unknown"].name,), left=(STRUCTURES["left"].name,), right=(STRUCTURES["right"].name,)
        )
        of_cohort = settings.structures
        taken = {name.casefold() for names in (of_cohort.femur, of_cohort.left, of_cohort.right) for name in names}

        def with_ours(side: str) -> tuple[str, ...]:
            ours = (*getattr(own, side), *getattr(FEMORA, side))
            return (*getattr(of_cohort, side), *(name for name in ours if name.casefold() not in taken))

        both = StructureNames(femur=with_ours("femur"), left=with_ours("left"), right=with_ours("right"))
        return (both, StructureNames())


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMask:
    """A mask on its CT's grid, its values 1 (left), 2 (right) and 3 (femur of a side that it does not tell).

    Attributes:
        sha256: of the files that it was read from.
        remarks: of intake.
    """

    femora: LabelVolume
    sha256: tuple[str, ...]
    remarks: tuple[str, ...]


def read_corrected(mask: Path, ct: CheckedVolume, volume: CtVolume, settings: CohortSettings, said: Said) -> ReadMask:
    """Read a person's mask and hold it to all that intake asks of a reference on this CT.

    Args:
        mask: a volume file, a DICOM-SEG, an RTSTRUCT, or the folder of a DICOM series.
        ct, volume: as intake found and read it.
    Raises: Refusal with intake's faults, which name the file as the user did.
    """
    kind: CohortSource = "volumes" if ct.kind == "volume" else "dicom"
    if kind == "volumes" and not volume_suffix(mask):
        problem = "is drawn on DICOM slices, or of a kind that is not read; this CT is a volume file"
        raise Refusal.of("IN-12", mask, problem, "export it as NIfTI, NRRD or MHA, on the CT's grid")
    faults: tuple[Fault, ...] = ()
    with _staged(ct, mask) as (study, real):
        for structures in said.structures_to_try(settings):
            tried = replace(settings, source=kind, mask="", structures=structures)
            paired = ADAPTERS[kind].pair(study, tried, pseudonym_with(_KEY), "required")
            found = _checked(with_placed_mask(paired), volume, tried, said)
            if isinstance(found, ReadMask):
                return found
            faults = found
            if {fault.id for fault in faults} != {"IN-22"} or volume_suffix(mask):
                break
        raise Refusal(_named(faults, real))


def read_predicted(file: Path, grid_of: CtVolume, *, sided: bool) -> LabelVolume:
    """A mask that femseg wrote, by the same values. Raises: Refusal IN-20 if it is on another grid than its CT."""
    checked = check_volume_file(file, "mask")
    if faults := grid_faults(grid_of.grid, checked.grid, str(file)):
        raise Refusal(faults)
    values = read_checked_labels(checked)
    return coded(values, AS_WRITTEN if sided else LabelMap(), grid_of)


def coded(values_zyx: NDArray[np.generic], labels: LabelMap, ct: CtVolume) -> LabelVolume:
    """Values by what they mean."""
    codes = np.zeros(values_zyx.shape, np.uint8)
    for code, meant in ((LEFT, labels.left), (RIGHT, labels.right), (UNSIDED, labels.femur)):
        codes[of_labels(values_zyx, meant if labels.known else ((1,) if code == UNSIDED else ()))] = code
    return LabelVolume(labels_zyx=codes, grid=ct.grid)


def wanted_femur(femora: LabelVolume, femur: Femur) -> NDArray[np.bool_]:
    """The femur that a cohort asks for; by its place where no value tells the side."""
    codes = femora.labels_zyx
    if femur == "all":
        return np.asarray(codes != 0)
    own = np.asarray(codes == (LEFT if femur == "left" else RIGHT))
    unsided = codes == UNSIDED
    return own if own.any() or not unsided.any() else of_side(unsided, pieces_of(unsided, femora.grid), femur)


def same_femora(one: LabelVolume, other: LabelVolume, femur: Femur) -> bool:
    """Whether two masks show the same of the wanted femora; a side that one of them does not tell contradicts none."""
    if not np.array_equal(wanted_femur(one, femur), wanted_femur(other, femur)):
        return False
    a, b = one.labels_zyx, other.labels_zyx
    told = (a != UNSIDED) & (b != UNSIDED)
    return femur != "all" or np.array_equal(a[told], b[told])


def _checked(
    paired: PairedStudy, volume: CtVolume, settings: CohortSettings, said: Said
) -> ReadMask | tuple[Fault, ...]:
    if paired.faults or paired.ct is None or paired.mask is None:
        return paired.faults
    faults: Sequence[Fault] = ()
    for labels in (paired.labels,) if paired.labels else said.labels_to_try(settings):
        found = check_voxels(replace(paired, labels=labels), paired.ct, settings, volume)
        faults = found.faults
        if not faults and found.mask_values_zyx is not None:
            hashed = paired.mask.hashed(paired.mask.paths[0].parents[-1])
            return ReadMask(
                femora=coded(found.mask_values_zyx, found.labels, volume),
                sha256=tuple(file.sha256 for file in hashed.files),
                remarks=(*paired.mask.remarks, *found.remarks),
            )
        if {fault.id for fault in faults} != {"IN-22"}:
            break
    return tuple(faults)


@contextmanager
def _staged(ct: CheckedVolume, mask: Path) -> Iterator[tuple[StudyFiles, dict[str, str]]]:
    """A study of links to the CT's files and the mask's, whatever they are called; and what each link stands for."""
    with TemporaryDirectory(prefix="femseg-") as made:
        folder = Path(made)
        links = {folder / neutral_name(ct, number, path): path for number, path in enumerate(ct.paths)}
        links |= {folder / "mask" / name: path for name, path in _mask_files(mask).items()}
        for link, path in links.items():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.absolute())
        study = StudyFiles(name="study", location=folder, folder=folder, files=tuple(sorted(links)))
        real = {str(link): str(path) for link, path in links.items()} | {str(folder / "mask"): str(mask)}
        yield study, real | {made: str(mask)}


def neutral_name(ct: CheckedVolume, number: int, path: Path) -> str:
    """A file of a CT by a name that says nothing of a patient, nor that it is a mask."""
    return f"ct{volume_suffix(path) or path.suffix.lower()}" if ct.kind == "volume" else f"ct/{number:05d}.dcm"


def _mask_files(mask: Path) -> dict[str, Path]:
    if is_folder(mask):
        return {path.relative_to(mask).as_posix(): path for path in files_below(mask)}
    if not os.path.lexists(mask):
        raise Refusal.of("CFG-01", mask, "does not exist", "give the corrected mask's file, or a DICOM series' folder")
    pair = {voxel_file(mask).name: voxel_file(mask)} if is_nifti(mask) else {}
    return {mask.name: mask} | {name: path for name, path in pair.items() if path.exists()}


def _named(faults: Sequence[Fault], real: dict[str, str]) -> tuple[Fault, ...]:
    """Faults with the files that the user knows, in place of the links."""

    def told(text: str) -> str:
        for link in sorted(real, key=len, reverse=True):
            text = text.replace(link, real[link])
        return text

    return tuple(Fault(fault.id, told(fault.file), told(fault.problem), told(fault.fix)) for fault in faults)
