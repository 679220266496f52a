"""Do the slices lie one above the other? Gantry tilt and slices pushed sideways (IN-09), in millimetres."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Fault
from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.plausible import REFUSED_OF_VOXEL, REMARKED_OF_VOXEL
from femseg.formats.source import Mend

UNTILTED_AT_MOST_DEGREES = 35.0  # gantries tilt up to 30; beyond that, positions and orientation contradict each other
_ON_THE_LINE_MM = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceLine:
    """What was found of the line on which the slices lie.

    Attributes:
        untilted: the slices lie on a tilted line, and the user chose to have that mended.
    """

    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()
    untilted: bool = False


def slice_line(
    ordered: Sequence[SliceHeader], offsets_mm: NDArray[np.float64], series: str, mends: Sequence[Mend]
) -> SliceLine:
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
        faults.append(Fault(id="IN-09", file=str(ordered[worst].path), problem=problem, fix=fix))
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
    return SliceLine(faults=(Fault(id="IN-09", file=series, problem=problem, fix=fix), *faults))


def _line(offsets_mm: NDArray[np.float64], tolerated_mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sideways mm per mm of height, shape (2,), and each slice's distance from that line.

    The line runs through the two end slices, unless one of them is itself the one beside it.
    """
    last = len(offsets_mm) - 1
    found: list[tuple[int, int, NDArray[np.float64], NDArray[np.float64]]] = []
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
