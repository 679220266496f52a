"""An enhanced multi-frame CT: its frames are checked like the slices of a series, and read as one stack."""

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from femseg.errors import Fault, Refusal
from femseg.formats.dicom.deflated import dicom_stream
from femseg.formats.dicom.elements import decoded, numbers
from femseg.formats.dicom.headers import OtherObject, SliceHeader, read_slice_header, uid_name, unreadable
from femseg.formats.dicom.pixels import stored_frames
from femseg.formats.dicom.series import HOUNSFIELD, Pseudonym, check_series
from femseg.formats.dicom.stack import SAME_POSITION_MM, axes
from femseg.formats.plausible import voxel_count_faults
from femseg.formats.source import CheckedVolume, Mend
from femseg.volumes.grid import CtVolume

HEADER_BYTES_AT_MOST = 24 << 20
ITEMS_AT_MOST = 150_000  # some 15 000 frames; pydicom takes about 30 µs for each item
_ITEM_TAGS = (b"\xfe\xff\0\xe0", b"\xff\xfe\xe0\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameGroups:
    """One frame's functional groups; None or empty where nothing is said.

    Attributes:
        number: counted from 1 in the order of storage.
        position_mm_xyz, orientation, spacing_mm_yx: as in a single slice.
        rescale_type: unit after rescaling, such as "HU".
        segment: which segment the frame belongs to.
        source_uids: SOPInstanceUIDs of the images that it was made from.
    """

    number: int
    position_mm_xyz: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm_yx: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    segment: int | None
    source_uids: tuple[str, ...]


def read_object(path: Path, *, header_bytes: int = -1, bytes_at_most: int = HEADER_BYTES_AT_MOST) -> Dataset:
    """A DICOM object without its pixels.

    Args:
        header_bytes: where its pixels begin, for an object that has some.
    Raises: Refusal IN-24 if it is longer, or of more parts, than is read; IN-14 if it cannot be parsed.
    """
    with dicom_stream(path) as (stream, size):
        length = size if header_bytes < 0 else header_bytes
        found = stream.read(length) if length <= bytes_at_most else b""
    items = max(map(found.count, _ITEM_TAGS))
    if length > bytes_at_most or items > ITEMS_AT_MOST:
        problem = f"describes itself in {length} bytes and {items} items, at most {bytes_at_most} and {ITEMS_AT_MOST}"
        raise Refusal.of("IN-24", path, f"{problem} are read", "export the femur alone, or split the object")
    with parsing(path, "cannot be parsed"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters is judged by us
        return pydicom.dcmread(io.BytesIO(found), stop_before_pixels=True)


@contextmanager
def parsing(path: Path, problem: str) -> Iterator[None]:
    """Refuse what pydicom cannot read (IN-14): it meets a broken object with any of a dozen exception types."""
    try:
        yield
    except Refusal:
        raise
    except Exception as error:
        raise unreadable(path, f"{problem} ({type(error).__name__}: {error})") from None


def raw_of(dataset: Dataset, name: str) -> Any:
    """An element's value before pydicom converts it: bytes, as a rule; b"" where there is none."""
    return dataset.get_item(name).value if name in dataset else b""


def text_of(dataset: Dataset, name: str) -> str:
    """A text without padding; "" where there is none."""
    value = raw_of(dataset, name)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace").strip(" \0")
    return "" if value is None else str(value)


def decoded_of(item: Dataset, name: str, dataset: Dataset) -> str:
    """A text of an item in the character set that the item, or else its data set, says."""
    value = raw_of(item, name)
    charsets = item.get("SpecificCharacterSet") or dataset.get("SpecificCharacterSet") or ""
    charsets = charsets if isinstance(charsets, str) else "\\".join(map(str, charsets))
    return decoded(value, charsets) if isinstance(value, bytes) else str(value or "")


def texts_of(datasets: Iterable[Dataset], name: str) -> frozenset[str]:
    """The same of several, without those that have none."""
    return frozenset(text_of(dataset, name) for dataset in datasets) - {""}


def frame_groups(dataset: Dataset, frames: int, path: Path) -> tuple[FrameGroups, ...]:
    """The functional groups of every frame. Raises: Refusal IN-13, IN-14 if they are missing, too few or broken."""
    with parsing(path, "has broken functional groups"):
        shared = _first(dataset, "SharedFunctionalGroupsSequence")
        own = list(dataset.get("PerFrameFunctionalGroupsSequence") or [Dataset()] * frames)
        if len(own) == frames:
            return tuple(_of_frame(k + 1, group, shared) for k, group in enumerate(own))
    problem = f"describes {len(own)} frames (5200,9230), NumberOfFrames (0028,0008) says {frames}"
    raise Refusal.of("IN-13", path, problem, "export the object again with its full header")


def _first(dataset: Dataset, sequence: str) -> Dataset:
    items = dataset.get(sequence)
    return items[0] if items else Dataset()


def _of_frame(number: int, own: Dataset, shared: Dataset) -> FrameGroups:
    def group(name: str) -> Dataset:
        return _first(own, name) or _first(shared, name)

    rescale = group("PixelValueTransformationSequence")
    segment = group("SegmentIdentificationSequence").get("ReferencedSegmentNumber")
    return FrameGroups(
        number=number,
        position_mm_xyz=_numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=_numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        spacing_mm_yx=_numbers(group("PixelMeasuresSequence"), "PixelSpacing", 2),
        slope=_number(rescale, "RescaleSlope"),
        intercept=_number(rescale, "RescaleIntercept"),
        rescale_type=text_of(rescale, "RescaleType"),
        segment=None if segment is None else int(segment),
        source_uids=tuple(_sources(own)) or tuple(_sources(shared)),
    )


def _sources(group: Dataset) -> Iterator[str]:
    for derivation in group.get("DerivationImageSequence") or ():
        for image in derivation.get("SourceImageSequence") or ():
            yield text_of(image, "ReferencedSOPInstanceUID")


def _numbers(dataset: Dataset, name: str, count: int) -> tuple[float, ...] | None:
    return numbers(text_of(dataset, name), count)


def _number(dataset: Dataset, name: str) -> float | None:
    found = _numbers(dataset, name, 1)
    return found[0] if found else None


ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")  # the second: converted from slices
_FRAME = "frame-"


def multiframe_slices(header: SliceHeader) -> list[SliceHeader]:
    """Each frame as if it were a slice's file, `<file>/frame-00001`, counted from 1 in the order of storage.

    Raises: Refusal IN-04, IN-10, IN-12, IN-13, IN-14, IN-24 for what no single slice can have.
    """
    path = header.path
    if header.sop_class not in ENHANCED_CT:
        kind = uid_name(header.sop_class) or "no SOPClassUID"
        problem = f"holds {header.frames} frames in one file and is no enhanced CT ({kind})"
        raise Refusal.of("IN-12", path, problem, "export the CT as single-frame slices")
    shape = (header.frames, header.rows or 0, header.columns or 0)
    if faults := voxel_count_faults(shape, str(path)):
        raise Refusal(faults)
    dataset = read_object(path, header_bytes=header.pixel_offset)
    groups = frame_groups(dataset, header.frames, path)
    if faults := [*_kind_faults(dataset, groups, path), *_phase_faults(groups, path)]:
        raise Refusal(faults)
    return [_as_slice(header, group) for group in groups]


def multiframe_stack(header: SliceHeader, pseudonym: Pseudonym) -> tuple[CheckedVolume, list[SliceHeader]]:
    """Check that the frames make a regular stack of Hounsfield units.

    Returns: the volume, its one file; and its frames as slices, in the order of their positions.
    Raises: Refusal with every fault found, as for a series.
    """
    slices = {frame.path: frame for frame in multiframe_slices(header)}
    try:
        stack = check_series(
            list(slices.values()), "ct", pseudonym, hu_of=lambda frame: next(_hounsfield(header, [frame]))
        )
    except Refusal as refusal:
        raise Refusal([_for_frames(fault) for fault in refusal.faults]) from None
    return replace(stack, kind="multiframe", paths=(header.path,)), [slices[path] for path in stack.paths]


def _for_frames(fault: Fault) -> Fault:
    """A series' fault with a fix that helps for frames too: they are never mended where they are."""
    if not any(f"--{mend}" in fault.fix for mend in get_args(Mend)):
        return fault
    return replace(fault, fix=f"export it as single slices, for frames of one file are not resampled; then {fault.fix}")


def read_multiframe(path: Path) -> CtVolume:
    """Read an enhanced CT that was checked before; its frames in the order of their positions."""
    header = read_slice_header(path)
    if isinstance(header, OtherObject):
        raise unreadable(path, f"holds no image ({header.kind})")
    volume, ordered = multiframe_stack(header, pseudonym=lambda _: "")
    hu_zyx = np.empty(volume.grid.shape_zyx, np.float32)
    for target, hu_yx in zip(hu_zyx, _hounsfield(header, ordered), strict=True):
        target[:] = hu_yx
    return CtVolume(hu_zyx=hu_zyx, grid=volume.grid)


def _hounsfield(header: SliceHeader, frames: Sequence[SliceHeader]) -> Iterator[NDArray[np.float32]]:
    """Frames of an object, rescaled one by one, in the order asked for."""
    numbers = [int(frame.path.name.removeprefix(_FRAME)) for frame in frames]
    for frame, stored in zip(frames, stored_frames(header, numbers), strict=True):
        yield (stored.astype(np.float64) * (frame.slope or 0.0) + (frame.intercept or 0.0)).astype(np.float32)


def _as_slice(header: SliceHeader, group: FrameGroups) -> SliceHeader:
    return replace(
        header,
        path=header.path / f"{_FRAME}{group.number:05d}",
        frames=1,
        images_in_acquisition=header.frames,  # all in one file, whose length was checked
        spacing_mm_yx=group.spacing_mm_yx,
        position_mm_xyz=group.position_mm_xyz,
        orientation=group.orientation,
        slope=group.slope,
        intercept=group.intercept,
        rescale_type="",  # judged by `_kind_faults`, once for the object
        stored_bytes=header.stored_bytes // header.frames,
    )


def _kind_faults(dataset: Dataset, groups: tuple[FrameGroups, ...], path: Path) -> list[Fault]:
    """IN-10, IN-12: frames that are a part only, or show something other than Hounsfield units."""
    faults = []
    with parsing(path, "has a broken InConcatenationTotalNumber"):
        parts = dataset.get("InConcatenationTotalNumber")
    if text_of(dataset, "ConcatenationUID") and parts != 1:
        problem = f"is one of {parts or 'several'} parts of a concatenation"
        faults.append(Fault("IN-12", path, problem, "join the parts into one object"))
    shown_as = text_of(dataset, "PixelPresentation")
    if shown_as not in ("MONOCHROME", ""):
        problem = f"PixelPresentation (0008,9205) is {shown_as}, expected MONOCHROME"
        faults.append(Fault("IN-12", path, problem, "choose the CT, not a map made from it"))
    other = sorted({group.rescale_type for group in groups} - {*HOUNSFIELD})
    if other:
        problem = f"RescaleType (0028,1054) is {', '.join(other)}, expected HU"
        faults.append(Fault("IN-10", path, problem, "choose the reconstruction in Hounsfield units"))
    return faults


def _phase_faults(groups: tuple[FrameGroups, ...], path: Path) -> list[Fault]:
    """IN-04: several frames at one place, as phases and energies have them."""
    placed = [group for group in groups if group.position_mm_xyz and group.orientation == groups[0].orientation]
    if len(placed) < 2 or placed[0].orientation is None:
        return []
    positions = np.array([group.position_mm_xyz for group in placed])
    heights = positions @ axes(placed[0].orientation)[:, 2]
    order = np.argsort(heights, kind="stable")
    steps = np.linalg.norm(np.diff(positions[order], axis=0), axis=1)
    doubles = int(np.count_nonzero(steps < SAME_POSITION_MM))
    if not 0 < doubles < len(placed) - 1:
        return []
    problem = f"holds {len(placed)} frames at {len(placed) - doubles} places: several phases or reconstructions"
    return [Fault("IN-04", path, problem, "export each phase as a series of its own")]
