"""What `femseg measure` is given, as femora: a mask file, a mesh, a study's folder, or one that `segment` wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from femseg.cli.check import CheckOptions, by_side, settings_for
from femseg.cli.extras import extra_needed
from femseg.cohorts.femur_side import pieces_of
from femseg.cohorts.settings import LabelMap
from femseg.errors import Refusal
from femseg.files.plain import is_folder
from femseg.formats.dicom.folder import files_below
from femseg.formats.reading import of_labels, read_checked_ct, read_checked_labels
from femseg.formats.source import CheckedVolume
from femseg.formats.volume_file import check_volume_file
from femseg.inference.femora import AS_WRITTEN, told_apart
from femseg.intake.check import pseudonym_with
from femseg.intake.single_ct import inspect_study
from femseg.layouts.adapter import StudyFiles
from femseg.layouts.detect import adapter_of
from femseg.lineage.records import FOLDER_MASK, FOLDER_RECORD
from femseg.measurements.femur import Side
from femseg.meshes.mesh import SUFFIXES
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid

_SAID = 8  # values of a mask, in a refusal
_OTHER_FEMUR = 0.5  # of the larger one's volume; less is a fragment
_KEY = b"-" * 32  # nothing is named here, so that no pseudonym is kept
_LEAST_IN_CT = 0.99
_SIDES: tuple[Side, Side] = ("left", "right")
Femora = tuple[tuple[Side | None, MaskVolume], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BonesOptions:
    """What the command line adds to the file: of a mesh, `ras` is its frame where the file names none."""

    ct: Path | None = None
    accept_hu: bool = False
    labels: tuple[str, ...] = ()
    ras: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bones:
    """Each femur's largest piece with its side, where something but its shape tells it.

    Attributes:
        sawn_off: points on the flat ends of a mesh, where the scan ended, or a saw cut.
        remarks: what a reader of the sheet should know.
    """

    femora: Femora
    ct: CtVolume | None
    sawn_off: NDArray[np.float64] | None = None
    remarks: tuple[str, ...] = ()


def bones_of(place: Path, options: BonesOptions) -> Bones:
    """Read and check what was given. Raises: Refusal for what cannot be read, holds no femur, or is not in the CT."""
    labels: LabelMap = by_side("--label", options.labels, LabelMap, int) if options.labels else LabelMap()
    ct = inspect_study(options.ct, id_key=_KEY, accept_hu=options.accept_hu)[1] if options.ct else None
    if is_mesh(place):
        bones = _of_mesh(place, labels, ct, ras=options.ras)
    elif options.ras:
        raise Refusal.of("CFG-01", "--ras", f"{place} is no mesh, and says itself where it lies", "leave --ras out")
    else:
        bones = _of_mask(place, labels, ct)
    if not bones.femora:
        raise Refusal.of("IN-22", place, "holds no femur", "give a mask of a femur, or name its values by --label")
    if bones.ct is not None:
        _require_in(bones.ct, bones.femora, place)
    return bones


def is_mesh(place: Path) -> bool:
    """Whether a file is a mesh by its name."""
    return place.suffix.lower() in SUFFIXES and not is_folder(place)


def _of_mesh(place: Path, labels: LabelMap, ct: CtVolume | None, *, ras: bool) -> Bones:
    """Femora of a mesh: one where a side is stated, else two where it holds another of like size."""
    with extra_needed("mesh", "femseg measure of a mesh"):
        from femseg.cli.mesh import recorded_side
        from femseg.meshes.filled import MESH_VOXEL_MM, filled, without_cavities
        from femseg.meshes.flat_ends import flat_ends
        from femseg.meshes.reading import read_mesh_file

    sides = [side for side in _SIDES if labels.of_side(side)]
    if labels.known not in ((), (1,)):
        problem = "a mesh has no values, and counts as 1 all over"
        raise Refusal.of("CFG-01", "--label", problem, "say left=1 or right=1 of a mesh of one femur, or leave it out")
    file = read_mesh_file(place, ras=ras)
    try:
        mask, hollow_ml = without_cavities(filled(file.corners_mm, MESH_VOXEL_MM))
    except ValueError as error:
        raise Refusal.of("MS-01", place, f"is no solid: {error}", "mend it, or measure its mask") from None
    side = next(iter(sides), None) if labels.known else recorded_side(place)
    ends = flat_ends(file.corners_mm)
    femora, left_out = _of_like_size(mask, side)
    remarks = [f"{count} more pieces of {ml:.1f} ml are left out" for count, ml in [left_out] if count]
    if hollow_ml:
        remarks.append(f"cavities of {hollow_ml:.1f} ml count as bone")
    if small := [end.area_mm2 for end in ends if not end.is_cut]:
        places = "1 flat place" if len(small) == 1 else f"{len(small)} flat places"
        remarks.append(f"{places} of up to {max(small):.0f} mm²: coarse voxels, or a small cut")
    if ct is not None and file.stated_frame is None:
        remarks.append(f"its frame is not stated: {'RAS' if ras else 'LPS'} is assumed to find it in the CT")
    cuts = [end.points_mm for end in ends if end.is_cut]
    sawn_off = np.concatenate(cuts) if cuts else None
    return Bones(femora=femora, ct=ct, sawn_off=sawn_off, remarks=tuple(remarks))


def _of_like_size(mask: MaskVolume, side: Side | None) -> tuple[Femora, tuple[int, float]]:
    """The largest piece with its side, or the two largest of like size; how many pieces are left out, and their ml."""
    parts = pieces_of(mask.femur_zyx, mask.grid)
    least_ml = _OTHER_FEMUR * parts.pieces[0].volume_ml
    chosen = [piece for piece in parts.pieces[: 1 if side else 2] if piece.volume_ml > least_ml]
    femora = tuple((side, parts.mask_of([piece], mask.grid)) for piece in chosen)
    others = parts.pieces[len(chosen) :]
    return femora, (len(others), sum(piece.volume_ml for piece in others))


def _of_mask(place: Path, labels: LabelMap, ct: CtVolume | None) -> Bones:
    if is_folder(place) and (place / FOLDER_RECORD).is_file() and (place / FOLDER_MASK).is_file():
        place = place / FOLDER_MASK
    if not is_folder(place):
        mask = check_volume_file(place, "mask")
        return Bones(femora=femora_in(read_checked_labels(mask), mask.grid, labels, name=str(place)), ct=ct)
    checked_ct, mask, stated = _study(place)
    labels = labels if labels.known else stated
    values_zyx = read_checked_labels(mask, labels.meanings or ((1,), (2,)))
    return Bones(femora=femora_in(values_zyx, mask.grid, labels, name=str(place)), ct=ct or read_checked_ct(checked_ct))


def _study(folder: Path) -> tuple[CheckedVolume, CheckedVolume, LabelMap]:
    """CT and mask of one study, and what the mask's values mean where the study says so."""
    settings = settings_for(folder, CheckOptions(cohort={}))
    study = StudyFiles(name=folder.name, location=folder, folder=folder, files=tuple(files_below(folder)))
    paired = adapter_of(study, settings).pair(study, settings, pseudonym_with(_KEY), "required")
    if paired.faults or paired.ct is None or paired.mask is None:
        missing = Refusal.of("IN-05", folder, "holds no CT with a mask", "give the folder of one study, or a mask file")
        raise Refusal(paired.faults) if paired.faults else missing
    return paired.ct, paired.mask, paired.labels or LabelMap()


