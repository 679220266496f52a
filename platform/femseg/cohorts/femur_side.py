"""Which femur is which: LPS coordinates grow towards the patient's left, so the left femur has the greater x."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.cohorts.case import Femur
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid, to_lps

Side = Literal["left", "right"]
ShownSide = Literal["left", "right", "both"]

LARGE_ML = 1.0
SIDE_BY_SIDE = 0.5  # of the shorter one's length
APART_MM = 60.0  # the knees may touch, yet their centres, and those of whole femora, are farther apart than this
_OFF_CENTRE_MM, _OFF_CENTRE = 30.0, 0.4  # the latter of half of the body's width
_TWO_LEGS_MM, _WIDEST_MM = 300.0, 500.0
_DEEP_MM = 40.0  # in front of the femur's centre and behind it
_SPECK = 0.05  # of what the fullest column holds
_BODY_HU = -300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPiece:
    """One connected piece of a mask: its size, its centre, and its reach along the body (least and greatest LPS z)."""

    number: int
    volume_ml: float
    centre_mm_xyz: tuple[float, float, float]
    reach_mm: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPieces:
    """A mask taken apart: the pieces, largest first, and who owns each voxel of the box round them all."""

    pieces: tuple[MaskPiece, ...]
    numbers_zyx: NDArray[np.int32]
    box_zyx: tuple[slice, slice, slice]

    @property
    def large(self) -> tuple[MaskPiece, ...]:
        """Pieces of more than 1 ml; all of them if none is."""
        return tuple(piece for piece in self.pieces if piece.volume_ml > LARGE_ML) or self.pieces

    def mask_of(self, pieces: Sequence[MaskPiece], grid: VoxelGrid) -> MaskVolume:
        """These pieces alone, on the grid of the mask that was taken apart."""
        mask_zyx = np.zeros(grid.shape_zyx, np.bool_)
        mask_zyx[self.box_zyx] = np.isin(self.numbers_zyx, [piece.number for piece in pieces])
        return MaskVolume(femur_zyx=mask_zyx, grid=grid)


def box_of(mask_zyx: NDArray[np.bool_]) -> tuple[slice, slice, slice] | None:
    """The smallest box of voxel indices that holds the whole mask; None if it is empty."""
    spans = []
    for axis in range(3):
        others = tuple(k for k in range(3) if k != axis)
        filled = np.flatnonzero(mask_zyx.any(axis=others))
        if not filled.size:
            return None
        spans.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return spans[0], spans[1], spans[2]


def pieces_of(mask_zyx: NDArray[np.bool_], grid: VoxelGrid) -> MaskPieces:
    """Take a mask apart into pieces that touch at least by a corner."""
    box = box_of(mask_zyx)
    if box is None:
        return MaskPieces(pieces=(), numbers_zyx=np.zeros((0, 0, 0), np.int32), box_zyx=(slice(0),) * 3)
    numbers, count = ndimage.label(mask_zyx[box], structure=np.ones((3, 3, 3)), output=np.int32)
    places_zyx = np.nonzero(numbers)
    owner = numbers[places_zyx]
    voxels = np.bincount(owner, minlength=count + 1)[1:]
    sums = [np.bincount(owner, weights=axis, minlength=count + 1)[1:] for axis in places_zyx]
    centres_zyx = np.stack(sums, axis=1) / voxels[:, None] + [part.start for part in box]  # all at once: noise has many
    centres_mm_xyz = grid.positions_mm_xyz(centres_zyx).tolist()
    found = []
    for number, (size, (x, y, z)) in enumerate(zip(voxels.tolist(), centres_mm_xyz, strict=True), start=1):
        volume_ml = size * grid.voxel_volume_mm3 / 1000
        reach = (z, z)
        if volume_ml > LARGE_ML:
            own_zyx = np.stack([axis[owner == number] + part.start for axis, part in zip(places_zyx, box, strict=True)])
            heights = grid.positions_mm_xyz(own_zyx.T)[:, 2]
            reach = (float(heights.min()), float(heights.max()))
        found.append(MaskPiece(number=number, volume_ml=volume_ml, centre_mm_xyz=(x, y, z), reach_mm=reach))
    return MaskPieces(
        pieces=tuple(sorted(found, key=lambda piece: (-piece.volume_ml, piece.number))),
        numbers_zyx=numbers,
        box_zyx=box,
    )


def middle_between(parts: MaskPieces) -> float | None:
    """The LPS x between the two femora; None where the mask shows one (in however many fragments).

    Two femora lie side by side. The fragments of one, however far apart, lie mostly one above the other.
    """
    pieces = sorted(parts.large, key=lambda piece: piece.centre_mm_xyz[0])
    gaps = np.diff([piece.centre_mm_xyz[0] for piece in pieces])
    if not gaps.size or gaps.max() <= APART_MM:
        return None
    first = int(np.argmax(gaps)) + 1
    (low, high), (other_low, other_high) = _reach(pieces[:first]), _reach(pieces[first:])
    beside = min(high, other_high) - max(low, other_low)
    if beside < SIDE_BY_SIDE * min(high - low, other_high - other_low):
        return None
    return (pieces[first - 1].centre_mm_xyz[0] + pieces[first].centre_mm_xyz[0]) / 2


def _reach(pieces: Sequence[MaskPiece]) -> tuple[float, float]:
    return min(piece.reach_mm[0] for piece in pieces), max(piece.reach_mm[1] for piece in pieces)


def side_of_body(parts: MaskPieces, ct: CtVolume) -> Side | None:
    """Side of a single femur, told by its distance from the middle of the body; None where that does not tell.

    The body is what is denser than -300 HU at the femur's height and depth, where no table lies. In one leg the femur
    lies near the middle; a body that goes on beyond the scan must show more than one leg, and its middle may be
    anywhere where that of a body of 500 mm, as wide as scanners see, can be.

    Args:
        parts: of a mask on the CT's grid, or on that grid seen through `to_lps`.
    """
    if not parts.large:
        return None
    hu_zyx, grid = to_lps(ct.hu_zyx, ct.grid)
    femur = parts.large[0]
    index_zyx = _index_zyx(grid, femur.centre_mm_xyz)
    reach = sorted(round(_index_zyx(grid, (*femur.centre_mm_xyz[:2], z))[0]) for z in femur.reach_mm)
    deep = round(_DEEP_MM / grid.spacing_mm_zyx[1])
    rows = slice(max(0, round(index_zyx[1]) - deep), round(index_zyx[1]) + deep + 1)
    step_zyx = [max(1, round(4.0 / spacing)) for spacing in grid.spacing_mm_zyx]
    near = hu_zyx[max(0, reach[0]) : reach[1] + 1 : step_zyx[0], rows.start : rows.stop : step_zyx[1]]
    filled = np.count_nonzero(near > _BODY_HU, axis=(0, 1))
    body = np.flatnonzero(filled > _SPECK * filled.max(initial=0))
    if not body.size:
        return None
    spacing_mm = grid.spacing_mm_zyx[2]
    offset_mm = (index_zyx[2] - (body[0] + body[-1]) / 2) * spacing_mm
    seen_mm = (body[-1] - body[0] + 1) * spacing_mm
    goes_on_right, goes_on_left = body[0] == 0, body[-1] == len(filled) - 1
    needed_mm = _OFF_CENTRE_MM
    if not (goes_on_right or goes_on_left):
        needed_mm = max(needed_mm, _OFF_CENTRE * seen_mm / 2)
    elif seen_mm < _TWO_LEGS_MM:
        return None
    if goes_on_left if offset_mm > 0 else goes_on_right:  # the middle is nearer to the femur than it looks
        needed_mm += max(0.0, _WIDEST_MM - seen_mm) / 2
    if abs(offset_mm) < needed_mm:
        return None
    return "left" if offset_mm > 0 else "right"


def _index_zyx(grid: VoxelGrid, place_mm_xyz: tuple[float, float, float]) -> tuple[float, float, float]:
    """The (fractional) voxel index of a place in the patient."""
    steps_mm = np.array(grid.direction_xyz).reshape(3, 3).T @ (np.array(place_mm_xyz) - grid.origin_mm_xyz)
    z, y, x = (float(mm) / spacing for mm, spacing in zip(steps_mm[::-1], grid.spacing_mm_zyx, strict=True))
    return z, y, x


def side_doubts(evidence: Mapping[str, Side], laterality: ShownSide | None, label: ShownSide | None) -> list[str]:
    """IN-21: remarks where header, mask's value, place and shape of a single femur name different sides.

    Args:
        evidence: "body", as `side_of_body` tells it, and what `sides_by_shape` says.
        laterality: as the DICOM header says.
        label: side that the mask's value stands for.
    """
    words = {
        who: f"the femur lies on the {side} of the body's middle"
        if who == "body"
        else f"the femur is {side} by its {who}"
        for who, side in evidence.items()
    }
    said: list[tuple[str, ShownSide | None]] = [("Laterality (0020,0060)", laterality), ("the mask's value", label)]
    against = [
        f"{name} says {side}, yet {words[who]}"
        for name, side in said
        if side not in (None, "both")
        for who, other in evidence.items()
        if other != side
    ]
    if len(set(evidence.values())) > 1 and not against:
        against = [", yet ".join(words.values())]
    return [f"IN-21: left/right doubt: {sentence}" for sentence in against]


def of_side(mask_zyx: NDArray[np.bool_], parts: MaskPieces, femur: Femur) -> NDArray[np.bool_]:
    """The chosen femur of a mask that shows two; a mask that shows one femur, or "all", stays as it is."""
    middle = middle_between(parts)
    if femur == "all" or middle is None:
        return mask_zyx
    wanted = np.zeros(len(parts.pieces) + 1, bool)
    for piece in parts.pieces:
        wanted[piece.number] = (piece.centre_mm_xyz[0] > middle) == (femur == "left")
    chosen = np.zeros_like(mask_zyx)
    chosen[parts.box_zyx] = wanted[parts.numbers_zyx]
    return chosen
