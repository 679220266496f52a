"""The sheet of a femur: every value with what it was taken from, or with the reason why it could not be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from femseg.measurements.bone import Bone
from femseg.measurements.definitions import DEFINITIONS
from femseg.measurements.femur import Femur, NotSeen, Side
from femseg.measurements.lines import Array, square_to
from femseg.measurements.values import MEASURES, ends_of
from femseg.volumes.grid import CtVolume, MaskVolume, Triple


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of a sheet.

    Attributes:
        key: of its definition.
        value: in the definition's unit; None where it could not be measured.
        off_by: how far it may be from the truth on a correct mask, 95 times in 100; None without a value.
        refused: why there is none.
        lines: what it was taken from, by name: points of patient space (LPS, mm), in order.
    """

    key: str
    value: float | None
    off_by: float | None = None
    refused: str = ""
    lines: tuple[tuple[str, tuple[Triple, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """From where the bone is drawn: unit vectors of patient space, and where the bone's middle lies."""

    middle: Triple
    up: Triple
    medial: Triple
    anterior: Triple


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All that was measured on one femur.

    Attributes:
        side: as stated, else as the shape tells; None where neither does.
        ends: which ends of the bone are seen whole: "hip", "knee".
        values: one of every definition, in their order.
        directions: from where to draw it; None where neither hip nor knee is seen.
        remarks: what a reader should know first.
    """

    side: Side | None
    ends: tuple[str, ...]
    volume_ml: float
    values: tuple[Value, ...]
    directions: Directions | None = None
    remarks: tuple[str, ...] = ()

    def value(self, key: str) -> float | None:
        """One value by its definition's key."""
        return next(value.value for value in self.values if value.key == key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far the left femur is from the right one in one value; None where either is not known."""

    key: str
    left: float | None
    right: float | None

    @property
    def left_less_right(self) -> float | None:
        """The difference, in the definition's unit."""
        return None if self.left is None or self.right is None else self.left - self.right


def measured(
    mask: MaskVolume, *, side: Side | None = None, ct: CtVolume | None = None, sawn_off: Array | None = None
) -> Sheet:
    """Measure one femur.

    Args:
        mask: of one femur, in one piece.
        side: which femur it is, where somebody said.
        ct: for canal and cortex; its grid may be another than the mask's.
        sawn_off: points, shape (n, 3), where it is known to end before the bone does.
    Raises: ValueError if the mask is empty.
    """
    femur = Femur(Bone.of_mask(mask, sawn_off), side, ct)
    try:
        of_shape: Side | None = femur.side
    except NotSeen:
        of_shape = None
    remarks = []
    if side is not None and of_shape not in (None, side):
        remarks.append(f"side in doubt: stated {side}, by its shape a {of_shape} femur")
    if sawn_off is not None and len(femur.bone.cut_off):
        remarks.append("ends flat: taken for the end of the scan, or for a cut")
    return Sheet(
        side=side or of_shape,
        ends=ends_of(femur),
        volume_ml=float(np.count_nonzero(mask.femur_zyx)) * mask.grid.voxel_volume_mm3 / 1000.0,
        values=tuple(_value(femur, key) for key in DEFINITIONS),
        directions=_directions(femur),
        remarks=tuple(remarks),
    )


def differences(sheets: Sequence[Sheet]) -> tuple[Difference, ...]:
    """Left and right side by side; empty unless the sheets are one of either side."""
    by_side = {sheet.side: sheet for sheet in sheets}
    if len(sheets) != 2 or set(by_side) != {"left", "right"}:
        return ()
    return tuple(
        Difference(key=key, left=by_side["left"].value(key), right=by_side["right"].value(key)) for key in DEFINITIONS
    )


def _value(femur: Femur, key: str) -> Value:
    try:
        value, lines = MEASURES[key](femur)
    except NotSeen as reason:
        return Value(key=key, value=None, refused=str(reason))
    coarser = max(1.0, femur.bone.coarsest_mm)
    return Value(
        key=key,
        value=value,
        off_by=coarser * DEFINITIONS[key].off_at_1mm,
        lines=tuple((name, tuple(_triple(point) for point in np.atleast_2d(line))) for name, line in lines.items()),
    )


def _directions(femur: Femur) -> Directions | None:
    """Of the coronal plane, else as the hip, else as the knee alone tells."""
    for tell in (_of_plane, _of_hip, _of_knee):
        try:
            up, medial, anterior = tell(femur)
        except NotSeen:
            continue
        middle = femur.axis.nearest(0.5 * (femur.bone.surface.max(axis=0) + femur.bone.surface.min(axis=0)))
        return Directions(middle=_triple(middle), up=_triple(up), medial=_triple(medial), anterior=_triple(anterior))
    return None


def _of_plane(femur: Femur) -> tuple[Array, Array, Array]:
    return femur.coronal.up, femur.coronal.medial, femur.coronal.anterior


def _of_hip(femur: Femur) -> tuple[Array, Array, Array]:
    up, anterior = femur.axis.direction, -femur.lesser.posterior
    medial = square_to(femur.axis.from_it(femur.head.centre[None])[0], up)
    return up, medial, square_to(square_to(anterior, up), medial)


def _of_knee(femur: Femur) -> tuple[Array, Array, Array]:
    return femur.knee.shaft.direction, femur.knee.across, -femur.knee.posterior


def _triple(point: Array) -> Triple:
    x, y, z = (round(float(p), 4) for p in point)
    return (x, y, z)
