"""Single frames of a multi-frame object, as stored: rescaled by nobody, decoded where they are compressed."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, generate_uid

from femseg.formats.dicom.codestream import RLE, Frame, frame_bytes, frames_of
from femseg.formats.dicom.deflated import dicom_stream
from femseg.formats.dicom.headers import BIG_ENDIAN, SliceHeader, unreadable
from femseg.formats.itk import array_of, itk_reading

_FRAMES_AT_ONCE = 32
_WORD_CAPTURE, _BYTE_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3", "1.2.840.10008.5.1.4.1.1.7.2"


def stored_frames(header: SliceHeader, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    """The wanted frames in the order asked for, each an integer array (rows, columns), few of them in memory at a time.

    Args:
        header: of the whole object, checked: its pixels are all there and of the size that it says.
        wanted: frame numbers, counted from 1.
    Raises: Refusal IN-12 for a way of storing that is not read, IN-14, IN-16 if a frame cannot be decoded.
    """
    if not 0 < header.bits_stored <= header.bits_allocated or header.high_bit != header.bits_stored - 1:
        shown = f"{header.bits_stored} of {header.bits_allocated} bits, the highest of them bit {header.high_bit}"
        raise unreadable(header.path, f"stores {shown}")
    with dicom_stream(header.path) as (stream, _):
        if UID(header.transfer_syntax).is_encapsulated:
            frames = frames_of(stream, header.pixel_offset, header.transfer_syntax, header.frames)
            chosen = [frames[number - 1] for number in wanted]
            if header.bits_allocated == 1:
                yield from _packed_runs(stream, header, chosen)
            else:
                yield from _decoded(stream, header, chosen)
            return
        for number in wanted:
            frame = _native(stream, header, number - 1)
            yield frame if header.bits_allocated == 1 else _low_bits(frame, header.bits_allocated - header.bits_stored)


def _native(stream: BinaryIO, header: SliceHeader, index: int) -> NDArray[Any]:
    shape = (header.rows or 0, header.columns or 0)
    pixels = shape[0] * shape[1]
    if header.bits_allocated == 1:  # frames follow each other without a gap, even inside a byte (PS3.5 8.1.1)
        first, offset = divmod(index * pixels, 8)
        stream.seek(header.pixel_offset + first)
        packed = np.frombuffer(stream.read((offset + pixels + 7) // 8), np.uint8)
        return np.unpackbits(packed, bitorder="little")[offset : offset + pixels].reshape(shape)
    order = ">" if header.transfer_syntax == BIG_ENDIAN else "<"
    width = header.bits_allocated // 8
    stream.seek(header.pixel_offset + index * pixels * width)
    return np.frombuffer(stream.read(pixels * width), f"{order}{'i' if header.signed else 'u'}{width}").reshape(shape)


def _low_bits(frame: NDArray[Any], unused: int) -> NDArray[Any]:
    """Without what may stand in the bits above the stored ones; a signed value keeps its sign."""
    return frame << unused >> unused if unused > 0 else frame


def _packed_runs(stream: BinaryIO, header: SliceHeader, frames: Sequence[Frame]) -> Iterator[NDArray[Any]]:
    """Run-length encoded frames of one bit a pixel: eight pixels to a byte, each frame on its own (PS3.5 annex G)."""
    shape = (header.rows or 0, header.columns or 0)
    if header.transfer_syntax != RLE:
        raise unreadable(header.path, "holds one-bit pixels that are compressed other than by run lengths")
    pixels = shape[0] * shape[1]
    for frame in frames:
        packed = _unpacked_runs(frame_bytes(stream, frame)[64:], (pixels + 7) // 8)
        if len(packed) * 8 < pixels:
            raise unreadable(header.path, f"has a run-length frame of {len(packed) * 8} pixels, expected {pixels}")
        bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
        yield bits[:pixels].reshape(shape)


def _unpacked_runs(packed: bytes, at_most: int) -> bytes:
    """PackBits: n < 128 copies n + 1 bytes, n > 128 repeats the next byte 257 - n times."""
    unpacked = bytearray()
    position = 0
    while position + 1 < len(packed) and len(unpacked) < at_most:
        control = packed[position]
        if control < 128:
            unpacked += packed[position + 1 : position + 2 + control]
            position += 2 + control
        elif control > 128:
            unpacked += packed[position + 1 : position + 2] * (257 - control)
            position += 2
        else:
            position += 1
    return bytes(unpacked[:at_most])


def _decoded(stream: BinaryIO, header: SliceHeader, frames: Sequence[Frame]) -> Iterator[NDArray[Any]]:
    """GDCM decodes files alone: some frames at a time go through one that holds nothing but pixels, and no name."""
    with tempfile.TemporaryDirectory(prefix="femseg-") as folder:
        path = Path(folder) / "frames.dcm"
        for start in range(0, len(frames), _FRAMES_AT_ONCE):
            some = [frame_bytes(stream, frame) for frame in frames[start : start + _FRAMES_AT_ONCE]]
            _bare(header, some).save_as(path, enforce_file_format=True)
            with itk_reading(str(header.path)):
                image = sitk.ReadImage(str(path), sitk.sitkInt32, imageIO="GDCMImageIO")
            yield from array_of(image).reshape(len(some), header.rows or 0, header.columns or 0)


def _bare(header: SliceHeader, frames: list[bytes]) -> Dataset:
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = UID(header.transfer_syntax)
    bare.SOPClassUID = _BYTE_CAPTURE if header.bits_allocated == 8 else _WORD_CAPTURE
    bare.SOPInstanceUID = generate_uid()
    bare.Modality, bare.NumberOfFrames = "OT", len(frames)
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.Rows, bare.Columns = header.rows, header.columns
    bare.BitsAllocated, bare.BitsStored, bare.HighBit = header.bits_allocated, header.bits_stored, header.high_bit
    bare.PixelRepresentation = int(header.signed)
    bare.PixelData = encapsulate(frames)
    bare["PixelData"].VR = "OB"
    bare["PixelData"].is_undefined_length = True
    return bare
