"""A mask of femur as femora: which voxels are the left one's and which the right one's, and how that is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.femur_shape import TELLING_ML, agreed, sides_by_shape
from femseg.cohorts.femur_side import MaskPiece, MaskPieces, ShownSide, Side, middle_between, pieces_of, side_of_body
from femseg.cohorts.settings import LabelMap
from femseg.formats.writing import Structure
from femseg.volumes.grid import CtVolume, LabelVolume, MaskVolume, VoxelGrid, to_lps

FemurSide = Literal["left", "right", "unknown"]
_FEMUR = ("71341001", "Femur")
STRUCTURES: dict[FemurSide, Structure] = {
    "left": Structure(value=1, name="left femur", code=_FEMUR, modifier=("7771000", "Left")),
    "right": Structure(value=2, name="right femur", code=_FEMUR, modifier=("24028007", "Right")),
    "unknown": Structure(value=3, name="femur", code=_FEMUR),
}
AS_WRITTEN = LabelMap(  # in masks of `femseg segment`
    left=(STRUCTURES["left"].value,), right=(STRUCTURES["right"].value,), femur=(STRUCTURES["unknown"].value,)
)

_Told = tuple[FemurSide, tuple[str, ...]]  # a side, and what tells it
_WIDEST_MM = 150.0  # one femur at one height, in whatever pose


@dataclass(frozen=True, slots=True, kw_only=True)
class Femur:
    """What a mask shows of one side.

    Attributes:
        pieces_ml: volumes of its connected pieces, largest first.
        told_by: what tells the side: "place" of two femora beside each other, "head", "condyles", "body" (its distance
            from the middle of both legs), "header" of the DICOM files, "other" femur, which is on the other side.
    """

    pieces_ml: tuple[float, ...]
    told_by: tuple[str, ...]

    @property
    def volume_ml(self) -> float:
        """Of all pieces."""
        return sum(self.pieces_ml)


@dataclass(frozen=True, slots=True, kw_only=True)
class Femora:
    """A mask whose femora are told apart.

    Attributes:
        labels: 1 left, 2 right, 3 femur of a side that nothing tells, 0 background; on the mask's grid.
        by_side: the sides that are there.
        doubts: reasons to review the sides (IF-10), one sentence each.
    """

    labels: LabelVolume
    by_side: Mapping[FemurSide, Femur]
    doubts: tuple[str, ...] = ()

    @property
    def structures(self) -> tuple[Structure, ...]:
        """What the values that are there stand for."""
        return tuple(STRUCTURES[side] for side in self.by_side)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The pieces of one femur, and what each kind of evidence says of its side."""

    pieces: tuple[MaskPiece, ...]
    evidence: dict[str, Side]
    grown_together: bool

    @property
    def volume_ml(self) -> float:
        return sum(piece.volume_ml for piece in self.pieces)

    def words(self, *, but: Side | None = None) -> str:
        """The evidence in words, or that against a side; "" if there is none."""
        return ", ".join(f"{said} by its {who}" for who, said in self.evidence.items() if said != but)


def told_apart(mask: MaskVolume, ct: CtVolume | None = None, *, header: ShownSide | None = None) -> Femora:
    """Give each piece of a femur mask its side, in patient space, whatever way the arrays run.

    Two femora beside each other are told by their place. One alone is told by its shape, and by its distance from the
    middle of the body; if these contradict each other, or are silent and the header too, its side is unknown.

    Args:
        mask: of femur, one or two of them, each in one piece or in several.
        ct: in which it was found; without it, the body tells nothing.
        header: side that the CT's header names.
    """
    femur_zyx, grid = to_lps(mask.femur_zyx, mask.grid)
    parts = pieces_of(femur_zyx, grid)
    groups = _groups(parts, grid)
    if len(groups) == 2 and min(group.volume_ml for group in groups) >= TELLING_ML:
        order: tuple[Side, Side] = ("right", "left")
        sides: list[_Told] = [(side, ("place",)) for side in order]
        doubts = [
            f"IF-10 the {side} femur lies on the {side}, but is {words}"
            for group, side in zip(groups, order, strict=True)
            if (words := group.words(but=side))
        ]
    else:
        sides, doubts = _of_one(groups, parts, ct, header)
    return _labelled(mask.grid, parts, groups, sides, doubts)


