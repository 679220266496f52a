"""What a volume file's own header states, in our reading of it: the layout of its voxels and their place."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from femseg.errors import Refusal
from femseg.formats.voxel_bytes import VoxelLayout
from femseg.volumes.grid import VoxelGrid

Packing = Literal["none", "gzip", "zlib"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedVolume:
    """A header that can be meant.

    Attributes:
        layout: of the voxels.
        grid: where they lie, in LPS millimetres.
        packing: of the voxels (of the whole file in .nii.gz).
        header_bytes: length of a header that is not packed with the voxels.
    """

    layout: VoxelLayout
    grid: VoxelGrid
    packing: Packing = "none"
    header_bytes: int = 0


def header_fault(path: Path, problem: str, fix: str = "write the file again with its full geometry") -> Refusal:
    """IN-18: a header that says too little, too much, or what we do not read."""
    return Refusal.of("IN-18", path, problem, fix)


def grid_from_axes(shape_xyz: tuple[int, int, int], axes_mm: ArrayLike, origin_mm: ArrayLike) -> VoxelGrid:
    """The grid with these steps along x, y and z (columns, LPS millimetres).

    Raises: ValueError if they are not three perpendicular, finite lengths or the origin is not finite.
    """
    steps, origin = np.array(axes_mm, np.float64), np.array(origin_mm, np.float64)
    spacing = np.linalg.norm(steps, axis=0)
    if not (np.isfinite(steps).all() and np.isfinite(origin).all() and spacing.min() > 0):
        raise ValueError(f"axes {steps.T.tolist()} from {origin.tolist()} are no place in millimetres")
    x, y, z = spacing.tolist()
    return VoxelGrid(
        shape_zyx=shape_xyz[::-1],
        spacing_mm_zyx=(z, y, x),
        origin_mm_xyz=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction_xyz=tuple((steps / spacing).ravel().tolist()),
    )


def has_odd_bytes(line: bytes, *, free_text: bool) -> bool:
    """Whether a header's line holds what is no text, and what readers may take for a blank or a line's end.

    Only free text may be other than ASCII.
    """
    text = line.rstrip(b"\r\n").replace(b"\t", b"")
    return any(byte < 32 or byte == 127 for byte in text) or not (free_text or text.isascii())


def numbers(text: str) -> list[float] | None:
    """White-space separated finite numbers, else None."""
    try:
        found = [float(word) for word in text.split()]
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def sizes(text: str) -> tuple[int, int, int] | None:
    """Three whole numbers of at least 1, else None."""
    words = text.split()
    if len(words) != 3 or not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        return None
    x, y, z = map(int, words)
    return (x, y, z) if min(x, y, z) >= 1 else None
