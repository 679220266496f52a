"""Two scales: where the coarser network finds something, the finer one is asked, in a box about each femur."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from femseg.networks.network import FEMUR_FROM
from femseg.networks.package_files import ScaleDescription
from femseg.volumes.grid import CtVolume, VoxelGrid
from femseg.volumes.network_input import network_grid, network_input
from femseg.volumes.resample import Box

FOUND_FROM = 0.3  # at the coarser scale: what is missed there is missed for good
_SPECKLE_ML = 1.0  # a smaller piece is no part of a femur; a larger one, such as the tip of a second femur, is kept
_FOUND_SHARE = 0.5  # of a piece: a true femur is found nearly whole, of another bone in its box a corner at most
_MARGIN_MM = 15.0
_NEAR_MM = 10.0  # further from what was found, what the finer network takes for femur is another bone
Look = Callable[..., NDArray[np.floating[Any]]]


class Part(NamedTuple):
    """What the finer network said in a box of its grid, without speckles; shape (Z, Y, X).

    Attributes:
        left_out_ml: pieces of at least a millilitre that the coarser network had not found for the most part.
    """

    box_zyx: Box
    probability_zyx: NDArray[np.floating[Any]]
    left_out_ml: float = 0.0


def refined(
    network: torch.nn.Module,
    scale: ScaleDescription,
    ct: CtVolume,
    found_zyx: NDArray[np.floating[Any]],
    *,
    look: Look,
    device: torch.device | str,
    name: str,
) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """The femora at the finer scale: each cut out of a box about what was found at the coarser one.

    A box holds other bones, too: what lies far from what was found is no femur, nor is a piece most of which was not
    found. Speckles count as not found: the finer network would fill the bone about them.

    Args:
        look: how the network looks into a box; `femur_probability`, or as it.
    Returns: what it said in each box, and remarks: on pieces that are left out, and on a box of one even tissue, which
        holds no bone and is passed over.
    """
    grid = network_grid(ct.grid, scale.input_recipe)
    voxel_mm3 = grid.voxel_volume_mm3 * np.prod(grid.shape_zyx) / found_zyx.size
    found_zyx = without_speckles(found_zyx, voxel_mm3, femur_from=FOUND_FROM)
    likely_zyx, near_zyx = _near_what_was_found(found_zyx, grid)
    parts, remarks = [], []
    for box in femur_boxes(found_zyx, grid):
        input_czyx = network_input(ct, scale.input_recipe, box_zyx=box, name=name)
        if not np.ptp(input_czyx, axis=(1, 2, 3)).any():
            remarks.append(f"PP-03: what was taken for femur {_about(grid, box)} is one even tissue, and is left out")
            continue
        wanted_zyx = _in_box(likely_zyx, grid, box)
        probability_zyx = look(
            network, input_czyx, windows=scale.windows, wanted_zyx=wanted_zyx, device=device, name=name
        )
        probability_zyx = np.where(_in_box(near_zyx, grid, box), probability_zyx, 0)
        said = Part(box, without_speckles(probability_zyx, grid.voxel_volume_mm3))
        part, left_out = _without_unfound(said, _in_box(found_zyx >= FOUND_FROM, grid, box), grid)
        parts.append(part)
        remarks += left_out
    return tuple(parts), tuple(remarks)


def _without_unfound(part: Part, found_zyx: NDArray[np.bool_], grid: VoxelGrid) -> tuple[Part, list[str]]:
    """A part without pieces of which the coarser network found less than half, and a remark on each."""
    numbers, count = ndimage.label(part.probability_zyx >= FEMUR_FROM)
    voxels = np.bincount(numbers.ravel(), minlength=count + 1)
    found = np.bincount(numbers[found_zyx], minlength=count + 1)
    unfound = found < _FOUND_SHARE * voxels
    unfound[0] = False
    if not unfound.any():
        return part, []
    pieces, remarks = ndimage.find_objects(numbers), []
    for number in np.flatnonzero(unfound):
        ends = zip(part.box_zyx, pieces[number - 1], strict=True)
        place = tuple(slice(box.start + piece.start, box.start + piece.stop) for box, piece in ends)
        what = f"{voxels[number] * grid.voxel_volume_mm3 / 1000.0:.1f} ml {_about(grid, place)}"
        remarks.append(f"IF-11: {what} are left out: most of it was not found before")
    left_out_ml = float(voxels[unfound].sum() * grid.voxel_volume_mm3 / 1000.0)
    return Part(part.box_zyx, np.where(unfound[numbers], 0, part.probability_zyx), left_out_ml), remarks


def _about(grid: VoxelGrid, box_zyx: tuple[slice, ...]) -> str:
    middle = grid.position_mm_xyz(tuple((part.start + part.stop - 1) / 2 for part in box_zyx))
    return f"about ({', '.join(f'{mm:.0f}' for mm in middle)}) mm"


def femur_boxes(found_zyx: NDArray[np.floating[Any]], grid: VoxelGrid) -> list[Box]:
    """Boxes on a finer grid about the pieces that were found on a coarser one; boxes that overlap are one.

    Args:
        found_zyx: probability on a grid that fills the same box of the patient as `grid`.
        grid: the finer one.
    """
    numbers, _ = ndimage.label(found_zyx >= FOUND_FROM)
    factors = np.array(grid.shape_zyx) / found_zyx.shape
    margin = np.ceil(_MARGIN_MM / np.array(grid.spacing_mm_zyx) + factors)
    boxes = []
    for piece in ndimage.find_objects(numbers):
        low = np.floor([part.start for part in piece] * factors - margin)
        high = np.ceil([part.stop for part in piece] * factors + margin)
        boxes.append((np.clip(low, 0, grid.shape_zyx), np.clip(high, 0, grid.shape_zyx)))
    return [
        (slice(int(a[0]), int(b[0])), slice(int(a[1]), int(b[1])), slice(int(a[2]), int(b[2])))
        for a, b in _merged(boxes)
    ]


Corners = tuple[NDArray[np.float64], NDArray[np.float64]]


def _merged(boxes: list[Corners]) -> list[Corners]:
    merged: list[Corners] = []
    for low, high in boxes:
        apart = []
        for a, b in merged:
            if np.all(a < high) and np.all(low < b):
                low, high = np.minimum(a, low), np.maximum(b, high)
            else:
                apart.append((a, b))
        merged = [*apart, (low, high)]
    return merged if len(merged) == len(boxes) else _merged(merged)


def _near_what_was_found(
    found_zyx: NDArray[np.floating[Any]], grid: VoxelGrid
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Voxels of the coarser grid: what was found, grown by one, and all that lies near it."""
    found = found_zyx >= FOUND_FROM
    z, y, x = (e / n for e, n in zip(grid.extent_mm_zyx, found.shape, strict=True))
    likely = ndimage.binary_dilation(found)
    return likely, likely | (ndimage.distance_transform_edt(~found, sampling=(z, y, x)) <= _NEAR_MM)


def _in_box(coarse_zyx: NDArray[np.bool_], grid: VoxelGrid, box: Box) -> NDArray[np.bool_]:
    """Voxels of the coarser grid in a box of the finer one: nearest neighbours."""
    z, y, x = (
        np.arange(part.start, part.stop) * coarse // fine
        for part, coarse, fine in zip(box, coarse_zyx.shape, grid.shape_zyx, strict=True)
    )
    return np.asarray(coarse_zyx[np.ix_(z, y, x)])


def without_speckles(
    probability_zyx: NDArray[np.floating[Any]], voxel_volume_mm3: float, *, femur_from: float = FEMUR_FROM
) -> NDArray[np.floating[Any]]:
    """The probability without pieces of under a millilitre; what is larger is for the verdict, not dropped."""
    numbers, count = ndimage.label(probability_zyx >= femur_from)
    if not count:
        return probability_zyx
    speckle = np.bincount(numbers.ravel()) * voxel_volume_mm3 / 1000.0 < _SPECKLE_ML
    speckle[0] = False
    return np.where(speckle[numbers], 0, probability_zyx)
