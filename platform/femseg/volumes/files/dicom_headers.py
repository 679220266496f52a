"""The header of one DICOM slice, read in a fraction of a millisecond, and proof that its pixels are all there.

Values are taken as raw bytes, which costs a quarter of pydicom's parsing; what cannot be read as its kind counts as
missing, so that a later check names the tag.
"""

import hashlib
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pydicom import config
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from femseg.errors import Fault, Refusal
from femseg.volumes.files.dicom_structure import BrokenHeader, Elements, walked
from femseg.volumes.files.opening import opened

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
_SHORTS = {name: Tag(name) for name in ("SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit")}
_TAGS = frozenset(map(int, [*_TEXT.values(), *_SHORTS.values()]))
IMPLICIT_VR, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
READABLE_SYNTAXES = frozenset(
    {IMPLICIT_VR, "1.2.840.10008.1.2.1", BIG_ENDIAN, "1.2.840.10008.1.2.5"}  # the last: run-length encoding
    | {f"1.2.840.10008.1.2.4.{jpeg}" for jpeg in (50, 51, 57, 70, 80, 81, 90, 91)}
)
_EXPORT = "export the series again with its true BitsAllocated, BitsStored and HighBit"
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
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size == 0:
            raise unreadable(path, "is empty (0 bytes)")
        stream.seek(128)
        if stream.read(4) != b"DICM":
            raise unreadable(path, f"is no DICOM file ({size} bytes, no 'DICM' mark at byte 128)")
        return _parsed(path, stream, size)


def _parsed(path: Path, stream: BinaryIO, size: int) -> SliceHeader | OtherObject:
    elements, syntax = _elements(path, stream, size)
    text = {name: _text(elements.values, tag) for name, tag in _TEXT.items()}
    shorts = {name: _short(elements.values, tag, syntax) for name, tag in _SHORTS.items()}
    if syntax not in READABLE_SYNTAXES:
        return _header(path, text, shorts, syntax, 0)  # refused later, once for the whole series
    lead = 8 if syntax == IMPLICIT_VR else 12  # tag, perhaps type, length
    stream.seek(elements.pixels_at)
    element = stream.read(lead)
    if len(element) < lead:
        kind = uid_name(text["SOPClassUID"])  # the UID itself where it is not in the standard: cut short, perhaps
        if kind != text["SOPClassUID"] and not kind.endswith("Image Storage"):
            return OtherObject(path=path, kind=kind)
        because = f" ({elements.torn})" if elements.torn else ""
        raise unreadable(path, f"ends after {size} bytes, before its pixel data{because}")
    (length,) = struct.unpack_from(">I" if syntax == BIG_ENDIAN else "<I", element, lead - 4)
    header = _header(path, text, shorts, syntax, stream.tell())
    if (length == _UNDEFINED_LENGTH) != syntax.is_encapsulated:
        raise unreadable(path, f"says {syntax.name}, yet its pixels are stored otherwise")
    if syntax.is_encapsulated:
        _check_fragments(header, stream, size)
    else:
        _check_length(header, length, size)
    if elements.behind:
        raise unreadable(path, f"has odd bytes behind its pixel data: {elements.behind}")
    _check_bits(path, shorts["BitsAllocated"], shorts["BitsStored"], shorts["HighBit"])
    return header


def _elements(path: Path, stream: BinaryIO, size: int) -> tuple[Elements, UID]:
    """All our tags up to the pixels, and the transfer syntax."""
    try:
        elements = walked(stream, size, _TAGS)
    except BrokenHeader as error:
        raise unreadable(path, f"has a broken header: {error}") from None
    syntax = UID(elements.syntax, validation_mode=config.IGNORE)
    if syntax.name == str(syntax):
        raise unreadable(path, f"has no TransferSyntaxUID of the standard ('{syntax[:80]}')")
    return elements, syntax


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


def _text(values: Mapping[int, bytes], tag: BaseTag) -> str:
    return values.get(tag, b"").decode("utf-8", errors="backslashreplace").strip(" \0")


def _numbers(text: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite numbers from a backslash-separated text, else None."""
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _short(values: Mapping[int, bytes], tag: BaseTag, syntax: UID) -> int | None:
    value = values.get(tag, b"")
    return int.from_bytes(value, "big" if syntax == BIG_ENDIAN else "little") if len(value) == 2 else None


def _check_bits(path: Path, allocated: int | None, stored: int | None, highest: int | None) -> None:
    """The three numbers that say which bits of a pixel count; one that is wrong shifts or cuts values."""
    if allocated is None:
        return
    stored = allocated if stored is None else stored
    highest = allocated - 1 if highest is None else highest
    if allocated not in (1, 8, 16, 32) or not 0 < stored <= allocated or highest != stored - 1:
        raise unreadable(path, f"stores {stored} of {allocated} bits with bit {highest} as the highest", _EXPORT)


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
