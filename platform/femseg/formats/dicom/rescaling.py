"""Does a slice with a rescaling of its own still go on where its neighbours end? (IN-10)"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from femseg.errors import Fault
from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.itk import itk_reading

BREAK_HU = 100.0
FAULTS_NAMED = 10
_EVERY_PIXEL = 4
_TISSUE_HU = -500.0

Rescaling = tuple[float | None, float | None]
HounsfieldOf = Callable[[SliceHeader], NDArray[np.float32]]


def read_slice_hu(header: SliceHeader) -> NDArray[np.float32]:
    """Hounsfield units of a slice with a file of its own, shape (rows, columns)."""
    with itk_reading(str(header.path)):
        image = sitk.ReadImage(str(header.path), sitk.sitkFloat32)
    return np.asarray(sitk.GetArrayFromImage(image).squeeze())


def rescaling_findings(
    slices: Sequence[SliceHeader], hu_of: HounsfieldOf = read_slice_hu
) -> tuple[list[Fault], list[str]]:
    """IN-10: rescalings that differ along a CT are applied slice by slice, if Hounsfield units go on across them.

    Where the rescaling changes from one slice to the next, both are read. Of the pixels that show tissue in either, the
    median one must not change by more than 100 HU: it moves by a few where only the anatomy changes, by the whole
    error where an intercept is wrong. Nothing is read where all slices share one rescaling, as nearly all CTs do.

    Args:
        slices: of a CT, in stack order.
        hu_of: reads a slice, where it is no file of its own but a frame.
    Returns: faults that name the slices whose rescaling is the rarer one, and a remark that rescalings differ.
    """

    def every_fourth(header: SliceHeader) -> NDArray[np.float32]:
        return hu_of(header)[::_EVERY_PIXEL, ::_EVERY_PIXEL].copy()

    kinds: list[Rescaling] = [(header.slope, header.intercept) for header in slices]
    common = Counter(kinds)
    if len(common) == 1:
        return [], []
    broken: dict[Path, Fault] = {}
    lower: NDArray[np.float32] | None = None
    for k in range(1, len(slices)):
        if kinds[k] == kinds[k - 1]:
            lower = None
            continue
        lower = every_fourth(slices[k - 1]) if lower is None else lower
        upper = every_fourth(slices[k])
        change = _change_hu(lower, upper)
        if abs(change) > BREAK_HU:
            odd, neighbour = (k, k - 1) if common[kinds[k]] <= common[kinds[k - 1]] else (k - 1, k)
            broken.setdefault(slices[odd].path, _fault(slices[odd], slices[neighbour], abs(change)))
        lower = upper
    remark = f"IN-10: {len(common)} different rescalings to Hounsfield units, applied slice by slice"
    return list(broken.values())[:FAULTS_NAMED], [remark]


def _change_hu(lower: NDArray[np.float32], upper: NDArray[np.float32]) -> float:
    tissue = np.maximum(lower, upper) > _TISSUE_HU
    return float(np.median(upper[tissue] - lower[tissue])) if tissue.any() else 0.0


def _fault(odd: SliceHeader, neighbour: SliceHeader, change_hu: float) -> Fault:
    problem = (
        f"rescales by slope {odd.slope:g} and intercept {odd.intercept:g}, {neighbour.path.name} beside it by "
        f"{neighbour.slope:g} and {neighbour.intercept:g}: tissue changes by {change_hu:.0f} HU from one to the next, "
        f"at most {BREAK_HU:.0f} is plausible"
    )
    fix = "export the series again with its rescaling to Hounsfield units"
    return Fault(id="IN-10", file=str(odd.path), problem=problem, fix=fix)
