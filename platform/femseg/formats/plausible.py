"""Sizes and numbers that no CT of a femur has: what a wrong unit or a wrong rescaling looks like."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Fault
from femseg.volumes.grid import VoxelGrid

VOXELS_AT_MOST = 1 << 30  # 4 GiB as float32
_SPACING_MM = (0.1, 10.0)
_EXTENT_MM = (50.0, 2500.0)
_AIR_HU = (-1100.0, -900.0)
_SAMPLED_VOXELS = 2_000_000


def size_faults(grid: VoxelGrid, file: str, *, cropped: bool = False) -> list[Fault]:
    """IN-19: spacing outside 0.1 … 10 mm or an edge outside 50 … 2500 mm. IN-24: more voxels than memory is for.

    Args:
        cropped: whether the volume may be cut to what it shows, as a mask may: then it has no least edge.
    """
    faults = []
    extent = (0.0, _EXTENT_MM[1]) if cropped else _EXTENT_MM
    sizes = (("spacing", grid.spacing_mm_zyx, _SPACING_MM), ("extent", grid.extent_mm_zyx, extent))
    for quantity, values, (low, high) in sizes:
        if min(values) < low or max(values) > high:
            shown = " × ".join(f"{value:.4g}" for value in values)
            problem = f"{quantity} of {shown} mm (z, y, x) is outside {low:g} to {high:g} mm (another unit?)"
            faults.append(Fault("IN-19", file, problem, "write the file's geometry in millimetres"))
    return faults + voxel_count_faults(grid.shape_zyx, file)


def voxel_count_faults(shape: tuple[int, ...], file: str) -> list[Fault]:
    """IN-24: refused before a byte is allocated (exit 5)."""
    count = int(np.prod(shape, dtype=object))
    if count <= VOXELS_AT_MOST:
        return []
    problem = f"declares {' × '.join(map(str, shape))} = {count} voxels, at most {VOXELS_AT_MOST} are read"
    return [Fault("IN-24", file, problem, "crop the volume to the legs")]


def finite_faults(ct_hu_zyx: NDArray[np.float32], file: str) -> list[Fault]:
    """IN-17 for voxels already read (formats whose reader hands NaN through)."""
    if np.isfinite(ct_hu_zyx.min()) and np.isfinite(ct_hu_zyx.max()):
        return []
    wrong = np.flatnonzero(~np.isfinite(ct_hu_zyx))
    first = tuple(int(i) for i in np.unravel_index(wrong[0], ct_hu_zyx.shape))
    problem = f"{len(wrong)} voxels are NaN or infinite, the first at {first} (z, y, x)"
    return [Fault("IN-17", file, problem, "export the volume again from its source")]


def hounsfield_faults(ct_hu_zyx: NDArray[np.float32], file: str) -> list[Fault]:
    """IN-11: no bone, no fat or air, or air that is not near -1000 HU; in all of them the scale is off.

    Air and fat are looked for in every k-th voxel, about two million in all; padding below -1500 HU counts as neither.
    """
    flat = ct_hu_zyx.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLED_VOXELS)]
    sample = sample[sample > -1500]
    highest = float(flat.max())
    fix = (
        "correct the rescaling to Hounsfield units; if the scan really is so, cohort.accept_hu or --accept-hu takes it"
    )
    problems = []
    if highest < 300:
        problems.append(f"the highest value is {highest:.0f} HU, bone reaches 300 and more")
    if sample.size and (low := float(np.percentile(sample, 1))) > -20:
        problems.append(f"only 1 % of the voxels lie below {low:.0f} HU, fat and air lie below -20")
    air = sample[sample < -500]
    if air.size > 0.05 * sample.size:
        counts, edges = np.histogram(air, bins=np.arange(-1500, -490, 20))
        mode = float(edges[np.argmax(counts)] + 10)
        if not _AIR_HU[0] <= mode <= _AIR_HU[1]:
            problems.append(f"air lies at {mode:.0f} HU, expected {_AIR_HU[0]:.0f} to {_AIR_HU[1]:.0f}")
    return [Fault("IN-11", file, problem, fix) for problem in problems]


# How far a voxel may lie from where its own header puts it: lengths, told at the corner that is worst off.
#
# A cosine or a spacing says nothing by itself: 1e-3 of a radian is 0.06 mm on the hand and half a millimetre on a leg.
# See docs/decisions/0017.


REMARKED_OF_VOXEL = 0.1  # shares of the shortest voxel edge; below this, rounding, and not worth a word
REFUSED_OF_VOXEL = 0.5  # beyond this a voxel lies in its neighbour's place
MASK_REMARKED_MM = 0.01  # a mask was drawn on its CT's voxels: what lies between here and the tenth of a voxel is
MASK_REFUSED_OF_VOXEL = 0.1  # a header rounded on the way


def place_in(whole: VoxelGrid, part: VoxelGrid) -> tuple[int, int, int] | None:
    """The voxel (z, y, x) of `whole` at which a smaller grid begins that has voxels of it alone; else None.

    One of whole slices is not cropped, but lacks some: None, too.
    """
    if part.shape_zyx[1:] == whole.shape_zyx[1:]:
        return None
    off_mm = np.subtract(part.origin_mm_xyz, whole.origin_mm_xyz)
    index_xyz = np.array(whole.direction_xyz).reshape(3, 3).T @ off_mm / whole.spacing_mm_zyx[::-1]
    x, y, z = (round(float(index)) for index in index_xyz)
    origin_x, origin_y, origin_z = whole.position_mm_xyz((z, y, x)).tolist()
    same = replace(whole, shape_zyx=part.shape_zyx, origin_mm_xyz=(origin_x, origin_y, origin_z))
    ends = np.add((z, y, x), part.shape_zyx)
    inside = min(z, y, x) >= 0 and bool((ends <= whole.shape_zyx).all())
    if not inside or same.largest_offset_mm(part) > MASK_REFUSED_OF_VOXEL * min(whole.spacing_mm_zyx):
        return None
    return z, y, x
