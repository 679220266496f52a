"""Do the slices lie evenly on one line? Gantry tilt and slices pushed sideways (IN-09), slices missing inside the stack
(IN-01), spacing that varies (IN-02); in millimetres.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Fault
from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.plausible import REFUSED_OF_VOXEL, REMARKED_OF_VOXEL
from femseg.formats.source import Mend

Floats = NDArray[np.float64]
UNTILTED_AT_MOST_DEGREES = 35.0  # gantries tilt up to 30; beyond that, positions and orientation contradict each other
_ON_THE_LINE_MM = 1e-9
BRIDGED_AT_MOST_MM = 5.0
GAPS_NAMED = 10
JITTER_MM = 0.0025  # a position rounded to 0.001 mm moves a step by up to twice that; not worth a word
_KEPT_STEPS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceLine:
    """What was found of the line on which the slices lie.

    Attributes:
        untilted: the slices lie on a tilted line, and the user chose to have that mended.
    """

    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()
    untilted: bool = False


def slice_line(ordered: Sequence[SliceHeader], offsets_mm: Floats, series: str, mends: Sequence[Mend]) -> SliceLine:
    """Compare the slices' line with the normal.

    Args:
        ordered: two slices or more, by their height.
        offsets_mm: from the first slice along rows, columns and normal, shape (n, 3), the last slice above the first.
        series: name for faults of the whole series.
        mends: "untilt" turns a tilt into a remark.
    """
    voxel_mm = min(*(ordered[0].spacing_mm_yx or (0.0,)), offsets_mm[-1, 2] / (len(ordered) - 1))
    slope, beside_mm = _line(offsets_mm, REFUSED_OF_VOXEL * voxel_mm)
    faults = []
    worst = int(np.argmax(beside_mm))
    if beside_mm[worst] > REFUSED_OF_VOXEL * voxel_mm:
        problem = (
            f"lies {beside_mm[worst]:.2f} mm beside the line of the other slices, at most "
            f"{REFUSED_OF_VOXEL * voxel_mm:.2f} mm are tolerated"
        )
        fix = "send the whole series again from the scanner or the archive"
        faults.append(Fault("IN-09", ordered[worst].path, problem, fix))
    length_mm = float(offsets_mm[-1, 2])
    shift_mm = float(np.linalg.norm(slope)) * length_mm
    degrees = math.degrees(math.atan2(shift_mm, length_mm))
    angle = f"{degrees:.1f}°" if degrees >= 1.0 else f"{degrees:.2f}°"
    if shift_mm <= REFUSED_OF_VOXEL * voxel_mm:
        sideways_mm = float(np.linalg.norm(offsets_mm[:, :2], axis=1).max())
        if faults or sideways_mm <= REMARKED_OF_VOXEL * voxel_mm:
            return SliceLine(faults=tuple(faults))
        remark = f"IN-09: slices lie up to {sideways_mm:.2f} mm sideways over {length_mm:.1f} mm; read as upright"
        return SliceLine(remarks=(remark,))
    if "untilt" in mends and degrees <= UNTILTED_AT_MOST_DEGREES:
        remark = f"IN-09: untilted by {angle}, slices shifted by up to {shift_mm:.1f} mm"
        return SliceLine(faults=tuple(faults), remarks=(remark,), untilted=True)
    problem = (
        f"gantry tilt of {angle}: the slices shift {shift_mm:.1f} mm sideways over {length_mm:.1f} mm "
        f"(up to {REFUSED_OF_VOXEL * voxel_mm:.2f} mm is read as upright)"
    )
    fix = "resample it to an upright stack by --untilt (cohort.untilt), or scan without tilt"
    if degrees > UNTILTED_AT_MOST_DEGREES:
        fix = f"export the series with its true orientation; tilt beyond {UNTILTED_AT_MOST_DEGREES:g}° is not mended"
    return SliceLine(faults=(Fault("IN-09", series, problem, fix), *faults))


def _line(offsets_mm: Floats, tolerated_mm: float) -> tuple[Floats, Floats]:
    """Sideways mm per mm of height, shape (2,), and each slice's distance from that line.

    The line runs through the two end slices, unless one of them is itself the one beside it.
    """
    last = len(offsets_mm) - 1
    found: list[tuple[int, int, Floats, Floats]] = []
    for low, high in ((0, last), (0, last - 1), (1, last)):
        start, span = offsets_mm[low], offsets_mm[high] - offsets_mm[low]
        if span[2] <= _ON_THE_LINE_MM:
            continue
        slope = span[:2] / span[2]
        beside = offsets_mm[:, :2] - start[:2] - np.outer(offsets_mm[:, 2] - start[2], slope)
        distance = np.linalg.norm(beside, axis=1)
        found.append((int(np.count_nonzero(distance > tolerated_mm)), len(found), slope, distance))
    _, _, slope, distance = min(found, key=lambda line: line[:2])
    return slope, distance


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSpacing:
    """What was found of the steps between slices.

    Attributes:
        bridged: slices known to be missing inside the stack, which the mend interpolates.
        regularised: the spacing is uneven, and the user chose to have that mended.
    """

    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()
    bridged: int = 0
    regularised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    """Where slices are missing: the words for it, and how many."""

    words: str
    missing: int


def even_step_mm(heights_mm: Floats) -> float:
    """The step of a regularised stack: as near to the lower quartile of its steps as lets both end slices stay.

    Not the smallest step, which one misplaced slice decides; not the median, which thins out what a third of the stack
    may show finely.
    """
    wanted = float(np.quantile(np.diff(heights_mm), _KEPT_STEPS, method="lower"))
    length = float(heights_mm[-1] - heights_mm[0])
    return length / max(1, round(length / wanted))


def slice_spacing(
    slices: Sequence[SliceHeader], heights_mm: Floats, series: str, mends: Sequence[Mend]
) -> SliceSpacing:
    """Compare the steps between slices with each other.

    Args:
        slices: two or more at different heights, in ascending order.
        heights_mm: along the normal.
        series: name for faults.
        mends: "regularise" turns uneven steps and missing slices into remarks, up to 5 mm between neighbours.
    """
    steps = np.diff(heights_mm)
    expected = float(np.sort(steps)[(len(steps) - 1) // 2])  # the lower median: a gap is longer, never shorter
    tolerance = max(0.01, 0.01 * expected)
    odd = np.flatnonzero(np.abs(steps - expected) > tolerance)
    gaps = _gaps(slices, steps, odd, expected)
    even = heights_mm[0] + np.arange(len(heights_mm)) * (heights_mm[-1] - heights_mm[0]) / len(steps)
    drifts = float(np.abs(heights_mm - even).max()) > REFUSED_OF_VOXEL * expected
    found = f"{steps.min():.4g} to {steps.max():.4g} mm"
    worst = int(np.argmax(np.abs(steps - expected)))
    if not len(odd) and not drifts:
        if abs(steps[worst] - expected) <= JITTER_MM:
            return SliceSpacing()
        return SliceSpacing(remarks=(f"IN-02: slices are {found} apart; read as an even {np.mean(steps):.4g} mm",))
    longest = int(np.argmax(steps))
    bridgeable = steps[longest] <= max(BRIDGED_AT_MOST_MM, expected) + tolerance
    if "regularise" in mends and bridgeable:
        return _regularised(heights_mm, gaps, found)
    fix = _fix(slices, steps, longest, chosen="regularise" in mends, bridgeable=bridgeable)
    if gaps:
        more = f" (and {len(gaps) - GAPS_NAMED} more gaps)" if len(gaps) > GAPS_NAMED else ""
        problems = [
            f"{gap.words}, expected {expected:.2f}: {gap.missing} slice(s) missing{more}" for gap in gaps[:GAPS_NAMED]
        ]
        fix = f"send the whole series again from the scanner or the archive, or {fix}"
        return SliceSpacing(faults=tuple(Fault("IN-01", series, p, fix) for p in problems))
    problem = (
        f"slices are {found} apart, tolerated {tolerance:.3g} mm round {expected:.4g}; the largest difference lies "
        f"between {slices[worst].path.name} and {slices[worst + 1].path.name}"
    )
    fix = f"reconstruct the series with even slice spacing, or {fix}"
    return SliceSpacing(faults=(Fault("IN-02", series, problem, fix),))


def _gaps(slices: Sequence[SliceHeader], steps: Floats, odd: NDArray[np.intp], expected: float) -> list[_Gap]:
    """Missing slices: a few steps are whole multiples of all the others; none where spacing is uneven otherwise."""
    ratios = steps[odd] / expected
    whole = (np.round(ratios) >= 2) & (np.abs(ratios - np.round(ratios)) < 0.05)
    if not whole.all() or len(odd) > max(1, len(steps) // 4):
        return []
    return [
        _Gap(
            words=f"{steps[k]:.2f} mm between {slices[k].path.name} and {slices[k + 1].path.name}",
            missing=round(steps[k] / expected) - 1,
        )
        for k in odd
    ]


def _regularised(heights_mm: Floats, gaps: Sequence[_Gap], found: str) -> SliceSpacing:
    step = even_step_mm(heights_mm)
    count = round(float(heights_mm[-1] - heights_mm[0]) / step) + 1
    remarks = [f"IN-01: {gap.missing} slice(s) missing, interpolated over {gap.words}" for gap in gaps[:GAPS_NAMED]]
    if len(gaps) > GAPS_NAMED:
        remarks.append(f"IN-01: {len(gaps) - GAPS_NAMED} more gaps interpolated")
    remarks.append(f"IN-02: regularised: {len(heights_mm)} slices {found} apart made {count} at an even {step:.4g} mm")
    return SliceSpacing(remarks=tuple(remarks), bridged=sum(gap.missing for gap in gaps), regularised=True)


def _fix(slices: Sequence[SliceHeader], steps: Floats, longest: int, *, chosen: bool, bridgeable: bool) -> str:
    if bridgeable and not chosen:
        return "resample it by --regularise (cohort.regularise)"
    between = f"{slices[longest].path.name} and {slices[longest + 1].path.name}"
    return (
        f"leave the study out: {steps[longest]:.2f} mm between {between} are too far to interpolate "
        f"(--regularise bridges up to {BRIDGED_AT_MOST_MM:g} mm)"
    )
