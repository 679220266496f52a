"""The header of one DICOM slice, read in a fraction of a millisecond, and proof that its pixels are all there.

Values are taken as raw bytes, which costs a quarter of pydicom's parsing; what cannot be read as its kind counts as
missing, so that a later check names the tag.
"""

import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import config
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from femseg.errors import Refusal
from femseg.formats.dicom.codestream import PixelLayout, check_frames
from femseg.formats.dicom.deflated import ADDED, MARK_BYTES, dicom_stream
from femseg.formats.dicom.elements import BrokenHeader, Elements, decoded, numbers, walked

_PLAIN_TEXT = {  # fields of SliceHeader that hold a text as it stands
    "patient_id": "PatientID",
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "sex": "PatientSex",
    "age": "PatientAge",
    "study_uid": "StudyInstanceUID",
    "series_uid": "SeriesInstanceUID",
    "frame_of_reference_uid": "FrameOfReferenceUID",
    "sop_class": "SOPClassUID",
    "modality": "Modality",
    "series_description": "SeriesDescription",
    "photometric": "PhotometricInterpretation",
    "instance_uid": "SOPInstanceUID",
    "lossy_ratio": "LossyImageCompressionRatio",
    "rescale_type": "RescaleType",
}
_TEXT = {
    name: Tag(name)
    for name in [
        *_PLAIN_TEXT.values(),
        "ImageType",
        "BurnedInAnnotation",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "Laterality",
        "ImageLaterality",
        "ImagesInAcquisition",
        "NumberOfFrames",
        "PixelSpacing",
        "RescaleIntercept",
        "RescaleSlope",
        "LossyImageCompression",
        "SeriesNumber",
    ]
}
_SHORTS = {
    name: Tag(name)
    for name in ["SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"]
}
_META_KIND, _EXTENDED_OFFSETS = Tag("MediaStorageSOPClassUID"), Tag("ExtendedOffsetTable")
_CHARSETS = Tag("SpecificCharacterSet")
_TAGS = frozenset(map(int, [*_TEXT.values(), *_SHORTS.values(), _META_KIND, _EXTENDED_OFFSETS, _CHARSETS]))
IMPLICIT_VR, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
READABLE_SYNTAXES = frozenset(
    {IMPLICIT_VR, "1.2.840.10008.1.2.1", BIG_ENDIAN, "1.2.840.10008.1.2.5"}  # the last: run-length encoding
    | {f"1.2.840.10008.1.2.4.{jpeg}" for jpeg in (50, 51, 57, 70, 80, 81, 90, 91)}
)
_NUMBERS = {
    "PixelSpacing": 2,
    "ImagePositionPatient": 3,
    "ImageOrientationPatient": 6,
    "RescaleSlope": 1,
    "RescaleIntercept": 1,
}
_NO_NAME = re.compile(r"[\d.,;:'\\ eE+-]{1,100}")
_EXPORT = "export the series again with its true BitsAllocated, BitsStored and HighBit"
_UNDEFINED_LENGTH = 0xFFFFFFFF
_CHUNK_BYTES = 1 << 20
_INTEGER_PIXELS = (b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10")  # (7FE0,0010), little- and big-endian


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceHeader:
    """What one DICOM image file says about itself; None where a tag is missing or unreadable.

    Attributes:
        spacing_mm_yx: PixelSpacing: between rows, between columns.
        position_mm_xyz: ImagePositionPatient, the centre of the first pixel.
        orientation: ImageOrientationPatient: direction of a row, then of a column.
        pixel_offset: where the pixels' bytes start in the file, after inflation where it is deflated.
        stored_bytes: how many bytes follow from there, before inflation (the whole file's where it is deflated).
        lossy: whether the header says that its pixels were compressed with loss, now or earlier; by how much, if said.
        rescale_type: unit after rescaling, such as "HU"; "" where it is not said.
        bare: without the preamble and mark of PS3.10, perhaps without its transfer syntax, too.
        unread: what stands in a tag of numbers and is none, by the tag's name; "text" where it might be a name.
    """

    path: Path
    patient_id: str = field(repr=False)
    manufacturer: str = field(repr=False)
    model: str = field(repr=False)
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
    instance_uid: str = ""
    bits_stored: int = 0
    high_bit: int = 0
    signed: bool = False
    stored_bytes: int = 0
    lossy: bool = False
    lossy_ratio: str = ""
    rescale_type: str = ""
    series_number: str = ""
    bare: bool = False
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherObject:
    """A DICOM file that holds no image, such as a structure set or a DICOMDIR."""

    path: Path
    kind: str


def unreadable(path: Path, problem: str, fix: str = "copy the file again from its archive") -> Refusal:
    """IN-14: a file that should be a slice and is none."""
    return Refusal.of("IN-14", path, problem, fix)


def uid_name(uid: str) -> str:
    """What the standard calls a UID; the UID itself where it is not in the standard."""
    return UID(uid, validation_mode=config.IGNORE).name


def read_slice_header(path: Path) -> SliceHeader | OtherObject:
    """Read one DICOM file's header and check that every byte of its pixels is there.

    Raises: Refusal IN-14 if the file is empty, no DICOM, cut short, or its pixels do not fit Rows × Columns;
        IN-26 if it cannot be opened.
    """
    with dicom_stream(path) as (stream, size):
        if size == 0:
            raise unreadable(path, "is empty (0 bytes)")
        stream.seek(0)
        head = stream.read(MARK_BYTES)
        if head[128:] != b"DICM":
            raise unreadable(path, f"is no DICOM file ({size} bytes, no 'DICM' mark at byte 128)")
        found = _parsed(path, stream, size)
        return replace(found, bare=True) if head[:128] == ADDED and isinstance(found, SliceHeader) else found


def _parsed(path: Path, stream: BinaryIO, size: int) -> SliceHeader | OtherObject:
    elements, syntax = _elements(path, stream, size)
    charsets = decoded(elements.values.get(_CHARSETS, b""), "")
    text = {name: decoded(elements.values.get(tag, b""), charsets) for name, tag in _TEXT.items()}
    text["SOPClassUID"] = text["SOPClassUID"] or decoded(elements.values.get(_META_KIND, b""), "")  # of a DICOMDIR
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
    if element[:4] not in _INTEGER_PIXELS:  # floating-point pixels: a map, whatever it calls itself
        return OtherObject(path=path, kind=uid_name(text["SOPClassUID"]))
    if _EXTENDED_OFFSETS in elements.values and text["NumberOfFrames"] in ("", "1"):
        problem = "holds an ExtendedOffsetTable (7FE0,0001), which GDCM does not read in a single slice"
        raise Refusal.of("IN-12", path, problem, "export with a basic offset table, or uncompressed")
    (length,) = struct.unpack_from(">I" if syntax == BIG_ENDIAN else "<I", element, lead - 4)
    stored_bytes = min(size - stream.tell(), path.stat().st_size)  # the latter where the file is deflated
    header = replace(_header(path, text, shorts, syntax, stream.tell()), stored_bytes=stored_bytes)
    if (length == _UNDEFINED_LENGTH) != syntax.is_encapsulated:
        raise unreadable(path, f"says {syntax.name}, yet its pixels are stored otherwise")
    if syntax.is_encapsulated:
        _check_codestreams(header, stream)
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
    slope, intercept = numbers(text["RescaleSlope"], 1), numbers(text["RescaleIntercept"], 1)
    frames, count = numbers(text["NumberOfFrames"], 1), numbers(text["ImagesInAcquisition"], 1)
    unread = {
        name: text[name] for name, expected in _NUMBERS.items() if text[name] and not numbers(text[name], expected)
    }
    plain: dict[str, Any] = {field: text[name] for field, name in _PLAIN_TEXT.items()}
    return SliceHeader(
        **plain,
        path=path,
        laterality=text["ImageLaterality"] or text["Laterality"],
        image_type=tuple(part.strip() for part in text["ImageType"].split("\\")),
        transfer_syntax=str(syntax),
        burned_in=text["BurnedInAnnotation"] == "YES",
        rows=shorts["Rows"],
        columns=shorts["Columns"],
        samples=shorts["SamplesPerPixel"] or 1,
        bits_allocated=shorts["BitsAllocated"] or 0,
        frames=int(frames[0]) if frames else 1,
        images_in_acquisition=int(count[0]) if count else None,
        spacing_mm_yx=numbers(text["PixelSpacing"], 2),
        position_mm_xyz=numbers(text["ImagePositionPatient"], 3),
        orientation=numbers(text["ImageOrientationPatient"], 6),
        slope=slope[0] if slope else None,
        intercept=intercept[0] if intercept else None,
        pixel_offset=offset,
        bits_stored=shorts["BitsStored"] or 0,
        high_bit=shorts["HighBit"] or 0,
        signed=shorts["PixelRepresentation"] == 1,
        lossy=text["LossyImageCompression"] == "01",
        series_number=text["SeriesNumber"],
        unread={name: shown if _NO_NAME.fullmatch(shown) else "text" for name, shown in unread.items()},
    )


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
    if header.rows is None or header.columns is None or header.samples != 1:
        return  # named later, as a missing tag or as colour (whose samples may share bytes)
    pixels = header.rows * header.columns * header.samples * header.frames
    expected = (pixels * header.bits_allocated + 7) // 8
    if length not in (expected, expected + expected % 2):
        raise unreadable(
            header.path,
            f"has {length} bytes of pixel data; {header.rows} rows × {header.columns} columns of "
            f"{header.bits_allocated} bits need {expected}",
        )


def _check_codestreams(header: SliceHeader, stream: BinaryIO) -> None:
    layout = PixelLayout(
        rows=header.rows or 0,
        columns=header.columns or 0,
        samples=header.samples,
        bits=header.bits_allocated,
        signed=header.signed,
    )
    try:
        check_frames(stream, header.pixel_offset, header.transfer_syntax, header.frames, layout)
    except ValueError as error:
        raise unreadable(header.path, str(error)) from None


def pixel_digest(header: SliceHeader) -> str:
    """SHA-256 of all that decides a slice's values: its pixel bytes, transfer syntax and rescaling."""
    with dicom_stream(header.path) as (stream, _):
        stream.seek(header.pixel_offset)
        digest = hashlib.sha256()
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    digest.update(f"{header.transfer_syntax} {header.slope} {header.intercept}".encode())
    return digest.hexdigest()
