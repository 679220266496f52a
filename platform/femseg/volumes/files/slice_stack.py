"""Do these slices make one regular stack? Order, gaps, doubles, tilt; pure geometry over their headers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Fault
from femseg.volumes.files.dicom_headers import SliceHeader, pixel_digest
from femseg.volumes.grid import VoxelGrid

SAME_POSITION_MM = 0.01
JITTER_MM = 0.0025  # a position rounded to 0.001 mm moves a step by up to twice that; not worth a word
TILT_DEGREES = 0.5
GAPS_NAMED = 10

_RESEND = "send the whole series again from the scanner or the archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceStack:
    """Slices in the order of their positions along the slice normal, with everything found wrong or mended.

    Attributes:
        faults: empty if and only if the stack is regular.
    """

    slices: tuple[SliceHeader, ...]
    faults: tuple[Fault, ...]
    remarks: tuple[str, ...]


def axes(orientation: Sequence[float]) -> NDArray[np.float64]:
    """3 × 3 matrix whose columns are the unit vectors along a row, along a column, and along the slice normal."""
    row = np.array(orientation[:3])
    row = row / np.linalg.norm(row)
    normal = np.cross(row, orientation[3:])
    normal = normal / np.linalg.norm(normal)
    return np.stack([row, np.cross(normal, row), normal], axis=1)


def median_step_mm(slices: Sequence[SliceHeader]) -> str:
    """How far apart slices of any kind lie, in words, for a table; "?" where they do not say."""
    placed = [s for s in slices if s.position_mm_xyz and s.orientation == slices[0].orientation]
    if len(placed) < 2 or placed[0].orientation is None:
        return "? mm"
    normal = axes(placed[0].orientation)[:, 2]
    heights = np.unique([float(np.dot(s.position_mm_xyz or (), normal)) for s in placed])
    return f"{np.median(np.diff(heights)):.3g} mm" if len(heights) > 1 else "0 mm"


def stack_grid(slices: Sequence[SliceHeader]) -> VoxelGrid:
    """Grid of a regular, ordered stack. The slice spacing is the mean step along the normal."""
    first, last = slices[0], slices[-1]
    if not (first.orientation and first.position_mm_xyz and last.position_mm_xyz and first.spacing_mm_yx):
        raise ValueError("stack_grid: expected slices with position, orientation and pixel spacing")
    direction = axes(first.orientation)
    travelled = np.array(last.position_mm_xyz) - np.array(first.position_mm_xyz)
    step_mm = float(travelled @ direction[:, 2]) / (len(slices) - 1)
    return VoxelGrid(
        shape_zyx=(len(slices), first.rows or 0, first.columns or 0),
        spacing_mm_zyx=(step_mm, first.spacing_mm_yx[0], first.spacing_mm_yx[1]),
        origin_mm_xyz=first.position_mm_xyz,  # type: ignore[arg-type]  # three values, checked when read
        direction_xyz=tuple(direction.ravel().tolist()),
    )


def stacked(slices: Sequence[SliceHeader], series: str) -> SliceStack:
    """Order slices that share orientation and size, drop exact doubles, and find what makes the stack irregular.

    Args:
        slices: headers that all have position, orientation, size and pixel spacing.
        series: name for faults that concern the series as a whole.
    """
    normal = axes(slices[0].orientation or ())[:, 2]
    ordered = sorted(slices, key=lambda s: (float(np.dot(s.position_mm_xyz or (), normal)), str(s.path)))
    if len({s.path for s in ordered}) == 1:
        return SliceStack(slices=tuple(ordered), faults=(_single_slice(ordered[0]),), remarks=())
    positions = np.array([s.position_mm_xyz for s in ordered])  # (n, 3)
    if np.ptp(positions @ normal) < SAME_POSITION_MM and np.ptp(positions, axis=0).max() < SAME_POSITION_MM:
        return SliceStack(slices=tuple(ordered), faults=(_one_position(ordered, series),), remarks=())
    tilt = _tilt_faults(ordered, positions, normal, series)
    unique, doubles, remarks = _without_doubles(ordered, normal)
    if len(unique) == 1 and not doubles:
        doubles = [_single_slice(unique[0])]
    if tilt or len(unique) == 1:
        return SliceStack(slices=tuple(unique), faults=(*tilt, *doubles), remarks=tuple(remarks))
    gaps, uneven = _gaps(unique, normal, series)
    return SliceStack(slices=tuple(unique), faults=(*doubles, *gaps), remarks=(*remarks, *uneven))


def _single_slice(header: SliceHeader) -> Fault:
    return Fault(id="IN-13", file=str(header.path), problem="is a series of a single slice, no volume", fix=_RESEND)


def _one_position(ordered: Sequence[SliceHeader], series: str) -> Fault:
    return Fault(
        id="IN-13",
        file=series,
        problem=f"all {len(ordered)} slices have ImagePositionPatient {_mm(ordered[0].position_mm_xyz)}, "
        f"{ordered[0].path.name} first",
        fix="export the series with its true slice positions",
    )


def _tilt_faults(
    ordered: Sequence[SliceHeader], positions: NDArray[np.float64], normal: NDArray[np.float64], series: str
) -> list[Fault]:
    """IN-09: the slices are stacked along a direction that is not their normal, or one is shifted sideways."""
    travelled = positions - positions[0]  # (n, 3)
    along = travelled @ normal
    sideways = travelled - np.outer(along, normal)
    shift_mm = float(np.linalg.norm(sideways[-1]))
    degrees = math.degrees(math.atan2(shift_mm, along[-1]))
    if degrees > TILT_DEGREES:
        problem = (
            f"gantry tilt of {degrees:.1f}°: the slices shift {shift_mm:.1f} mm sideways over {along[-1]:.1f} mm "
            f"(up to {TILT_DEGREES}° is read as upright)"
        )
        fix = "resample the series to an untilted stack, or scan without tilt"
        return [Fault(id="IN-09", file=series, problem=problem, fix=fix)]
    off_line = np.linalg.norm(sideways - np.outer(along / max(along[-1], SAME_POSITION_MM), sideways[-1]), axis=1)
    worst = int(np.argmax(off_line))
    if off_line[worst] > min(ordered[0].spacing_mm_yx or (0.0,)) / 2:
        problem = f"lies {off_line[worst]:.2f} mm beside the line of the other slices, more than half a pixel"
        return [Fault(id="IN-09", file=str(ordered[worst].path), problem=problem, fix=_RESEND)]
    return []


def _without_doubles(
    ordered: Sequence[SliceHeader], normal: NDArray[np.float64]
) -> tuple[list[SliceHeader], list[Fault], list[str]]:
    """IN-04: of slices at one position, identical ones are dropped and recorded, different ones refused."""
    unique: list[SliceHeader] = [ordered[0]]
    faults: list[Fault] = []
    remarks: list[str] = []
    for header in ordered[1:]:
        before = unique[-1]
        offset = np.array(header.position_mm_xyz) - np.array(before.position_mm_xyz)
        if abs(float(offset @ normal)) >= SAME_POSITION_MM:
            unique.append(header)
        elif np.linalg.norm(offset) < SAME_POSITION_MM and pixel_digest(header) == pixel_digest(before):
            remarks.append(f"IN-04: {header.path.name} repeats {before.path.name} and was left out")
        else:
            faults.append(
                Fault(
                    id="IN-04",
                    file=str(header.path),
                    problem=f"lies at {_mm(header.position_mm_xyz)} like {before.path.name}, with other pixels",
                    fix="keep one of the two, or split the phases or reconstructions into folders",
                )
            )
    return unique, faults, remarks


def _gaps(slices: Sequence[SliceHeader], normal: NDArray[np.float64], series: str) -> tuple[list[Fault], list[str]]:
    """IN-01 where a few steps are whole multiples of the others, IN-02 where the spacing is uneven otherwise."""
    heights = np.array([s.position_mm_xyz for s in slices]) @ normal
    steps = np.diff(heights)
    expected = float(np.sort(steps)[(len(steps) - 1) // 2])  # the lower median: a gap is longer, never shorter
    tolerance = max(0.01, 0.01 * expected)
    odd = np.flatnonzero(np.abs(steps - expected) > tolerance)
    ratios = steps[odd] / expected
    whole = (np.round(ratios) >= 2) & (np.abs(ratios - np.round(ratios)) < 0.05)
    if len(odd) and whole.all() and len(odd) <= max(1, len(steps) // 4):
        more = f" (and {len(odd) - GAPS_NAMED} more gaps)" if len(odd) > GAPS_NAMED else ""
        return [
            Fault(
                id="IN-01",
                file=series,
                problem=f"{steps[k]:.2f} mm between {slices[k].path.name} and {slices[k + 1].path.name}, expected "
                f"{expected:.2f}: {round(steps[k] / expected) - 1} slice(s) missing{more}",
                fix=_RESEND,
            )
            for k in odd[:GAPS_NAMED]
        ], []
    even = heights[0] + np.arange(len(heights)) * (heights[-1] - heights[0]) / (len(heights) - 1)
    drift = float(np.abs(heights - even).max())
    worst = int(np.argmax(np.abs(steps - expected)))
    found = f"{steps.min():.4g} to {steps.max():.4g} mm"
    if len(odd) or drift > expected / 2:
        return [
            Fault(
                id="IN-02",
                file=series,
                problem=f"slices are {found} apart, tolerated {tolerance:.3g} mm round {expected:.4g}; the largest "
                f"difference lies between {slices[worst].path.name} and {slices[worst + 1].path.name}",
                fix="reconstruct the series with even slice spacing, or resample it",
            )
        ], []
    if abs(steps[worst] - expected) > JITTER_MM:
        return [], [
            f"IN-02: slices are {found} apart; read as an even {(heights[-1] - heights[0]) / len(steps):.4g} mm"
        ]
    return [], []


def _mm(position_mm_xyz: Sequence[float] | None) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in position_mm_xyz or ()) + ") mm"
