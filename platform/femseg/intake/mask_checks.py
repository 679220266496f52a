"""Does this mask belong to this CT, and does it show what it should? Voxel values, geometry, place."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.cohorts.case import Femur
from femseg.cohorts.femur_side import APART_MM, SIDE_BY_SIDE, MaskPieces, ShownSide, box_of
from femseg.cohorts.settings import LabelMap
from femseg.errors import Fault
from femseg.formats.plausible import MASK_REFUSED_OF_VOXEL, MASK_REMARKED_MM
from femseg.volumes.grid import VoxelGrid

_DIFFERENT = 1e-6
_SHELL_MM = 5.0
_VALUES_SHOWN = 12


def grid_faults(ct: VoxelGrid, mask: VoxelGrid, file: str) -> list[Fault]:
    """IN-20: mask and CT place a voxel more than a tenth of its shortest edge apart, or differ in size.

    A mask that has all slices of its CT and more tells that the CT has lost some (IN-03).
    """
    if lost := _slices_lost(ct, mask):
        return [Fault("IN-03", file, lost, "send the whole CT series again, or cut the mask to its slices")]
    apart_mm = ct.largest_offset_mm(mask)
    if mask.shape_zyx == ct.shape_zyx and apart_mm <= MASK_REFUSED_OF_VOXEL * min(ct.spacing_mm_zyx):
        return []
    pairs: list[tuple[str, Sequence[float], Sequence[float]]] = [
        ("size", mask.shape_zyx, ct.shape_zyx),
        ("spacing mm", mask.spacing_mm_zyx, ct.spacing_mm_zyx),
        ("origin mm", mask.origin_mm_xyz, ct.origin_mm_xyz),
        ("direction", mask.direction_xyz, ct.direction_xyz),
    ]
    different = [
        f"{what} {_row(ours)}, CT {_row(theirs)}"
        for what, ours, theirs in pairs
        if max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) > _DIFFERENT
    ]
    apart = f": up to {apart_mm:.3g} mm apart" if apart_mm > MASK_REMARKED_MM else ""
    problem = f"mask {'; '.join(different)}{apart}"
    fix = "resample the mask onto the CT's grid, or take the CT that it was drawn on"
    return [Fault("IN-20", file, problem, fix)]


def grid_remarks(ct: VoxelGrid, mask: VoxelGrid) -> list[str]:
    """IN-20: the mask's header rounds what its CT's says; worth a word from 0.01 mm at the farthest corner."""
    apart_mm = ct.largest_offset_mm(mask)
    if apart_mm <= MASK_REMARKED_MM:
        return []
    return [f"IN-20: the mask's header places voxels up to {apart_mm:.2g} mm from the CT's; read as the same voxels"]


def _slices_lost(ct: VoxelGrid, mask: VoxelGrid) -> str:
    """What the CT lacks, where its grid is a part of the mask's; "" where it is not."""
    extra = mask.shape_zyx[0] - ct.shape_zyx[0]
    if extra <= 0 or mask.shape_zyx[1:] != ct.shape_zyx[1:]:
        return ""
    up = np.array(mask.direction_xyz).reshape(3, 3)[:, 2]
    below = round(float(np.dot(np.subtract(ct.origin_mm_xyz, mask.origin_mm_xyz), up)) / mask.spacing_mm_zyx[0])
    if not 0 <= below <= extra:
        return ""
    x, y, z = mask.position_mm_xyz((below, 0, 0)).tolist()
    part = replace(mask, shape_zyx=ct.shape_zyx, origin_mm_xyz=(x, y, z))
    if ct.largest_offset_mm(part) > MASK_REFUSED_OF_VOXEL * min(ct.spacing_mm_zyx):
        return ""
    ends = [
        f"{count} before its {name} slice" if name == "first" else f"{count} after its {name} slice"
        for name, count in (("first", below), ("last", extra - below))
        if count
    ]
    return f"the mask has {mask.shape_zyx[0]} slices, its CT {ct.shape_zyx[0]}: the CT lacks {' and '.join(ends)}"


