"""The header of one DICOM slice, read in a fraction of a millisecond, and proof that its pixels are all there.

Values are taken as raw bytes (pydicom's own conversion costs twice the parsing); what cannot be read as its kind counts
as missing, so that a later check names the tag.
"""

import hashlib
import math
import os
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import config
from pydicom.dataset import FileDataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID
from pydicom.valuerep import STANDARD_VR

from femseg.errors import Fault, Refusal

_TEXT = {
    name: Tag(name)
    for name in [
        "ImageType",
        "SOPClassUID",
        "Modality",
        "SeriesDescription",
        "PatientID",
        "PatientSex",
        "PatientAge",
        "BurnedInAnnotation",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "Laterality",
        "ImageLaterality",
        "ImagesInAcquisition",
        "NumberOfFrames",
        "PixelSpacing",
        "RescaleIntercept",
        "RescaleSlope",
        "PhotometricInterpretation",
    ]
}
_SHORTS = {name: Tag(name) for name in ("SamplesPerPixel", "Rows", "Columns", "BitsAllocated")}
_TAGS: list[BaseTag | int] = [*_TEXT.values(), *_SHORTS.values()]
_PIXEL_TAGS = (Tag("PixelData"), Tag("FloatPixelData"), Tag("DoubleFloatPixelData"))
IMPLICIT_VR, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
READABLE_SYNTAXES = frozenset(
    {IMPLICIT_VR, "1.2.840.10008.1.2.1", BIG_ENDIAN, "1.2.840.10008.1.2.5"}  # the last: run-length encoding
    | {f"1.2.840.10008.1.2.4.{jpeg}" for jpeg in (50, 51, 57, 70, 80, 81, 90, 91)}
)
_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceHeader:
    """What one DICOM image file says about itself; None where a tag is missing or unreadable.

    Attributes:
        spacing_mm_yx: PixelSpacing: between rows, between columns.
        position_mm_xyz: ImagePositionPatient, the centre of the first pixel.
        orientation: ImageOrientationPatient: direction of a row, then of a column.
        pixel_offset: where the pixels' bytes start in the file.
    """

    path: Path
    patient_id: str = field(repr=False)
    sex: str
    age: str
    laterality: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    sop_class: str
    modality: str
    series_description: str = field(repr=False)
    image_type: tuple[str, ...]
    transfer_syntax: str
    photometric: str
    burned_in: bool
    rows: int | None
    columns: int | None
    samples: int
    bits_allocated: int
    frames: int
    images_in_acquisition: int | None
    spacing_mm_yx: tuple[float, ...] | None
    position_mm_xyz: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    pixel_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherObject:
    """A DICOM file that holds no image, such as a structure set or a DICOMDIR."""

    path: Path
    kind: str


def unreadable(path: Path, problem: str, fix: str = "copy the file again from its archive") -> Refusal:
    """IN-14: a file that should be a slice and is none."""
    return Refusal(Fault(id="IN-14", file=str(path), problem=problem, fix=fix))


def uid_name(uid: str) -> str:
    """What the standard calls a UID; the UID itself where it is not in the standard."""
    return UID(uid, validation_mode=config.IGNORE).name


