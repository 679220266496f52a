"""A mask of several structures in as many files, one for each, as one array of numbers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Fault, Refusal
from femseg.formats.source import CheckedVolume
from femseg.formats.volume_file import check_volume_file

_OFFSET_MM = 1e-3


def check_structure_files(paths: Sequence[Path]) -> CheckedVolume:
    """Check the files of one mask, each of which holds one structure; all must lie on one grid.

    Raises: Refusal with every fault found: those of `check_volume_file`, and IN-20.
    """
    faults: list[Fault] = []
    checked: list[CheckedVolume] = []
    for path in paths:
        try:
            checked.append(check_volume_file(path, "mask"))
        except Refusal as refusal:
            faults.extend(refusal.faults)
    for volume in checked[1:]:
        first, grid = checked[0].grid, volume.grid
        if grid.shape_zyx != first.shape_zyx or first.largest_offset_mm(grid) > _OFFSET_MM:
            problem = f"lies on another grid than {checked[0].paths[0].name}"
            if grid.shape_zyx != first.shape_zyx:
                problem += f": {grid.shape_zyx} voxels (z, y, x), there {first.shape_zyx}"
            else:
                problem += f": up to {first.largest_offset_mm(grid):.3g} mm apart"
            faults.append(Fault("IN-20", volume.paths[0], problem, "take both masks from one export of the same CT"))
    if faults:
        raise Refusal(faults)
    files = tuple(file for volume in checked for file in volume.paths)
    return CheckedVolume(kind="volume", paths=files, grid=checked[0].grid)


def numbered(structures_zyx: Iterable[tuple[Path, NDArray[np.generic]]]) -> NDArray[np.uint8]:
    """One array of several binary masks: the voxels of the k-th have the value k, counted from 1.

    Args:
        structures_zyx: file and voxels of each, all of one shape (Z, Y, X); at most 255.
    Raises: Refusal IN-22 if a mask holds more than 0 and 1, or shares a voxel with another.
    """
    files: list[Path] = []
    numbers = np.zeros(0, np.uint8)
    for file, stored in structures_zyx:
        if odd := int(np.count_nonzero((stored != 0) & (stored != 1))):
            problem = f"{odd} voxels are neither 0 nor 1, the values reach from {stored.min()} to {stored.max()}"
            fix = "store one structure per file, as 0 and 1"
            raise Refusal.of("IN-22", file, problem, fix)
        inside = stored == 1
        if not files:
            numbers = np.zeros(stored.shape, np.uint8)
        taken = numbers[inside & (numbers != 0)]
        if taken.size:
            others = ", ".join(files[number - 1].name for number in np.unique(taken))
            problem = f"{taken.size} of its voxels are set in {others} too"
            fix = "correct the masks: a voxel belongs to one structure"
            raise Refusal.of("IN-22", file, problem, fix)
        files.append(file)
        numbers[inside] = len(files)
    return numbers


def unique_names(numbered: Iterable[tuple[int, str]]) -> dict[str, int]:
    """Each structure's name with its number; a name borne twice gets the number added, as in "femur (2)".

    Number 0 is background and left out.
    """
    found = [(number, name.strip() or "unnamed") for number, name in numbered if number != 0]
    counts = Counter(name for _, name in found)
    return {name if counts[name] == 1 else f"{name} ({number})": number for number, name in found}