def _require_in(ct: CtVolume, femora: Femora, place: Path) -> None:
    """Raises: Refusal IN-20 if a femur does not lie in the CT: its HU would be another place's."""
    for _, mask in femora:
        at = ct.grid.indices_zyx(mask.grid.positions_mm_xyz(np.argwhere(mask.femur_zyx)))
        inside = np.all((at > -1.0) & (at < ct.grid.shape_zyx), axis=1).mean()
        if inside < _LEAST_IN_CT:
            problem = f"lies outside of the CT but for {inside:.0%} of its voxels"
            raise Refusal.of("IN-20", place, problem, "give the CT that the mask was made from")


def femora_in(values_zyx: NDArray[np.generic], grid: VoxelGrid, labels: LabelMap, *, name: str) -> Femora:
    """Each femur's largest piece with its side: as the values say, else by place and shape.

    Raises: Refusal IN-22 (exit 3) if the mask holds values that nobody explains.
    """
    values = [int(value) for value in np.unique(values_zyx) if value != 0]
    if not labels.known and values != [1] and set(values) <= set(AS_WRITTEN.known):
        labels = AS_WRITTEN
    if not labels.known and len(values) > 1:
        raise unexplained(values, name)
    found: list[tuple[Side | None, NDArray[np.bool_]]] = [
        (side, of_labels(values_zyx, labels.of_side(side))) for side in _SIDES if labels.of_side(side)
    ]
    if rest := labels.femur if labels.known else values:
        femora = told_apart(MaskVolume(femur_zyx=of_labels(values_zyx, rest), grid=grid))
        numbers: tuple[tuple[Side | None, int], ...] = (("left", 1), ("right", 2), (None, 3))
        found += [(side, femora.labels.labels_zyx == number) for side, number in numbers]
    parts = [(side, pieces_of(mask, grid)) for side, mask in found if mask.any()]
    return tuple((side, its.mask_of(its.pieces[:1], grid)) for side, its in parts)


def unexplained(values: Sequence[int], name: str) -> Refusal:
    """IN-22 of a mask with several values of which nobody says what they mean."""
    fix = "say which are femora: --label left=VALUE --label right=VALUE, or --label femur=VALUE"
    held = ", ".join(map(str, values[:_SAID])) + (f" and {len(values) - _SAID} more" if len(values) > _SAID else "")
    return Refusal.of("IN-22", name, f"holds the values {held}, and nothing tells what they mean", fix)
