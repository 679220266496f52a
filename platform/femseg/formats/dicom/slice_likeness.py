"""Are the slices of a series alike? Orientation and pixel spacing, told in millimetres at a slice's far corner."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Fault
from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.dicom.stack import axes
from femseg.formats.plausible import REFUSED_OF_VOXEL, REMARKED_OF_VOXEL

_UNIT = 0.1  # by so much may a direction's length be off before it is no direction at all


def _far_corners_mm(header: SliceHeader, direction: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """From a slice's first pixel to its other corners, shape (3, 3).

    Args:
        direction: unit vectors along a row and along a column as its first two columns; else as the header says.
    """
    if direction is None:
        direction = np.array(header.orientation).reshape(2, 3).T
    return _corners_mm(direction, header.spacing_mm_yx or (0.0, 0.0), header.rows or 1, header.columns or 1)


def _corners_mm(
    direction: NDArray[np.float64], spacing_mm_yx: tuple[float, ...], rows: int, columns: int
) -> NDArray[np.float64]:
    row = direction[:, 0] * spacing_mm_yx[1] * (columns - 1)
    column = direction[:, 1] * spacing_mm_yx[0] * (rows - 1)
    return np.stack([row, column, row + column])


def _farthest_mm(corners: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """How far apart two slices with one first pixel place the same corner, at the worst."""
    return float(np.linalg.norm(corners - others, axis=1).max())


def skewed(header: SliceHeader) -> bool:
    """Whether perpendicular unit vectors would put a corner of the slice more than half a pixel elsewhere."""
    if header.orientation is None or header.spacing_mm_yx is None:
        return False  # named as a missing tag
    return _skewed(header.orientation, header.spacing_mm_yx, header.rows or 1, header.columns or 1)


@lru_cache(maxsize=64)  # the slices of a series say the same, as a rule, one after the other
def _skewed(orientation: tuple[float, ...], spacing_mm_yx: tuple[float, ...], rows: int, columns: int) -> bool:
    lengths = np.linalg.norm(np.array(orientation).reshape(2, 3), axis=1)
    if np.abs(lengths - 1.0).max() > _UNIT or abs(np.dot(orientation[:3], orientation[3:])) > _UNIT:
        return True
    said, straight = np.array(orientation).reshape(2, 3).T, axes(orientation)
    size = (spacing_mm_yx, rows, columns)
    return _farthest_mm(_corners_mm(said, *size), _corners_mm(straight, *size)) > REFUSED_OF_VOXEL * min(spacing_mm_yx)


def turned_mm(header: SliceHeader, usual: SliceHeader) -> float:
    """How far a slice's corner would move if it were oriented like another."""
    as_usual = np.array(usual.orientation).reshape(2, 3).T
    return _farthest_mm(_far_corners_mm(header), _far_corners_mm(header, as_usual))


def parallel(one: SliceHeader, other: SliceHeader) -> bool:
    """Whether two slices of one size are turned against each other by less than half a pixel at a corner."""
    return one.orientation == other.orientation or turned_mm(one, other) <= REFUSED_OF_VOXEL * _pixel_mm(one)


def _pixel_mm(header: SliceHeader) -> float:
    return min(header.spacing_mm_yx or (0.0,))


def unlike_the_first(slices: Sequence[SliceHeader]) -> tuple[list[Fault], list[str]]:
    """IN-08: PixelSpacing that changes along the stack. Changes, and turns, below half a pixel are remarked (IN-07)."""
    first = slices[0]
    straight = axes(first.orientation or ())
    usual = _far_corners_mm(first, straight)
    drifts = np.array(
        [
            0.0 if s.spacing_mm_yx == first.spacing_mm_yx else _farthest_mm(_far_corners_mm(s, straight), usual)
            for s in slices
        ]
    )
    turns = np.array([0.0 if s.orientation == first.orientation else turned_mm(s, first) for s in slices])
    refused, remarked = REFUSED_OF_VOXEL * _pixel_mm(first), REMARKED_OF_VOXEL * _pixel_mm(first)
    remarks = []
    if turns.max() > remarked:
        remarks.append(f"IN-07: slices are turned by up to {turns.max():.2f} mm at their far corner; read as parallel")
    wrong = np.flatnonzero(drifts > refused)
    if not wrong.size:
        if drifts.max() > remarked:
            remarks.append(
                f"IN-08: PixelSpacing differs by up to {drifts.max():.2f} mm over a slice; read as the first"
            )
        return [], remarks
    odd = slices[wrong[0]]
    problem = (
        f"PixelSpacing (0028,0030) is {odd.spacing_mm_yx} mm, before it {first.spacing_mm_yx} mm: "
        f"{drifts[wrong[0]]:.2f} mm apart at the far corner ({wrong.size} of {len(slices)} slices)"
    )
    fix = "keep slices of one spacing in a series"
    return [Fault(id="IN-08", file=str(odd.path), problem=problem, fix=fix)], remarks
