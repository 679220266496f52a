"""Do these slices make one regular stack? Order, doubles, slices unlike the first; pure geometry over headers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from femseg.errors import Fault
from femseg.formats.dicom.headers import SliceHeader, pixel_digest
from femseg.formats.dicom.tilt_and_spacing import Floats, slice_line, slice_spacing
from femseg.formats.plausible import REFUSED_OF_VOXEL, REMARKED_OF_VOXEL
from femseg.formats.source import Mend
from femseg.volumes.grid import VoxelGrid

SAME_POSITION_MM = 0.01
DOUBLES_NAMED = 10
_UNIT = 0.1  # by so much may a direction's length be off before it is no direction at all

_RESEND = "send the whole series again from the scanner or the archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceStack:
    """Slices in the order of their positions along the slice normal, with everything found wrong or mended.

    Attributes:
        faults: empty if and only if the stack is regular, or becomes so by its mends.
        mends: what has to be done to its voxels for that.
        bridged: slices missing inside the stack that a mend interpolates.
    """

    slices: tuple[SliceHeader, ...]
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()
    mends: tuple[Mend, ...] = ()
    bridged: int = 0


def axes(orientation: Sequence[float]) -> Floats:
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


def offsets_mm(slices: Sequence[SliceHeader]) -> Floats:
    """Where each slice lies from the first: along its rows, along its columns, along the normal; shape (n, 3)."""
    positions = np.array([header.position_mm_xyz for header in slices], np.float64)
    return np.asarray((positions - positions[0]) @ axes(slices[0].orientation or ()))


def stacked(slices: Sequence[SliceHeader], series: str, mends: Sequence[Mend] = ()) -> SliceStack:
    """Order slices that share orientation and size, drop exact doubles, and find what makes the stack irregular.

    Args:
        slices: headers that all have position, orientation, size and pixel spacing.
        series: name for faults that concern the series as a whole.
        mends: what may be mended; without it, it is a fault.
    """
    normal = axes(slices[0].orientation or ())[:, 2]
    ordered = sorted(slices, key=lambda s: (float(np.dot(s.position_mm_xyz or (), normal)), str(s.path)))
    if len({s.path for s in ordered}) == 1:
        fault = Fault("IN-13", ordered[0].path, "is a series of a single slice, no volume", _RESEND)
        return SliceStack(slices=tuple(ordered), faults=(fault,))
    apart_mm = np.ptp(offsets_mm(ordered), axis=0)  # along rows, along columns, along the normal
    if apart_mm[2] < SAME_POSITION_MM:
        one_place = apart_mm.max() < SAME_POSITION_MM
        fault = _one_position(ordered, series) if one_place else _side_by_side(apart_mm, series)
        return SliceStack(slices=tuple(ordered), faults=(fault,))
    unique, doubles, copies = _without_doubles(ordered, normal)
    offsets = offsets_mm(unique)
    line = slice_line(unique, offsets, series, mends)
    spacing = slice_spacing(unique, offsets[:, 2], series, mends)
    needed: list[tuple[Mend, bool]] = [("untilt", line.untilted), ("regularise", spacing.regularised)]
    return SliceStack(
        slices=tuple(unique),
        faults=(*doubles, *line.faults, *spacing.faults),
        remarks=(*copies, *line.remarks, *spacing.remarks),
        mends=tuple(mend for mend, chosen in needed if chosen),
        bridged=spacing.bridged,
    )


def _one_position(ordered: Sequence[SliceHeader], series: str) -> Fault:
    place = f"{_mm(ordered[0].position_mm_xyz)}, {ordered[0].path.name} first"
    problem = f"all {len(ordered)} slices have ImagePositionPatient {place}"
    return Fault("IN-13", series, problem, "export the series with its true slice positions")


def _side_by_side(apart_mm: Floats, series: str) -> Fault:
    problem = f"all slices lie at one height along their normal, yet up to {apart_mm[:2].max():.1f} mm apart sideways"
    return Fault("IN-09", series, problem, "export the series with its true positions and orientation")


def _without_doubles(
    ordered: Sequence[SliceHeader], normal: Floats
) -> tuple[list[SliceHeader], list[Fault], list[str]]:
    """IN-04: of slices at one position, identical ones are dropped and recorded, different ones refused."""
    unique: list[SliceHeader] = [ordered[0]]
    different: list[tuple[SliceHeader, SliceHeader]] = []
    remarks: list[str] = []
    for header in ordered[1:]:
        before = unique[-1]
        offset = np.array(header.position_mm_xyz) - np.array(before.position_mm_xyz)
        if abs(float(offset @ normal)) >= SAME_POSITION_MM:
            unique.append(header)
        elif np.linalg.norm(offset) < SAME_POSITION_MM and pixel_digest(header) == pixel_digest(before):
            remarks.append(f"IN-04: {header.path.name} repeats {before.path.name} and was left out")
        else:
            different.append((header, before))
    more = f" (and {len(different) - DOUBLES_NAMED} more such pairs)" if len(different) > DOUBLES_NAMED else ""
    fix = "keep one of the two, or split the phases or reconstructions into folders"
    faults = []
    for header, before in different[:DOUBLES_NAMED]:
        problem = f"lies at {_mm(header.position_mm_xyz)} like {before.path.name}, with other pixels{more}"
        faults.append(Fault("IN-04", header.path, problem, fix))
    return unique, faults, remarks


def _mm(position_mm_xyz: Sequence[float] | None) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in position_mm_xyz or ()) + ") mm"


def _far_corners_mm(header: SliceHeader, direction: Floats | None = None) -> Floats:
    """From a slice's first pixel to its other corners, shape (3, 3).

    Args:
        direction: unit vectors along a row and along a column as its first two columns; else as the header says.
    """
    if direction is None:
        direction = np.array(header.orientation).reshape(2, 3).T
    return _corners_mm(direction, header.spacing_mm_yx or (0.0, 0.0), header.rows or 1, header.columns or 1)


def _corners_mm(direction: Floats, spacing_mm_yx: tuple[float, ...], rows: int, columns: int) -> Floats:
    row = direction[:, 0] * spacing_mm_yx[1] * (columns - 1)
    column = direction[:, 1] * spacing_mm_yx[0] * (rows - 1)
    return np.stack([row, column, row + column])


def _farthest_mm(corners: Floats, others: Floats) -> float:
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
    return [Fault("IN-08", odd.path, problem, "keep slices of one spacing in a series")], remarks
