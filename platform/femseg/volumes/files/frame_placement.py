"""Where a mask's frame lies on the CT: on which slice, and how it is turned in the plane."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femseg.volumes.files.ct_planes import CtPlanes
from femseg.volumes.files.functional_groups import FrameGroups
from femseg.volumes.files.slice_stack import SAME_POSITION_MM, axes
from femseg.volumes.grid import VoxelGrid

# Two places closer than this are one, as for two slices: a tenth of the finest spacing that is read, and far more than
# decimal text loses (cosines of six digits move the far corner of 500 mm by 0.0004 mm).
SAME_PLACE_MM = SAME_POSITION_MM


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How a frame's pixels become a CT slice's: first transposed, then mirrored along the slice's rows or columns."""

    transposed: bool
    mirrored_y: bool
    mirrored_x: bool

    def applied(self, frame_rc: NDArray[Any]) -> NDArray[Any]:
        """The frame (rows, columns) as the CT's slice (Y, X)."""
        turned = frame_rc.swapaxes(0, 1) if self.transposed else frame_rc
        if self.mirrored_y:
            turned = turned[::-1]
        return turned[:, ::-1] if self.mirrored_x else turned


def turn_of(orientation: tuple[float, ...], grid: VoxelGrid) -> Turn:
    """The turn by a multiple of 90°, with or without mirroring, that is nearest to a frame's orientation."""
    along_row, along_column, _ = axes(orientation).T
    x_axis, y_axis, _ = np.array(grid.direction_xyz).reshape(3, 3).T
    transposed = bool(abs(along_row @ y_axis) > abs(along_row @ x_axis))
    toward_y, toward_x = (along_row, along_column) if transposed else (along_column, along_row)
    return Turn(transposed=transposed, mirrored_y=bool(toward_y @ y_axis < 0), mirrored_x=bool(toward_x @ x_axis < 0))


def misplaced(frame: FrameGroups, rows: int, columns: int, ct: CtPlanes) -> str:
    """What keeps a frame from lying on one of the CT's slices, pixel on pixel, in words; "" if it does.

    All four corners must lie within 0.01 mm of a corner of the slice.
    """
    if not (frame.position_mm_xyz and frame.orientation and frame.spacing_mm_yx):
        return "has no ImagePositionPatient, ImageOrientationPatient or PixelSpacing"
    along_row, along_column, normal = axes(frame.orientation).T
    x_axis, y_axis, ct_normal = np.array(ct.grid.direction_xyz).reshape(3, 3).T
    (_, y, x), (_, step_y, step_x) = ct.grid.shape_zyx, ct.grid.spacing_mm_zyx
    if abs(normal @ ct_normal) < 0.9:
        return "is cut in another plane than the CT's slices"
    turn = turn_of(frame.orientation, ct.grid)
    if (rows, columns) != ((x, y) if turn.transposed else (y, x)):
        return f"has {rows} rows × {columns} columns, the CT's slices {y} × {x}"
    row_mm, column_mm = (rows - 1) * frame.spacing_mm_yx[0], (columns - 1) * frame.spacing_mm_yx[1]
    corners_mm = np.array(
        [
            [np.array(frame.position_mm_xyz) + r * along_column + c * along_row for c in (0, column_mm)]
            for r in (0, row_mm)
        ]
    )  # (2, 2, 3)
    index, away_mm = ct.nearest(float(ct.heights_mm(corners_mm).mean()))
    if away_mm > SAME_PLACE_MM:
        return f"lies {away_mm:.3g} mm from the nearest slice of the CT"
    first = ct.positions_mm_xyz[index]
    slice_mm = np.array(
        [[first + j * y_axis + i * x_axis for i in (0, (x - 1) * step_x)] for j in (0, (y - 1) * step_y)]
    )
    off_mm = float(np.linalg.norm(turn.applied(corners_mm) - slice_mm, axis=-1).max())
    if off_mm <= SAME_PLACE_MM:
        return ""
    ours, theirs = (
        ", ".join(f"{value:.6g}" for value in spacing) for spacing in (frame.spacing_mm_yx, (step_y, step_x))
    )
    return (
        f"lies up to {off_mm:.3g} mm beside the CT's slice {index + 1}, tolerated {SAME_PLACE_MM:g} mm "
        f"(pixel spacing {ours} mm, CT {theirs} mm)"
    )
