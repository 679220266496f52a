"""The size and form of what a mask calls a femur, whichever way the bone lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.inference.femora import STRUCTURES, Femora, FemurSide
from femseg.volumes.grid import to_lps

End = Literal["inferior", "superior", "anterior", "posterior", "right", "left"]

_CUT_OFF_MM = 10.0  # a mask that comes as near to the end of a scan is cut off there
_STEP_MM = 2.0
_BIN_MM = 5.0
_ENDS: tuple[tuple[End, End], ...] = (("inferior", "superior"), ("anterior", "posterior"), ("right", "left"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FemurShape:
    """What a mask shows of one femur.

    Attributes:
        volume_ml: of all of its pieces.
        stray_ml: of all but the largest piece.
        length_mm: of the largest piece along its longest axis.
        mean_mm2, widest_mm2: areas of its cross-sections across that axis.
        cut_off: the ends of the scan that it comes within 10 mm of.
    """

    volume_ml: float
    stray_ml: float
    length_mm: float
    mean_mm2: float
    widest_mm2: float
    cut_off: tuple[End, ...]


def shapes_of(femora: Femora) -> Mapping[FemurSide, FemurShape]:
    """The shape of each femur of a mask."""
    labels_zyx, grid = to_lps(femora.labels.labels_zyx, femora.labels.grid)
    steps = [max(1, round(_STEP_MM / spacing)) for spacing in grid.spacing_mm_zyx]
    thin_zyx = labels_zyx[tuple(slice(None, None, step) for step in steps)]
    mm_zyx = np.array(grid.spacing_mm_zyx) * steps
    return {
        side: _shape(thin_zyx == STRUCTURES[side].value, mm_zyx, femur.pieces_ml)
        for side, femur in femora.by_side.items()
    }


def _shape(femur_zyx: NDArray[np.bool_], mm_zyx: NDArray[np.float64], pieces_ml: tuple[float, ...]) -> FemurShape:
    numbers, _ = ndimage.label(femur_zyx, structure=np.ones((3, 3, 3)))
    counts = np.bincount(numbers.ravel())[1:]
    places_mm = (np.argwhere(numbers == np.argmax(counts) + 1) if counts.size else np.zeros((1, 3))) * mm_zyx
    centred = places_mm - places_mm.mean(axis=0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    along = centred @ axis
    length_mm = float(np.ptp(along) + np.abs(axis) @ mm_zyx)
    areas_mm2 = np.bincount(((along - along.min()) // _BIN_MM).astype(int)) * float(np.prod(mm_zyx)) / _BIN_MM
    gaps_mm = places_mm.min(axis=0), np.array(femur_zyx.shape) * mm_zyx - places_mm.max(axis=0) - mm_zyx
    return FemurShape(
        volume_ml=sum(pieces_ml),
        stray_ml=sum(pieces_ml[1:]),
        length_mm=length_mm,
        mean_mm2=1000.0 * pieces_ml[0] / length_mm,
        widest_mm2=float(areas_mm2.max()),
        cut_off=tuple(
            end
            for ends, gaps in zip(_ENDS, zip(*gaps_mm, strict=True), strict=True)
            for end, gap in zip(ends, gaps, strict=True)
            if gap < _CUT_OFF_MM
        ),
    )
