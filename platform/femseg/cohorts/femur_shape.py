"""Which side a femur is of, told by its own shape; no second femur and no body round it is needed.

The head stands medial of the shaft. Along the shaft's axis the medial condyle reaches lower than the lateral one, as
the joint line stands at about 81 degrees to that axis (Paley 2002, lateral distal femoral angle). Both hold however the
leg is turned, short of a quarter of a turn, and a femur that lies in a mirror is one of the other side.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.femur_side import MaskPiece, MaskPieces, Side, box_of
from femseg.volumes.grid import VoxelGrid, to_lps

TELLING_ML = 20.0
_THIN_MM = 1.0
_HEAD_MM2 = 900.0  # across a ball of 19 mm radius, 12 to 24 mm below its top, 1100 mm²; across a shaft 700
_CONDYLES_MM2 = 1500.0
_ROUNDED = 0.6  # of the area farther in: a bone's own end is smaller than that, one that a scan cut off is not
_ROUND = 1.12  # wide by narrow; a trochanter's cross-section is longer from front to back
_SIDEWAYS = 0.5  # a neck, or a line from condyle to condyle, is within 60 degrees of left to right
_OFFSET_MM, _LOWER_MM = 12.0, 3.0


def sides_by_shape(
    pieces: Sequence[MaskPiece], parts: MaskPieces, grid: VoxelGrid, *, cut_off: Collection[str]
) -> dict[str, Side]:
    """What the shape of one femur says of its side: by "head", by "condyles", by both or by neither.

    Args:
        pieces: of `parts`, those of this femur; each of 20 ml or more is asked.
        parts: of the whole mask, on `grid`.
        cut_off: ends of the body axis, "superior" and "inferior", at which the scan cuts it off: they tell nothing.
    """
    evidence: dict[str, Side] = {}
    box_grid = replace(grid, shape_zyx=parts.numbers_zyx.shape)  # asked for directions and spacing alone
    for piece in pieces:
        if piece.volume_ml < TELLING_ML:
            continue
        own_zyx = parts.numbers_zyx == piece.number
        for who, tell, end in (("head", side_by_head, "superior"), ("condyles", side_by_condyles, "inferior")):
            if end not in cut_off and (side := tell(own_zyx, box_grid)):
                evidence.setdefault(who, side)
    return evidence


def agreed(evidence: Mapping[str, Side]) -> Side | None:
    """The side that all evidence names; None if it contradicts itself, or there is none."""
    named = set(evidence.values())
    return named.pop() if len(named) == 1 else None


def side_by_head(femur_zyx: NDArray[np.bool_], grid: VoxelGrid) -> Side | None:
    """Side of a femur whose head and 45 mm below its top are there; None where they are not, or do not tell.

    With 130 mm the head is held against the shaft's axis, from which the trochanter of a femur without a head stands
    but 10 mm; with less, against what is lowest, and then only if its cross-section is as round as a head's.

    Args:
        femur_zyx: one femur, or its upper part; any orientation.
    """
    whole = _Bone.of(femur_zyx, grid)
    bone, depth = whole.places_mm_xyz, whole.from_end("upper")
    end = min(depth.max(initial=0.0), 200.0)
    if end < 45.0:
        return None
    inside_mm2 = whole.area_mm2(depth, 12.0, 24.0)
    if inside_mm2 < _HEAD_MM2 or whole.area_mm2(depth, 0.0, 5.0) > _ROUNDED * inside_mm2:
        return None
    head = bone[(depth >= 6.0) & (depth < 15.0)]
    if len(head) < 3:
        return None
    centre_mm_xyz = head.mean(axis=0)
    if end >= 130.0:
        shaft = bone[(depth >= 90.0) & (depth <= end)]
        line = np.polyfit(shaft[:, 2], shaft[:, :2], 1)
        below_mm_xy = line[0] * centre_mm_xyz[2] + line[1]
    else:
        narrow, wide = np.sqrt(np.linalg.eigvalsh(np.cov(head[:, :2].T)))
        if wide > _ROUND * narrow:
            return None
        below_mm_xy = bone[(depth >= min(end, 100.0) - 20.0) & (depth <= 100.0), :2].mean(axis=0)
    lateral_mm, behind_mm = (below_mm_xy - centre_mm_xyz[:2]).tolist()
    if abs(lateral_mm) < max(_OFFSET_MM, _SIDEWAYS * math.hypot(lateral_mm, behind_mm)):
        return None
    return _side(lateral_mm)


def side_by_condyles(femur_zyx: NDArray[np.bool_], grid: VoxelGrid) -> Side | None:
    """Side of a femur whose condyles and 105 mm above them are there; None where they are not, or do not tell."""
    whole = _Bone.of(femur_zyx, grid)
    bone, height = whole.places_mm_xyz, whole.from_end("lower")
    end = min(height.max(initial=0.0), 160.0)
    if end < 105.0:
        return None
    inside_mm2 = whole.area_mm2(height, 10.0, 30.0)
    if inside_mm2 < max(_CONDYLES_MM2, 2 * whole.area_mm2(height, end - 20.0, end)):
        return None
    if whole.area_mm2(height, 0.0, 6.0) > _ROUNDED * inside_mm2:
        return None
    shaft = bone[(height >= 70.0) & (height <= end)]
    lean = np.polyfit(shaft[:, 2], shaft[:, :2], 1)[0]
    axis = np.array([*lean, 1.0]) / math.hypot(*lean, 1.0)
    low = bone[height < 35.0] - bone[height < 35.0].mean(axis=0)
    along = low @ axis
    across = low - np.outer(along, axis)
    width = np.linalg.eigh(across.T @ across)[1][:, -1]  # from condyle to condyle
    width *= np.sign(width[0])
    if width[0] < _SIDEWAYS:
        return None
    place = across @ width
    middle = (place.min() + place.max()) / 2
    ends = [
        np.sort(along[half])[: math.ceil(50.0 / whole.voxel_mm3)].mean() for half in (place > middle, place <= middle)
    ]
    higher_mm = float(ends[0] - ends[1])
    needed_mm = max(_LOWER_MM, 0.7 * max(grid.spacing_mm_zyx))
    return _side(higher_mm) if abs(higher_mm) >= needed_mm else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bone:
    """A femur's voxels, about 1 mm apart and the same ones however the array runs.

    Attributes:
        places_mm_xyz: their centres in LPS, shape (n, 3).
        slice_mm: their distance along the body.
        voxel_mm3: what each stands for.
    """

    places_mm_xyz: NDArray[np.float64]
    slice_mm: float
    voxel_mm3: float

    @classmethod
    def of(cls, femur_zyx: NDArray[np.bool_], grid: VoxelGrid) -> Self:
        upright_zyx, grid = to_lps(femur_zyx, grid)
        box = box_of(upright_zyx) or (slice(0),) * 3
        steps = [max(1, int(_THIN_MM / spacing)) for spacing in grid.spacing_mm_zyx]
        thin = tuple(slice(part.start, part.stop, step) for part, step in zip(box, steps, strict=True))
        indices = np.argwhere(upright_zyx[thin]) * steps + [part.start or 0 for part in box]
        return cls(
            places_mm_xyz=grid.positions_mm_xyz(indices),
            slice_mm=grid.spacing_mm_zyx[0] * steps[0],
            voxel_mm3=grid.voxel_volume_mm3 * math.prod(steps),
        )

    def from_end(self, end: Literal["upper", "lower"]) -> NDArray[np.float64]:
        """Distance of each voxel from the bone's end, along the body."""
        z = self.places_mm_xyz[:, 2]
        inward = z.max(initial=-math.inf) - z if end == "upper" else z - z.min(initial=math.inf)
        return np.asarray(inward + self.slice_mm / 2)

    def area_mm2(self, along_mm: NDArray[np.float64], first: float, last: float) -> float:
        """Mean area of the cross-sections between two distances from an end; infinite if no slice lies there."""
        slices = np.floor(last / self.slice_mm - 0.5) - np.ceil(first / self.slice_mm - 0.5) + 1
        inside = np.count_nonzero((along_mm >= first - 1e-6) & (along_mm <= last + 1e-6))
        return float(inside * self.voxel_mm3 / (slices * self.slice_mm)) if slices > 0 else math.inf


def _side(lateral_mm: float) -> Side:
    return "left" if lateral_mm > 0 else "right"
