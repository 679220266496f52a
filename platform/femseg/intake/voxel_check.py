"""Check one study by its voxels, read once: its faults, its remarks and its facts."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.case import CaseFacts, Femur
from femseg.cohorts.femur_shape import agreed, sides_by_shape
from femseg.cohorts.femur_side import (
    MaskPieces,
    ShownSide,
    middle_between,
    of_side,
    pieces_of,
    side_doubts,
    side_of_body,
)
from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.errors import Fault
from femseg.formats.dicom.mending import OUTSIDE_HU
from femseg.formats.dicom.series import COUNT_UNVERIFIABLE
from femseg.formats.plausible import finite_faults, hounsfield_faults
from femseg.formats.reading import of_labels, read_checked_labels
from femseg.formats.source import CheckedVolume
from femseg.intake.mask_checks import (
    density_faults,
    grid_faults,
    grid_remarks,
    labels_by_place,
    side_faults,
    small_piece_remarks,
    swapped_side_faults,
    value_faults,
)
from femseg.intake.placement import better_place, placement_findings
from femseg.layouts.adapter import PairedStudy
from femseg.volumes.grid import CtVolume, VoxelGrid

METAL_WORTH_A_WORD_ML = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class VoxelCheck:
    """What the voxels of a study showed.

    Attributes:
        ct: the CT as read.
        labels: what the mask's values mean.
        femur_labels: those that are the wanted femur.
        mask_values_zyx: the mask as stored, on its own grid; None without one.
    """

    ct: CtVolume
    facts: CaseFacts
    femur_labels: tuple[int, ...]
    faults: tuple[Fault, ...]
    remarks: tuple[str, ...]
    mask_values_zyx: NDArray[np.generic] | None = None
    labels: LabelMap = field(default_factory=LabelMap)


def check_voxels(study: PairedStudy, ct: CheckedVolume, settings: CohortSettings, volume: CtVolume) -> VoxelCheck:
    """Check what only the pixels tell of a study whose headers hold; its CT has been read, its mask is read here.

    Raises: Refusal if a file cannot be read after all.
    """
    file = str(ct.where)
    faults = finite_faults(volume.hu_zyx, file)
    odd_numbers = [] if faults else hounsfield_faults(_measured(volume, ct), file)
    faults += [] if settings.accept_hu else odd_numbers
    known = CaseFacts(
        side=study.side,
        sex=study.sex,
        age_years=study.age_years,
        scanner=study.scanner,
        metal_ml=round(metal_ml(volume.hu_zyx, volume.grid), 3),
    )
    remarks = []
    if known.metal_ml >= METAL_WORTH_A_WORD_ML:
        remarks.append(f"FACT: {known.metal_ml:.3g} ml of metal (above {METAL_HU:.0f} HU)")
    if study.mask is None:
        if ends := bone_cut_off(volume.hu_zyx, volume.grid):
            remarks.append(f"FACT: bone is cut off by the field of view at its {' and '.join(ends)} end")
        return VoxelCheck(ct=volume, facts=known, femur_labels=(), faults=tuple(faults), remarks=tuple(remarks))
    labels = study.labels or settings.labels
    if settings.source == "synthetic":
        truth = read_checked_labels(study.mask, labels.meanings)
        return _of_made_study(volume, truth, known, labels, settings.femur, tuple(remarks))
    faults += grid_faults(volume.grid, study.mask.grid, str(study.mask.where))
    values = None
    if not faults:
        values = read_checked_labels(study.mask, labels.meanings)
        labels, faults, by_place = labels_by_place(values, labels, volume.grid, str(study.mask.where))
        if not faults:
            known, faults, mask_remarks = _check_mask(
                volume, values, study.mask, known, settings.femur, labels, in_hu=not odd_numbers
            )
            remarks += [*grid_remarks(volume.grid, study.mask.grid), *by_place, *mask_remarks]
        if known.cut_off and COUNT_UNVERIFIABLE in ct.remarks:
            remarks.append(
                f"IN-03: the femur reaches the CT's {' and '.join(known.cut_off)} end, where slices may be missing"
            )
    elif math.prod(study.mask.grid.shape_zyx) <= volume.hu_zyx.size:  # a mask that unpacks to more is not worth it
        values = read_checked_labels(study.mask, labels.meanings)
        if not (values != 0).all():  # a mask cropped off the lattice may be all femur
            faults += value_faults(values, labels, str(study.mask.where))
    return VoxelCheck(
        ct=volume,
        facts=known,
        labels=labels,
        femur_labels=labels.of_femur(settings.femur),
        faults=tuple(faults),
        remarks=tuple(remarks),
        mask_values_zyx=values,
    )


def _of_made_study(
    ct: CtVolume,
    values: NDArray[np.generic],
    known: CaseFacts,
    labels: LabelMap,
    wanted: Femur,
    remarks: tuple[str, ...],
) -> VoxelCheck:
    """The facts of a study that was made together with its mask: whose truth needs no check, and may be no femur."""
    wanted_labels = labels.of_femur(wanted)
    femur = of_labels(values, wanted_labels)
    shown: ShownSide | None = _side_shown(values, pieces_of(femur, ct.grid), wanted, labels) if femur.any() else None
    femur_ml = round(float(np.count_nonzero(femur)) * ct.grid.voxel_volume_mm3 / 1000, 3)
    facts = replace(known, side=shown, cut_off=cut_off(femur, ct.grid), femur_ml=femur_ml)
    return VoxelCheck(
        ct=ct,
        facts=facts,
        labels=labels,
        femur_labels=wanted_labels,
        faults=(),
        remarks=remarks,
        mask_values_zyx=values,
    )


def _measured(volume: CtVolume, ct: CheckedVolume) -> NDArray[np.float32]:
    """The voxels that a slice showed: air that untilting adds must not vouch for the scanner's own."""
    return volume.hu_zyx[volume.hu_zyx != OUTSIDE_HU] if "untilt" in ct.mends else volume.hu_zyx