def _row(numbers: Sequence[float]) -> str:
    return "(" + ", ".join(f"{number + 0.0:.6g}" for number in numbers) + ")"


def value_faults(values_zyx: NDArray[np.generic], labels: LabelMap, file: str) -> list[Fault]:
    """IN-22: a mask that is empty, has no background, or holds values that nobody explained."""

    def refused(problem: str, fix: str) -> list[Fault]:
        return [Fault("IN-22", file, problem, fix)]

    present = _present(values_zyx)
    if not np.isfinite(present).all() or (present != np.round(present)).any():
        problem = f"holds values that are no whole numbers: {_some(present)}"
        return refused(problem, "store the mask as labels, unscaled")
    foreground = present[present != 0]
    if not foreground.size:
        return refused("is empty: no voxel differs from 0", "draw the femur, or drop the case")
    if foreground.size == present.size:
        return refused(f"has no background: values {_some(present)}", "store background as 0")
    unknown = foreground[~np.isin(foreground, labels.known or (1,))]
    if not unknown.size:
        return []
    if labels.known:
        problem = f"holds {_some(present)}; cohort.labels explains {sorted(labels.known)}"
        return refused(problem, "add the others to cohort.labels")
    fix = "say what the values mean by cohort.labels (femur, left, right, other)"
    if foreground.size == 1:
        meant = "left: [1], right: [2]" if foreground[0] == 2 else f"femur: [{foreground[0]:g}]"
        fix = f"if that is femur, write `cohort.labels: {{{meant}}}`"
    return refused(f"holds {_some(present)}, expected 0 and 1", fix)


def labels_by_place(
    values_zyx: NDArray[np.generic], labels: LabelMap, grid: VoxelGrid, file: str
) -> tuple[LabelMap, list[Fault], list[str]]:
    """What 1 and 2 mean where nobody said: the left and the right femur, if they lie so (IN-22).

    Returns: the labels, a fault with the line to write where the place does not say so, and a remark where it does.
    """
    if labels.known or not np.array_equal(_present(values_zyx), (0, 1, 2)):
        return labels, [], []
    first, second = (_centre(values_zyx == value) for value in (1, 2))
    apart_mm = float(grid.position_mm_xyz(first)[0] - grid.position_mm_xyz(second)[0])
    spans = [_heights_mm(values_zyx == value, grid) for value in (1, 2)]
    beside_mm = min(high for _, high in spans) - max(low for low, _ in spans)
    if abs(apart_mm) < APART_MM or beside_mm < SIDE_BY_SIDE * min(high - low for low, high in spans):
        fix = "say which is femur, for instance by cohort.labels {femur: [1], other: [2]}"
        return labels, [Fault("IN-22", file, "holds 1 and 2, which do not lie side by side as two femora do", fix)], []
    if apart_mm < 0:
        problem = f"holds 1 and 2, and 1 lies {-apart_mm:.0f} mm to the right of 2: not left and right, as usual"
        fix = "if the header's orientation is right, write `cohort.labels: {left: [2], right: [1]}`"
        return labels, [Fault("IN-22", file, problem, fix)], []
    remark = f"IN-22: 1 and 2 taken as left and right femur, for so they lie, {apart_mm:.0f} mm apart"
    return LabelMap(left=(1,), right=(2,)), [], [remark]


def _heights_mm(mask_zyx: NDArray[np.bool_], grid: VoxelGrid) -> tuple[float, float]:
    """Least and greatest height of a mask along the body, by the corners of its box."""
    box = box_of(mask_zyx) or (slice(0, 1),) * 3
    corners = np.array(list(product(*((part.start, part.stop - 1) for part in box))))
    heights = grid.positions_mm_xyz(corners)[:, 2]
    return float(heights.min()), float(heights.max())


def _present(values_zyx: NDArray[np.generic]) -> NDArray[np.float64]:
    """The different values of a mask, in ascending order; a slice of two values, the common case, costs no sort."""
    present: set[np.generic] = set()
    for slice_yx in values_zyx:
        low, high = slice_yx.min(), slice_yx.max()
        few = low == high or not ((slice_yx != low) & (slice_yx != high)).any()
        present.update((low, high) if few else np.unique(slice_yx))
    return np.unique(np.array(list(present), np.float64))


