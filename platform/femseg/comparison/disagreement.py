"""What kind of disagreement two masks of one case show, and whether an error of the annotation would explain it.

A mask that was stored mirrored or shifted overlaps the prediction better once it is put back; no network does that.
Of a piece that one of the two lacks, nobody can tell from the masks who is right.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.ndimage import distance_transform_edt

from femseg.cohorts.femur_side import box_of
from femseg.metrics.overlap import dice_coefficient

Kind = Literal[
    "mirrored", "shifted", "nothing annotated", "nothing predicted", "missing piece", "extra piece", "boundary"
]
Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]

_GAIN, _REMAINS = 0.1, 0.5  # of Dice; and at most so much of the disagreement is left
_SHIFT_AT_MOST_MM = 30.0
_NEAR_MM = 3.0  # of the other mask, or a voxel where that is more: what lies farther is a piece, not a boundary
_PIECE_ML, _PIECE_SHARE = 0.5, 0.2  # of all that disagrees
_MIRRORS = ("head and foot", "front and back", "left and right")
_TOWARDS = (("foot", "head"), ("front", "back"), ("right", "left"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """How a prediction and an annotation disagree.

    Attributes:
        case_id, model: whose annotation, and which input mode's prediction.
        dice: of the two as they are.
        dice_if: of the prediction with the annotation put back; None where that explains nothing.
        words: the same in a sentence's part, with its numbers.
    """

    case_id: str
    model: str
    dice: float
    kind: Kind
    words: str
    dice_if: float | None = None

    @property
    def is_label_error(self) -> bool:
        """Whether an error of the annotation would explain it."""
        return self.kind in ("mirrored", "shifted", "nothing annotated")

    def as_plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "label_error": self.is_label_error}


def disagreement(
    reference: Mask, predicted: Mask, spacing_mm_zyx: Spacing, *, case_id: str, model: str
) -> Disagreement:
    """The kind of disagreement of one case.

    Args:
        reference, predicted: annotated and predicted femur, shape (Z, Y, X); axes run inferior → superior, anterior →
            posterior, right → left.
    """
    dice = dice_coefficient(reference, predicted)

    def of(kind: Kind, words: str, dice_if: float | None = None) -> Disagreement:
        return Disagreement(case_id=case_id, model=model, dice=dice, kind=kind, words=words, dice_if=dice_if)

    voxel_ml = float(np.prod(spacing_mm_zyx)) / 1000
    if not reference.any() or not predicted.any():
        volume = f"{int(reference.sum() or predicted.sum()) * voxel_ml:.1f} ml"
        if predicted.any():
            return of("nothing annotated", f"the prediction shows {volume}")
        return of("nothing predicted", f"the annotation shows {volume}")
    mirrored = [dice_coefficient(np.flip(reference, axis), predicted) for axis in range(3)]
    box = box_of(reference | predicted)  # a scan may be many times as large
    reference, predicted = reference[box], predicted[box]
    shifted, steps = _best_shift(reference, predicted, spacing_mm_zyx)
    best = max(*mirrored, shifted)
    if best - dice >= _GAIN and 1 - best <= _REMAINS * (1 - dice):
        if best in mirrored:
            return of("mirrored", f"with {_MIRRORS[mirrored.index(best)]} changed, Dice would be {best:.3f}", best)
        moved = _moved(steps, spacing_mm_zyx)
        return of("shifted", f"moved {moved}, Dice would be {shifted:.3f}", shifted)
    return of(*_piece(reference, predicted, spacing_mm_zyx, voxel_ml))


def ranked(found: Iterable[Disagreement]) -> tuple[Disagreement, ...]:
    """What an error of the annotation would explain comes first; then the lower Dice."""
    return tuple(sorted(found, key=lambda one: (not one.is_label_error, one.dice, one.case_id)))


def _best_shift(reference: Mask, predicted: Mask, spacing_mm_zyx: Spacing) -> tuple[float, tuple[int, int, int]]:
    """The highest Dice of the prediction with the annotation moved by whole voxels, up to 30 mm; and that move.

    The overlap of all moves is one correlation; of moves that are as good the shortest is taken.
    """
    reach = [min(n - 1, int(_SHIFT_AT_MOST_MM / mm)) for n, mm in zip(reference.shape, spacing_mm_zyx, strict=True)]
    shape = [next_fast_len(n + steps, real=True) for n, steps in zip(reference.shape, reach, strict=True)]
    spectra = (rfftn(mask.astype(np.float64), shape) for mask in (predicted, reference))
    of_predicted, of_reference = spectra
    overlap = np.rint(irfftn(of_predicted * np.conj(of_reference), shape))  # counts of voxels
    moves = [np.arange(-steps, steps + 1) for steps in reach]
    counts = overlap[np.ix_(*moves)]
    z, y, x = np.meshgrid(*moves, indexing="ij")
    length_mm = np.sqrt(sum((axis * mm) ** 2 for axis, mm in zip((z, y, x), spacing_mm_zyx, strict=True)))
    allowed = length_mm <= _SHIFT_AT_MOST_MM
    most = counts[allowed].max()
    at = int(np.argmin(np.where(allowed & (counts == most), length_mm, np.inf)))
    dice = float(2 * most / (reference.sum() + predicted.sum()))
    return dice, (int(z.flat[at]), int(y.flat[at]), int(x.flat[at]))


def _moved(steps: tuple[int, int, int], spacing_mm_zyx: Spacing) -> str:
    """A move in words of the patient, the longest part first."""
    parts = [
        (abs(n) * mm, _TOWARDS[axis][n > 0]) for axis, (n, mm) in enumerate(zip(steps, spacing_mm_zyx, strict=True))
    ]
    return ", ".join(f"{mm:.1f} mm to the {where}" for mm, where in sorted(parts, reverse=True) if mm)


def _piece(reference: Mask, predicted: Mask, spacing_mm_zyx: Spacing, voxel_ml: float) -> tuple[Kind, str]:
    near_mm = max(_NEAR_MM, *spacing_mm_zyx)
    from_predicted, from_reference = (
        distance_transform_edt(~m, sampling=spacing_mm_zyx) for m in (predicted, reference)
    )
    missing, extra = reference & (from_predicted > near_mm), predicted & (from_reference > near_mm)
    wrong_ml = float(np.count_nonzero(reference ^ predicted)) * voxel_ml
    piece_ml = {"missing piece": float(missing.sum()) * voxel_ml, "extra piece": float(extra.sum()) * voxel_ml}
    farthest_mm = max(float(from_predicted[reference].max()), float(from_reference[predicted].max()))
    kind: Kind = "missing piece" if piece_ml["missing piece"] >= piece_ml["extra piece"] else "extra piece"
    if piece_ml[kind] >= max(_PIECE_ML, _PIECE_SHARE * wrong_ml):
        who = "annotated and not predicted" if kind == "missing piece" else "predicted and not annotated"
        return kind, f"{piece_ml[kind]:.1f} ml are {who}, up to {farthest_mm:.0f} mm away"
    return "boundary", f"{wrong_ml:.1f} ml along the surface, up to {farthest_mm:.0f} mm away"