def _check_mask(
    ct: CtVolume,
    values: NDArray[np.generic],
    mask: CheckedVolume,
    known: CaseFacts,
    wanted: Femur,
    labels: LabelMap,
    *,
    in_hu: bool,
) -> tuple[CaseFacts, list[Fault], list[str]]:
    """Values, side and place of a mask that lies on the CT's grid; facts about the wanted femur.

    Unless the CT is in Hounsfield units, nobody can tell from it how steeply a bone's surface falls.
    """
    file, grid = str(mask.where), ct.grid
    faults = value_faults(values, labels, file)
    faults += swapped_side_faults(values, labels, grid, file)
    if faults:
        return known, faults, []
    labelled = of_labels(values, labels.of_femur(wanted))
    if not labelled.any():
        problem = f"holds no voxel of {'a' if wanted == 'all' else f'the {wanted}'} femur"
        fix = "set cohort.femur to a side that is there, or drop the case"
        return known, [Fault("IN-22", file, problem, fix)], []
    parts = pieces_of(labelled, grid)
    said = _side_shown(values, parts, wanted, labels)
    single = middle_between(parts) is None
    ends = cut_off(labelled, grid)
    evidence = sides_by_shape(parts.pieces, parts, grid, cut_off=ends) if single else {}
    if single and (place := side_of_body(parts, ct)):
        evidence["body"] = place
    shown = said or known.side or agreed(evidence)
    faults = side_faults(shown, wanted, file)
    remarks = side_doubts(evidence, known.side, said)
    femur = of_side(labelled, parts, wanted) if labels.side_by_place(wanted) else labelled
    lies = density_faults(ct.hu_zyx, femur, grid, file)
    if not lies and not in_hu:
        remarks.append("IN-21: not compared with other places of the mask: the CT is not in Hounsfield units")
    elif not lies:
        lies, doubts = placement_findings(better_place(ct.hu_zyx, femur, grid, parts.box_zyx), file)
        remarks += doubts
    faults += lies
    known = replace(
        known,
        side=shown if wanted == "all" else wanted,
        cut_off=cut_off(femur, grid),
        femur_ml=round(float(np.count_nonzero(femur)) * grid.voxel_volume_mm3 / 1000, 3),
    )
    remarks += small_piece_remarks(parts)
    if known.cut_off:
        remarks.append(f"FACT: the femur is cut off by the field of view at its {' and '.join(known.cut_off)} end")
    return known, faults, remarks


def _side_shown(
    values_zyx: NDArray[np.generic], parts: MaskPieces, wanted: Femur, labels: LabelMap
) -> ShownSide | None:
    """Side of what a mask shows, where its values or two far-apart femora tell."""
    if wanted != "all" and not labels.side_by_place(wanted):
        return wanted
    if not labels.femur and (labels.left or labels.right):
        left, right = (bool(np.isin(values_zyx, list(side)).any()) for side in (labels.left, labels.right))
        return "both" if left and right else "left" if left else "right" if right else None
    return "both" if middle_between(parts) is not None else None


METAL_HU = 2500.0
BONE_HU = 300.0
_CUT_BONE_MM2 = 100.0

End = Literal["superior", "inferior"]


def metal_ml(ct_hu_zyx: NDArray[np.float32], grid: VoxelGrid) -> float:
    """Volume above 2500 HU: denser than any bone."""
    voxels = sum(np.count_nonzero(slice_yx > METAL_HU) for slice_yx in ct_hu_zyx)  # no second volume in memory
    return float(voxels) * grid.voxel_volume_mm3 / 1000


def _ends(array_zyx: NDArray[Any], grid: VoxelGrid) -> list[tuple[End, NDArray[Any], float]]:
    """The two end slices across the body axis, each with its end of the body and its voxels' area in mm²."""
    superior_xyz = np.array(grid.direction_xyz).reshape(3, 3)[2]  # how far each index axis climbs
    axis_xyz = int(np.argmax(np.abs(superior_xyz)))
    axis_zyx = 2 - axis_xyz
    area = grid.voxel_volume_mm3 / grid.spacing_mm_zyx[axis_zyx]
    climbs = superior_xyz[axis_xyz] > 0
    first: End = "inferior" if climbs else "superior"
    last: End = "superior" if climbs else "inferior"
    return [(first, np.take(array_zyx, 0, axis_zyx), area), (last, np.take(array_zyx, -1, axis_zyx), area)]


def cut_off(mask_zyx: NDArray[np.bool_], grid: VoxelGrid) -> tuple[End, ...]:
    """Ends of the body axis at which the mask reaches the last slice: the femur goes on where the scan does not."""
    return tuple(sorted(end for end, face, _ in _ends(mask_zyx, grid) if face.any()))


def bone_cut_off(ct_hu_zyx: NDArray[np.float32], grid: VoxelGrid) -> tuple[End, ...]:
    """The same told from a CT without mask: ends whose slice shows more than 1 cm² above 300 HU, of any bone."""
    bone_mm2 = {end: np.count_nonzero(face > BONE_HU) * area for end, face, area in _ends(ct_hu_zyx, grid)}
    return tuple(sorted(end for end, area in bone_mm2.items() if area > _CUT_BONE_MM2))