def _groups(parts: MaskPieces, grid: VoxelGrid) -> list[_Group]:
    """The femora of a mask, from the patient's right to the left."""
    middle = middle_between(parts)
    if middle is None:
        return [_group(parts.pieces, parts, grid)] if parts.pieces else []
    right = tuple(piece for piece in parts.pieces if piece.centre_mm_xyz[0] <= middle)
    left = tuple(piece for piece in parts.pieces if piece.centre_mm_xyz[0] > middle)
    return [_group(right, parts, grid), _group(left, parts, grid)]


def _group(pieces: tuple[MaskPiece, ...], parts: MaskPieces, grid: VoxelGrid) -> _Group:
    own_zyx = np.isin(parts.numbers_zyx, [piece.number for piece in pieces if piece.volume_ml >= TELLING_ML])
    if _widest_mm(own_zyx, grid) > _WIDEST_MM:
        return _Group(pieces=pieces, evidence={}, grown_together=True)
    along = parts.box_zyx[0]
    ends = {"inferior": along.start == 0 and own_zyx[0].any()}
    ends["superior"] = along.stop == grid.shape_zyx[0] and own_zyx[-1].any()
    cut_off = [end for end, cut in ends.items() if cut]
    return _Group(pieces=pieces, evidence=sides_by_shape(pieces, parts, grid, cut_off=cut_off), grown_together=False)


def _widest_mm(bone_zyx: NDArray[np.bool_], grid: VoxelGrid) -> float:
    """From the rightmost to the leftmost voxel, in the slice where they are farthest apart."""
    shadow_zx = np.asarray(bone_zyx.any(axis=1))
    shadow_zx = shadow_zx[np.asarray(shadow_zx.any(axis=1))]
    spans = shadow_zx.shape[1] - shadow_zx.argmax(axis=1) - shadow_zx[:, ::-1].argmax(axis=1)
    return float(spans.max(initial=0)) * grid.spacing_mm_zyx[2]


def _of_one(
    groups: list[_Group], parts: MaskPieces, ct: CtVolume | None, header: ShownSide | None
) -> tuple[list[_Told], list[str]]:
    """The side of a femur that is alone, or has no more beside it than a small piece; and that piece's."""
    if not groups:
        return [], []
    main = max(groups, key=lambda group: group.volume_ml)
    if ct is not None and not main.grown_together and (body := side_of_body(parts, ct)):
        main.evidence["body"] = body
    side, told_by, doubts = agreed(main.evidence), tuple(main.evidence), []
    said: Side | None = None if header == "both" else header
    if main.grown_together:
        doubts.append(f"IF-10 the side is not told: wider than {_WIDEST_MM:.0f} mm, as two femora grown together")
    elif side and said and said != side:
        doubts.append(f"IF-10 the header says {said}, but the femur is {main.words()}")
    elif not side and main.evidence:
        doubts.append(f"IF-10 the side is not told: {main.words()}")
    elif not side and said:
        side, told_by = said, ("header",)
    elif not side:
        doubts.append("IF-10 the side is not told: no head, no condyles with enough shaft, no second leg")
    of_main: _Told = (side, told_by) if side else ("unknown", ())
    if len(groups) == 1:
        return [of_main], doubts
    lies: Side = "left" if main is groups[0] else "right"  # groups run from right to left
    of_other: _Told = (lies, ("other",)) if side and lies != side else ("unknown", ())
    if of_other[0] == "unknown" and side:
        doubts.append(f"IF-10 a piece lies {lies} of the {side} femur, where none is")
    return ([of_main, of_other] if main is groups[0] else [of_other, of_main]), doubts


def _labelled(
    grid: VoxelGrid, parts: MaskPieces, groups: list[_Group], sides: Sequence[_Told], doubts: list[str]
) -> Femora:
    label_of = np.zeros(len(parts.pieces) + 1, np.uint8)
    by_side: dict[FemurSide, Femur] = {}
    for group, (side, told_by) in zip(groups, sides, strict=True):
        label_of[[piece.number for piece in group.pieces]] = STRUCTURES[side].value
        earlier = by_side[side].pieces_ml if side in by_side else ()
        pieces_ml = sorted((*earlier, *(piece.volume_ml for piece in group.pieces)), reverse=True)
        by_side[side] = Femur(pieces_ml=tuple(pieces_ml), told_by=told_by)
    labels_zyx = np.zeros(grid.shape_zyx, np.uint8)
    to_lps(labels_zyx, grid)[0][parts.box_zyx] = label_of[parts.numbers_zyx]
    ordered = {side: by_side[side] for side in STRUCTURES if side in by_side}
    return Femora(labels=LabelVolume(labels_zyx=labels_zyx, grid=grid), by_side=ordered, doubts=tuple(doubts))
