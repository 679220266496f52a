"""The form of what a mask calls a femur, whichever way the bone lies, and what lies in it and round it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.inference.femora import STRUCTURES, Femora, FemurSide
from femseg.measurements.bone import Bone
from femseg.measurements.head import found_head
from femseg.measurements.lines import unit
from femseg.volumes.grid import CtVolume, MaskVolume, Triple, VoxelGrid, to_lps

End = Literal["inferior", "superior", "anterior", "posterior", "right", "left"]

_ENDS: tuple[tuple[End, End], ...] = (("inferior", "superior"), ("anterior", "posterior"), ("right", "left"))
_CUT_OFF_MM = 10.0  # a mask that comes as near to the end of a scan is cut off there
_STEP_MM = 2.0  # of the grid that all is measured on
_SECTION_MM = 5.0
_END_MM = 90.0  # a hip's or knee's share of the bone
_ALONG_SHAFT_MM = 150.0  # a hip is up to 113 mm wide: the longest axis of a shorter piece may be its neck's
_WHOLE_END_MM = 80.0  # feet to head: head and trochanter are in it
_HEAD_WITHIN_MM = 130.0  # of the upper end, with what is grown onto it
_OFF_HEAD_MM = 4.0  # a head is no perfect ball
_HEAD_COVERED = 0.65  # 0.77 to 0.92 of whole heads, up to 0.63 of balls in a shaft or a knee
_SIDEWAYS = 0.3  # cosine: 73 degrees from the direction of neck and shaft
_SHAFT_MM2 = 1300.0  # perimeters in the middle of 366 shafts: up to 116 mm
_SKIN_MM, _AIR_HU = 12.0, -400.0
_RIM_MM, _CORE_MM = (1.0, 5.0), 8.0  # below the surface
_METAL_HU = 2500.0
_TOUCHING = np.ones((3, 3, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class FemurShape:
    """What a mask shows of one femur; but for `volume_ml` and `stray_ml`, of its largest piece.

    Attributes:
        volume_ml: of all pieces.
        stray_ml: of all but the largest.
        length_mm: along its longest axis.
        mean_mm2, widest_mm2: areas of its sections across that axis.
        hip_width_mm, knee_width_mm: greatest width across that axis of the upper and the lower 90 mm, of a piece of
            under 150 mm across the body's; None of an end that the scan cuts off, or of a piece of under 80 mm.
        below_knee_mm: how far it reaches below the widest section of the lower 90 mm; None as `knee_width_mm`.
        spur_ml: what lies more than 4 mm off the head's sphere, on the far side from neck and shaft: of another bone,
            or of none; None where no head is seen.
        stray_mm_xyz, spur_mm_xyz: where the largest piece of that lies, in LPS; None of none.
        near_skin_share: of the surface of its shaft that lies within 12 mm of air; 0 where no section is a shaft's.
        rim_over_core_hu: by how much its rim is denser than its core, metal left out; None of a piece without core.
        cut_off: the ends of the scan that it comes within 10 mm of.
    """

    volume_ml: float
    stray_ml: float
    length_mm: float
    mean_mm2: float
    widest_mm2: float
    hip_width_mm: float | None
    knee_width_mm: float | None
    below_knee_mm: float | None
    spur_ml: float | None
    stray_mm_xyz: Triple | None
    spur_mm_xyz: Triple | None
    near_skin_share: float
    rim_over_core_hu: float | None
    cut_off: tuple[End, ...]

    @property
    def shows_no_end(self) -> bool:
        """Whether the scan cuts off both its ends."""
        return {"inferior", "superior"} <= {*self.cut_off}


def shapes_of(femora: Femora, ct: CtVolume) -> Mapping[FemurSide, FemurShape]:
    """The shape of each femur of a mask.

    Args:
        ct: on the grid of the mask.
    """
    labels_zyx, grid = to_lps(femora.labels.labels_zyx, femora.labels.grid)
    thin = tuple(slice(None, None, max(1, round(_STEP_MM / spacing))) for spacing in grid.spacing_mm_zyx)
    labels, hu = labels_zyx[thin], to_lps(ct.hu_zyx, ct.grid)[0][thin]
    z, y, x = (part.step * mm for part, mm in zip(thin, grid.spacing_mm_zyx, strict=True))
    thinned = replace(grid, shape_zyx=labels.shape, spacing_mm_zyx=(z, y, x))
    return {
        side: _shape(labels == STRUCTURES[side].value, hu, thinned, femur.pieces_ml)
        for side, femur in femora.by_side.items()
    }


def _shape(
    femur_zyx: NDArray[np.bool_], hu_zyx: NDArray[np.floating[Any]], grid: VoxelGrid, pieces_ml: tuple[float, ...]
) -> FemurShape:
    mm_zyx = np.array(grid.spacing_mm_zyx)
    numbers, _ = ndimage.label(femur_zyx, structure=_TOUCHING)
    counts = np.bincount(numbers.ravel())[1:]
    piece_zyx = numbers == np.argmax(counts) + 1 if counts.size else femur_zyx
    voxels = np.argwhere(piece_zyx) if counts.size else np.zeros((1, 3), int)
    centred = voxels * mm_zyx - (voxels * mm_zyx).mean(axis=0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    axis *= 1.0 if axis[0] >= 0 else -1.0  # upwards
    along = centred @ axis
    sections = ((along - along.min()) // _SECTION_MM).astype(int)
    areas_mm2 = np.bincount(sections) * float(np.prod(mm_zyx)) / _SECTION_MM
    length_mm = float(np.ptp(along) + np.abs(axis) @ mm_zyx)
    upright = axis if length_mm >= _ALONG_SHAFT_MM else np.array([1.0, 0.0, 0.0])
    cut_off = _ends_reached(voxels, np.array(femur_zyx.shape), mm_zyx)
    depth_mm, air_mm = _depths(piece_zyx, hu_zyx, mm_zyx, voxels)
    shaft = (depth_mm <= mm_zyx.max()) & (areas_mm2[sections] <= _SHAFT_MM2)
    spur = _spur(piece_zyx, grid, voxels, centred @ upright)
    return FemurShape(
        volume_ml=sum(pieces_ml),
        stray_ml=sum(pieces_ml[1:]),
        length_mm=length_mm,
        mean_mm2=1000.0 * pieces_ml[0] / length_mm,
        widest_mm2=float(areas_mm2.max()),
        hip_width_mm=_width_mm(centred, upright, upper=True) if "superior" not in cut_off else None,
        knee_width_mm=_width_mm(centred, upright, upper=False) if "inferior" not in cut_off else None,
        below_knee_mm=_below_knee_mm(centred @ upright) if "inferior" not in cut_off else None,
        spur_ml=None if spur is None else len(spur) * grid.voxel_volume_mm3 / 1000.0,
        stray_mm_xyz=_largest_at(np.argwhere(femur_zyx & ~piece_zyx), grid),
        spur_mm_xyz=None if spur is None else _largest_at(spur, grid),
        near_skin_share=float(np.mean(air_mm[shaft] <= _SKIN_MM)) if shaft.any() else 0.0,
        rim_over_core_hu=_rim_over_core(hu_zyx[tuple(voxels.T)], depth_mm),
        cut_off=cut_off,
    )


def _ends_reached(
    voxels: NDArray[np.integer[Any]], shape_zyx: NDArray[np.integer[Any]], mm_zyx: NDArray[np.float64]
) -> tuple[End, ...]:
    gaps_mm = np.stack([voxels.min(axis=0), shape_zyx - 1 - voxels.max(axis=0)], axis=1) * mm_zyx[:, None]
    return tuple(
        end
        for ends, gaps in zip(_ENDS, gaps_mm, strict=True)
        for end, gap in zip(ends, gaps, strict=True)
        if gap < _CUT_OFF_MM
    )


def _width_mm(centred_mm: NDArray[np.float64], axis: NDArray[np.float64], *, upper: bool) -> float | None:
    """Of the part at an end, in the direction across the axis in which it is greatest."""
    along = centred_mm @ axis
    if np.ptp(along) < _WHOLE_END_MM:
        return None
    from_end_mm = along.max() - along if upper else along - along.min()
    one = np.cross(axis, [0.0, 1.0, 0.0] if abs(axis[1]) < 0.9 else [0.0, 0.0, 1.0])
    one /= np.linalg.norm(one)
    across = centred_mm[from_end_mm <= _END_MM] @ np.stack([one, np.cross(axis, one)], axis=1)
    angles = np.linspace(0.0, np.pi, 18, endpoint=False)
    return float(np.ptp(across @ np.stack([np.cos(angles), np.sin(angles)]), axis=0).max())


def _below_knee_mm(along_mm: NDArray[np.float64]) -> float | None:
    """From the middle of the widest section of the lower end down to its lowest point."""
    if np.ptp(along_mm) < _WHOLE_END_MM:
        return None
    from_end_mm = along_mm - along_mm.min()
    voxels = np.bincount((from_end_mm[from_end_mm < _END_MM] // _SECTION_MM).astype(int))
    return float((np.argmax(voxels) + 0.5) * _SECTION_MM)


def _spur(
    piece_zyx: NDArray[np.bool_], grid: VoxelGrid, voxels: NDArray[np.integer[Any]], along_mm: NDArray[np.float64]
) -> NDArray[np.integer[Any]] | None:
    """The voxels off the head, but not where most of those lie: there are neck, trochanters and shaft."""
    upper = voxels[along_mm.max() - along_mm <= _HEAD_WITHIN_MM]
    upper_zyx = np.zeros_like(piece_zyx)
    upper_zyx[tuple(upper.T)] = True
    head = found_head(Bone.of_mask(MaskVolume(femur_zyx=upper_zyx, grid=grid)), least_covered=_HEAD_COVERED)
    if head is None:
        return None
    apart = grid.positions_mm_xyz(upper) - head.centre
    away_mm = np.linalg.norm(apart, axis=1)
    off_head = away_mm > head.radius_mm + _OFF_HEAD_MM
    towards_neck = unit(apart[off_head].mean(axis=0)) if off_head.any() else np.zeros(3)
    return np.asarray(upper[off_head & (apart @ towards_neck < _SIDEWAYS * away_mm)])


def _largest_at(voxels: NDArray[np.integer[Any]], grid: VoxelGrid) -> Triple | None:
    """A place in the middle of the largest piece that these voxels make; None of no voxels."""
    if not len(voxels):
        return None
    low = voxels.min(axis=0)
    filled_zyx = np.zeros(voxels.max(axis=0) - low + 1, bool)
    filled_zyx[tuple((voxels - low).T)] = True
    numbers, _ = ndimage.label(filled_zyx, structure=_TOUCHING)
    largest = np.argwhere(numbers == np.argmax(np.bincount(numbers.ravel())[1:]) + 1)
    middle = largest[np.argmin(np.sum((largest - largest.mean(axis=0)) ** 2, axis=1))]
    z, y, x = (middle + low).tolist()
    left, back, up = grid.position_mm_xyz((z, y, x)).tolist()
    return left, back, up


def _depths(
    piece_zyx: NDArray[np.bool_],
    hu_zyx: NDArray[np.floating[Any]],
    mm_zyx: NDArray[np.float64],
    voxels: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far below the surface each voxel lies, and how far from air; what is beyond the scan is neither."""
    reach = np.ceil((_SKIN_MM + _STEP_MM) / mm_zyx).astype(int)
    low = np.maximum(voxels.min(axis=0) - reach, 0)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, voxels.max(axis=0) + 1 + reach, strict=True))
    air = ndimage.gaussian_filter(hu_zyx[box].astype(np.float32), 0.7) < _AIR_HU
    at = tuple((voxels - low).T)
    below = ndimage.distance_transform_edt(piece_zyx[box], sampling=mm_zyx)
    from_air = ndimage.distance_transform_edt(~air, sampling=mm_zyx) if air.any() else np.full(air.shape, np.inf)
    return below[at], from_air[at]


def _rim_over_core(hu: NDArray[np.floating[Any]], depth_mm: NDArray[np.float64]) -> float | None:
    rim, core = hu[(depth_mm > _RIM_MM[0]) & (depth_mm < _RIM_MM[1])], hu[(depth_mm >= _CORE_MM) & (hu < _METAL_HU)]
    return float(np.median(rim) - np.median(core)) if core.size and rim.size else None
