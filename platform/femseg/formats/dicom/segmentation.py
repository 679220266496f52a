"""A mask as DICOM Segmentation object: segments chosen by number, frames laid on the slices of the CT (PS3.3 A.51)."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from femseg.errors import Fault, Refusal
from femseg.formats.dicom.ct_planes import (
    RESAMPLED_TOGETHER,
    CtPlanes,
    DrawnOn,
    check_drawn_on,
    check_images,
    check_unmended,
    gap_remarks,
    slice_place,
)
from femseg.formats.dicom.headers import READABLE_SYNTAXES, SliceHeader, uid_name, unreadable
from femseg.formats.dicom.multiframe import FrameGroups, frame_groups, parsing, read_object, text_of, texts_of
from femseg.formats.dicom.pixels import stored_frames
from femseg.formats.dicom.series import Pseudonym
from femseg.formats.dicom.stack import SAME_POSITION_MM, axes
from femseg.formats.source import CheckedVolume
from femseg.formats.structures import unique_names
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


SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # the second: label maps
_KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")
_FRACTION_AT_MOST = 255  # fractions are stored in 8 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """A parsed segmentation object.

    Attributes:
        kind: "BINARY", "FRACTIONAL" or "LABELMAP".
        half: stored value from which on a pixel of a fractional segment counts.
        names: label of each segment with its number.
        frames: places and segments, in the order of storage.
    """

    header: SliceHeader
    kind: str
    half: float
    names: Mapping[str, int]
    frames: tuple[FrameGroups, ...]
    drawn_on: DrawnOn

    def frames_of(self, segments: Sequence[int]) -> list[FrameGroups]:
        """Frames that may show one of these segments."""
        return [frame for frame in self.frames if self.kind == "LABELMAP" or frame.segment in segments]


def read_segmentation(header: SliceHeader) -> Segmentation:
    """Parse a segmentation object; its pixels stay unread.

    Raises: Refusal IN-12 for a kind or transfer syntax that is not read, IN-13, IN-14, IN-24 for a broken object.
    """
    path = header.path
    if header.transfer_syntax not in READABLE_SYNTAXES:
        problem = f"TransferSyntaxUID (0002,0010) is {uid_name(header.transfer_syntax)}"
        raise Refusal.of("IN-12", path, problem, "export as Explicit VR Little Endian")
    dataset = read_object(path, header_bytes=header.pixel_offset)
    kind = text_of(dataset, "SegmentationType") or "none"
    bits = (1,) if kind == "BINARY" else (8, 16) if kind == "LABELMAP" else (8,)
    if kind not in _KINDS or header.bits_allocated not in bits or header.samples != 1:
        problem = f"is a segmentation of type {kind} with {header.bits_allocated} bits a pixel"
        raise Refusal.of("IN-12", path, problem, "export it as BINARY, FRACTIONAL (8 bits) or LABELMAP")
    with parsing(path, "has broken segments"):
        names = unique_names((int(s.SegmentNumber), str(s.get("SegmentLabel", ""))) for s in dataset.SegmentSequence)
        highest = _highest_fraction(dataset, path) if kind == "FRACTIONAL" else 0
        drawn_on = _drawn_on(dataset, header)
    frames = frame_groups(dataset, header.frames, path)
    if kind != "LABELMAP":
        _check_identified(frames, names.values(), path)
    sources = drawn_on.instance_uids.union(*(frame.source_uids for frame in frames))
    return Segmentation(
        header=header,
        kind=kind,
        half=highest / 2 if kind == "FRACTIONAL" else 1,
        names=names,
        frames=frames,
        drawn_on=replace(drawn_on, instance_uids=sources),
    )


def _check_identified(frames: Sequence[FrameGroups], segments: Collection[int], path: Path) -> None:
    """Raises: Refusal IN-13 if a frame shows no segment of the object; it would be left out unseen."""
    if unknown := [frame for frame in frames if frame.segment not in segments]:
        first = unknown[0]
        named = "names no segment" if first.segment is None else f"names segment {first.segment}, which is not there"
        problem = f"frame {first.number} {named} (0062,000B) ({len(unknown)} of {len(frames)} frames)"
        raise Refusal.of("IN-13", path, problem, "export the segmentation again with its full header")


def _highest_fraction(dataset: Dataset, path: Path) -> int:
    """The stored value that means all of a voxel (0062,000E): it must be there for fractions, and more than 0."""
    stated = dataset.get("MaximumFractionalValue")
    if stated is not None and 1 <= int(stated) <= _FRACTION_AT_MOST:
        return int(stated)
    found = "missing" if stated is None else str(stated)
    problem = f"MaximumFractionalValue (0062,000E) is {found}, expected 1 to {_FRACTION_AT_MOST}"
    raise Refusal.of("IN-13", path, problem, "export it again as FRACTIONAL with its maximum, or as BINARY")


def _drawn_on(dataset: Dataset, header: SliceHeader) -> DrawnOn:
    series = dataset.get("ReferencedSeriesSequence") or ()
    images = [image for one in series for image in one.get("ReferencedInstanceSequence") or ()]
    return DrawnOn(
        patient_id=header.patient_id,
        frame_of_reference_uids=frozenset({header.frame_of_reference_uid} - {""}),
        series_uids=texts_of(series, "SeriesInstanceUID"),
        instance_uids=texts_of(images, "ReferencedSOPInstanceUID"),
    )


def check_segmentation(
    segmentation: Segmentation,
    chosen: Sequence[int],
    ct: CheckedVolume,
    planes: CtPlanes,
    pseudonym: Pseudonym,
    *,
    accept_frame: bool,
) -> CheckedVolume:
    """Check that the chosen segments' frames lie on the CT's slices.

    Raises: Refusal IN-04, IN-06, IN-20, IN-22 that names the first frame at fault and how many share its fault.
    """
    path, header = segmentation.header.path, segmentation.header
    check_unmended(ct, str(path))
    remarks = check_drawn_on(segmentation.drawn_on, planes, str(path), pseudonym, accept_frame=accept_frame)
    frames = segmentation.frames_of(chosen)
    check_images([frame.source_uids for frame in frames], "frames", planes, str(path))
    problems = [(frame, misplaced(frame, header.rows or 0, header.columns or 0, planes)) for frame in frames]
    problems = [(frame, problem) for frame, problem in problems if problem] or [
        (frame, problem) for frame in frames if (problem := _on_another_slice(frame, planes))
    ]
    fix = "take the CT that the mask was drawn on, or resample the mask onto this one"
    if not problems:
        problems = [(frame, problem) for frame in frames if (problem := planes.drawn_elsewhere(_place(frame)))]
        fix = RESAMPLED_TOGETHER
    if problems:
        frame, problem = problems[0]
        problem = f"frame {frame.number} {problem} ({len(problems)} of {len(frames)} frames)"
        raise Refusal.of("IN-20", path, problem, fix)
    names = {number: name for name, number in segmentation.names.items()}
    for segment in chosen if segmentation.kind != "LABELMAP" else (0,):
        slices = Counter(_slice_of(frame, planes) for frame in segmentation.frames_of([segment]))
        name = names.get(segment, "the label map")
        if twice := [index for index, count in slices.items() if count > 1]:
            problem = f"segment '{name}' has several frames on {len(twice)} slices, the first on slice {min(twice) + 1}"
            raise Refusal.of("IN-04", path, problem, "export the segmentation again")
        if slices and segmentation.kind != "LABELMAP":
            remarks += gap_remarks(set(slices), name, str(path))
    if segmentation.kind == "FRACTIONAL":
        remarks += (f"IN-22: fractional segments cut at half of {2 * segmentation.half:g}",)
    return CheckedVolume(kind="dicom-seg", paths=(path,), grid=ct.grid, remarks=remarks)


def _slice_of(frame: FrameGroups, ct: CtPlanes) -> int:
    return ct.nearest(float(ct.heights_mm(_place(frame))[0]))[0]


def _place(frame: FrameGroups) -> NDArray[np.float64]:
    """Centre of the first pixel of a frame that has a place, shape (1, 3)."""
    return np.array([frame.position_mm_xyz], np.float64)


def _on_another_slice(frame: FrameGroups, ct: CtPlanes) -> str:
    """A frame that names slices of this CT as its source, but lies on none of them."""
    named = {*frame.source_uids} & {*ct.instance_uids}
    here = _slice_of(frame, ct)
    if not named or ct.instance_uids[here] in named:
        return ""
    return f"lies on slice {here + 1} of the CT, but names slice {ct.instance_uids.index(min(named)) + 1} as its source"


def draw_segmentation(header: SliceHeader, grid: VoxelGrid, meanings: Sequence[Sequence[int]]) -> NDArray[np.uint16]:
    """Draw segments onto the CT's grid: each voxel holds the number of its segment, 0 where there is none.

    Args:
        header: of the segmentation, whose frames were found to lie on this grid's slices.
        meanings: segments that mean the same, and may overlap, together; no others are drawn.
    Raises: Refusal IN-22 if segments of different meaning share a voxel.
    """
    segmentation = read_segmentation(header)
    meaning_of = {segment: k for k, same in enumerate(meanings) for segment in same}
    frames = segmentation.frames_of(list(meaning_of))
    values_zyx = np.zeros(grid.shape_zyx, np.uint16)
    for frame, stored in zip(frames, stored_frames(header, [frame.number for frame in frames]), strict=True):
        if frame.position_mm_xyz is None or frame.orientation is None:
            raise unreadable(header.path, f"has no place for frame {frame.number}")
        slice_yx = values_zyx[round(slice_place(_place(frame), grid))]
        turned = turn_of(frame.orientation, grid).applied(stored)
        if frame.segment is None or segmentation.kind == "LABELMAP":
            slice_yx[:] = np.where(np.isin(turned, list(meaning_of)), turned, 0)
            continue
        inside = turned >= segmentation.half
        same = [0, *meanings[meaning_of[frame.segment]]]
        if shared := int(np.count_nonzero(inside & ~np.isin(slice_yx, same))):
            raise Refusal(_overlap(header.path, segmentation.names, frame, slice_yx[inside], shared))
        slice_yx[inside] = frame.segment
    return values_zyx


def _overlap(path: Path, names: Mapping[str, int], frame: FrameGroups, under: NDArray[np.uint16], shared: int) -> Fault:
    by_number = {number: name for name, number in names.items()}
    others = sorted({*np.unique(under).tolist()} - {0, frame.segment})
    both = " and ".join(f"'{by_number.get(number or 0, number)}'" for number in [*others, frame.segment])
    problem = f"segments {both} share {shared} voxels in frame {frame.number}: a voxel is one bone only"
    return Fault("IN-22", path, problem, "correct the segmentation, or choose one segment")