def _some(values: NDArray[np.float64]) -> str:
    more = f" and {values.size - _VALUES_SHOWN} more" if values.size > _VALUES_SHOWN else ""
    return ", ".join(f"{value:g}" for value in values[:_VALUES_SHOWN]) + more


def side_faults(found: ShownSide | None, wanted: Femur, file: str) -> list[Fault]:
    """IN-22: the side that was asked for is not in the mask, or nobody can tell."""
    if wanted == "all" or found in (wanted, "both"):
        return []
    shows = f"shows a {found} femur alone" if found else "shows one femur, of a side that neither place nor shape tells"
    fix = "set cohort.femur to all, or say by cohort.labels which value is which side"
    return [Fault("IN-22", file, f"{shows}; cohort.femur asks for the {wanted} one", fix)]


def small_piece_remarks(parts: MaskPieces) -> list[str]:
    """IN-22: pieces below 1 ml are likely slips of the pen; they stay."""
    small = [piece.volume_ml for piece in parts.pieces if piece.volume_ml < 1.0]
    if not small:
        return []
    return [f"IN-22: {len(small)} separate piece(s) below 1 ml in the mask, the largest of {max(small):.2g} ml"]


def swapped_side_faults(values_zyx: NDArray[np.generic], labels: LabelMap, grid: VoxelGrid, file: str) -> list[Fault]:
    """IN-21: the left label must lie on the patient's left of the right label."""
    if not (labels.left and labels.right):
        return []
    left, right = (np.isin(values_zyx, list(side)) for side in (labels.left, labels.right))
    if not (left.any() and right.any()):
        return []
    left_x, right_x = (float(grid.position_mm_xyz(_centre(side))[0]) for side in (left, right))
    if left_x > right_x:
        return []
    problem = f"the left femur lies {right_x - left_x:.0f} mm to the right of the right one"
    return [Fault("IN-21", file, problem, "correct the mask's orientation or cohort.labels")]


def _centre(mask_zyx: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Mean index of a mask along each axis, without listing its voxels."""
    sums = (mask_zyx.sum(axis=tuple(k for k in range(3) if k != axis)) for axis in range(3))
    z, y, x = (float(np.average(np.arange(s.size), weights=s)) for s in sums)
    return z, y, x


def density_faults(
    ct_hu_zyx: NDArray[np.float32], mask_zyx: NDArray[np.bool_], grid: VoxelGrid, file: str
) -> list[Fault]:
    """IN-21: bone is denser than the 5 mm round it; a mask that is not has been flipped, shifted or swapped.

    Looked at on every k-th voxel, about 1.5 mm apart, in the mask's box.
    """
    box = box_of(mask_zyx)
    if box is None:
        return []
    margin = [int(np.ceil(_SHELL_MM / spacing)) + 1 for spacing in grid.spacing_mm_zyx]
    steps = [max(1, round(1.5 / spacing)) for spacing in grid.spacing_mm_zyx]
    around = tuple(
        slice(max(0, part.start - extra), part.stop + extra, step)
        for part, extra, step in zip(box, margin, steps, strict=True)
    )
    ct, mask = ct_hu_zyx[around], mask_zyx[around]
    if not mask.any():
        return []
    sampling = [spacing * step for spacing, step in zip(grid.spacing_mm_zyx, steps, strict=True)]
    shell = ~mask & (ndimage.distance_transform_edt(~mask, sampling=sampling) <= _SHELL_MM)
    if not shell.any():
        return []
    inside, outside = float(ct[mask].mean()), float(ct[shell].mean())
    if inside > outside:
        return []
    problem = f"mean of {inside:.0f} HU inside the mask, {outside:.0f} HU in the 5 mm round it: no bone there"
    return [Fault("IN-21", file, problem, "check the mask's orientation and that it belongs to this CT")]
