"""What a multi-frame object says of each frame, shared by all or frame by frame (PS3.3 C.7.6.16)."""

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from femseg.errors import ExitCode, Fault, Refusal
from femseg.volumes.files.deflated import dicom_stream
from femseg.volumes.files.dicom_headers import unreadable
from femseg.volumes.files.element_values import numbers, text_of

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
        fix = "export the femur alone, or split the object"
        fault = Fault(id="IN-24", file=str(path), problem=f"{problem} are read", fix=fix, exit_code=ExitCode.RESOURCE)
        raise Refusal(fault)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is judged by us
            return pydicom.dcmread(io.BytesIO(found), stop_before_pixels=True)
    except Exception as error:  # pydicom meets a broken object with any of a dozen exception types
        raise unreadable(path, f"cannot be parsed ({type(error).__name__}: {error})") from None


def frame_groups(dataset: Dataset, frames: int, path: Path) -> tuple[FrameGroups, ...]:
    """The functional groups of every frame. Raises: Refusal IN-13, IN-14 if they are missing, too few or broken."""
    try:
        shared = _first(dataset, "SharedFunctionalGroupsSequence")
        own = list(dataset.get("PerFrameFunctionalGroupsSequence") or [Dataset()] * frames)
        if len(own) == frames:
            return tuple(_of_frame(k + 1, group, shared) for k, group in enumerate(own))
    except Exception as error:
        raise unreadable(path, f"has broken functional groups ({type(error).__name__}: {error})") from None
    problem = f"describes {len(own)} frames (5200,9230), NumberOfFrames (0028,0008) says {frames}"
    raise Refusal(
        Fault(id="IN-13", file=str(path), problem=problem, fix="export the object again with its full header")
    )


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
        rescale_type=text_of(rescale, Tag("RescaleType")),
        segment=None if segment is None else int(segment),
        source_uids=tuple(_sources(own)) or tuple(_sources(shared)),
    )


def _sources(group: Dataset) -> Iterator[str]:
    for derivation in group.get("DerivationImageSequence") or ():
        for image in derivation.get("SourceImageSequence") or ():
            yield text_of(image, Tag("ReferencedSOPInstanceUID"))


def _numbers(dataset: Dataset, name: str, count: int) -> tuple[float, ...] | None:
    return numbers(text_of(dataset, Tag(name)), count)


def _number(dataset: Dataset, name: str) -> float | None:
    found = _numbers(dataset, name, 1)
    return found[0] if found else None