def read_slice_header(path: Path) -> SliceHeader | OtherObject:
    """Read one DICOM file's header and check that every byte of its pixels is there.

    Raises: Refusal IN-14 if the file is empty, no DICOM, cut short, or its pixels do not fit Rows × Columns;
        IN-26 if it cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size == 0:
                raise unreadable(path, "is empty (0 bytes)")
            stream.seek(128)
            if stream.read(4) != b"DICM":
                raise unreadable(path, f"is no DICOM file ({size} bytes, no 'DICM' mark at byte 128)")
            stream.seek(0)
            return _parsed(path, stream, size)
    except OSError as error:
        raise Refusal(
            Fault(
                id="IN-26",
                file=str(path),
                problem=f"cannot be opened: {error.strerror or error}",
                fix="restore the file or its permissions, or remove it",
            )
        ) from None


def _parsed(path: Path, stream: BinaryIO, size: int) -> SliceHeader | OtherObject:
    dataset, syntax = _dataset(path, stream)
    text = {name: _text(dataset, tag) for name, tag in _TEXT.items()}
    shorts = {name: _short(dataset, tag, syntax) for name, tag in _SHORTS.items()}
    if syntax not in READABLE_SYNTAXES:
        return _header(path, text, shorts, syntax, 0)  # refused later, once for the whole series
    lead = 8 if syntax == IMPLICIT_VR else 12  # tag, perhaps type, length
    element = stream.read(lead)
    if len(element) < lead:
        kind = uid_name(text["SOPClassUID"])  # the UID itself where it is not in the standard: cut short, perhaps
        if kind != text["SOPClassUID"] and not kind.endswith("Image Storage"):
            return OtherObject(path=path, kind=kind)
        raise unreadable(path, f"ends after {size} bytes, before its pixel data")
    (length,) = struct.unpack_from(">I" if syntax == BIG_ENDIAN else "<I", element, lead - 4)
    header = _header(path, text, shorts, syntax, stream.tell())
    if (length == _UNDEFINED_LENGTH) != syntax.is_encapsulated:
        raise unreadable(path, f"says {syntax.name}, yet its pixels are stored otherwise")
    if syntax.is_encapsulated:
        _check_fragments(header, stream, size)
    else:
        _check_length(header, length, size)
    return header


def _dataset(path: Path, stream: BinaryIO) -> tuple[FileDataset, UID]:
    """All our tags up to the pixels, where the stream then stands, and the transfer syntax."""

    def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return tag in _PIXEL_TAGS

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is judged here, in our words
            dataset = read_partial(stream, stop_when=at_pixels, specific_tags=_TAGS)
        syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")), validation_mode=config.IGNORE)
        odd = {element.VR for element in (*dataset.file_meta.values(), *dataset.values())} - STANDARD_VR - {None}
    except OSError:
        raise
    except Exception as error:  # pydicom meets a broken header with any of a dozen exception types
        raise unreadable(path, f"has a broken header ({type(error).__name__}: {error})") from None
    if odd:  # GDCM answers a type that does not exist by reserving 700 MB
        raise unreadable(path, f"has a broken header (value representation {', '.join(sorted(map(repr, odd)))})")
    if syntax.name == str(syntax):
        raise unreadable(path, f"has no TransferSyntaxUID of the standard ('{syntax}')")
    return dataset, syntax


def _header(path: Path, text: dict[str, str], shorts: dict[str, int | None], syntax: UID, offset: int) -> SliceHeader:
    slope, intercept = _numbers(text["RescaleSlope"], 1), _numbers(text["RescaleIntercept"], 1)
    frames, count = _numbers(text["NumberOfFrames"], 1), _numbers(text["ImagesInAcquisition"], 1)
    return SliceHeader(
        path=path,
        patient_id=text["PatientID"],
        sex=text["PatientSex"],
        age=text["PatientAge"],
        laterality=text["ImageLaterality"] or text["Laterality"],
        study_uid=text["StudyInstanceUID"],
        series_uid=text["SeriesInstanceUID"],
        frame_of_reference_uid=text["FrameOfReferenceUID"],
        sop_class=text["SOPClassUID"],
        modality=text["Modality"],
        series_description=text["SeriesDescription"],
        image_type=tuple(part.strip() for part in text["ImageType"].split("\\")),
        transfer_syntax=str(syntax),
        photometric=text["PhotometricInterpretation"],
        burned_in=text["BurnedInAnnotation"] == "YES",
        rows=shorts["Rows"],
        columns=shorts["Columns"],
        samples=shorts["SamplesPerPixel"] or 1,
        bits_allocated=shorts["BitsAllocated"] or 0,
        frames=int(frames[0]) if frames else 1,
        images_in_acquisition=int(count[0]) if count else None,
        spacing_mm_yx=_numbers(text["PixelSpacing"], 2),
        position_mm_xyz=_numbers(text["ImagePositionPatient"], 3),
        orientation=_numbers(text["ImageOrientationPatient"], 6),
        slope=slope[0] if slope else None,
        intercept=intercept[0] if intercept else None,
        pixel_offset=offset,
    )


def _raw(dataset: FileDataset, tag: BaseTag) -> Any:
    return dataset.get_item(tag).value if tag in dataset else b""


def _text(dataset: FileDataset, tag: BaseTag) -> str:
    value = _raw(dataset, tag)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace").strip(" \0")
    return "" if value is None else str(value)


def _numbers(text: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite numbers from a backslash-separated text, else None."""
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _short(dataset: FileDataset, tag: BaseTag, syntax: UID) -> int | None:
    value = _raw(dataset, tag)
    if not isinstance(value, bytes) or len(value) != 2:
        return None
    return int.from_bytes(value, "big" if syntax == BIG_ENDIAN else "little")


def _check_length(header: SliceHeader, length: int, size: int) -> None:
    there = size - header.pixel_offset
    if there < length:
        raise unreadable(header.path, f"is cut short: {there} of {length} bytes of pixel data")
    if header.rows is None or header.columns is None:
        return  # named later as a missing tag
    pixels = header.rows * header.columns * header.samples * header.frames
    expected = (pixels * header.bits_allocated + 7) // 8
    if length not in (expected, expected + expected % 2):
        raise unreadable(
            header.path,
            f"has {length} bytes of pixel data; {header.rows} rows × {header.columns} columns of "
            f"{header.bits_allocated} bits need {expected}",
        )


def _check_fragments(header: SliceHeader, stream: BinaryIO, size: int) -> None:
    """Walk the items of compressed pixel data (always little-endian) up to their delimiter."""
    position = header.pixel_offset
    while position + 8 <= size:
        stream.seek(position)
        group, element, length = struct.unpack("<HHI", stream.read(8))
        if (group, element) == _DELIMITER:
            return
        if (group, element) != _ITEM:
            break
        position += 8 + length
    raise unreadable(header.path, f"is cut short: its compressed pixel data do not end within {size} bytes")


def pixel_digest(header: SliceHeader) -> str:
    """SHA-256 of all that decides a slice's values: its pixel bytes, transfer syntax and rescaling."""
    with header.path.open("rb") as stream:
        stream.seek(header.pixel_offset)
        digest = hashlib.file_digest(stream, "sha256")
    digest.update(f"{header.transfer_syntax} {header.slope} {header.intercept}".encode())
    return digest.hexdigest()
