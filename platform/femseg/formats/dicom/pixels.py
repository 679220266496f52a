"""Pixel values: of frames as stored, of slices in Hounsfield units; what rescaling and compression did to them."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, generate_uid

from femseg.errors import Fault
from femseg.formats.dicom.codestream import RLE, Frame, frame_bytes, frames_of
from femseg.formats.dicom.deflated import dicom_stream
from femseg.formats.dicom.headers import BIG_ENDIAN, SliceHeader, uid_name, unreadable
from femseg.formats.itk import array_of, itk_reading
from femseg.formats.voxel_bytes import ratio_faults

_FRAMES_AT_ONCE = 32
_WORD_CAPTURE, _BYTE_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3", "1.2.840.10008.5.1.4.1.1.7.2"
BREAK_HU = 100.0
FAULTS_NAMED = 10
_EVERY_PIXEL = 4
_TISSUE_HU = -500.0
_LOSSY_SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{jpeg}" for jpeg in (50, 51, 81, 91))
Rescaling = tuple[float | None, float | None]
HounsfieldOf = Callable[[SliceHeader], NDArray[np.float32]]


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
        unused = header.bits_allocated - header.bits_stored  # above the stored ones anything may stand
        for number in wanted:
            frame = _native(stream, header, number - 1)
            yield frame << unused >> unused if unused else frame  # a signed value keeps its sign


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


def read_slice_hu(header: SliceHeader) -> NDArray[np.float32]:
    """Hounsfield units of a slice with a file of its own, shape (rows, columns)."""
    with itk_reading(str(header.path)):
        image = sitk.ReadImage(str(header.path), sitk.sitkFloat32, imageIO="GDCMImageIO")
    return np.asarray(sitk.GetArrayFromImage(image).squeeze())


def rescaling_findings(
    slices: Sequence[SliceHeader], hu_of: HounsfieldOf = read_slice_hu
) -> tuple[list[Fault], list[str]]:
    """IN-10: rescalings that differ along a CT are applied slice by slice, if Hounsfield units go on across them.

    Where the rescaling changes from one slice to the next, both are read. Of the pixels that show tissue in either, the
    median one must not change by more than 100 HU: it moves by a few where only the anatomy changes, by the whole
    error where an intercept is wrong. Nothing is read where all slices share one rescaling, as nearly all CTs do.

    Args:
        slices: of a CT, in stack order.
        hu_of: reads a slice, where it is no file of its own but a frame.
    Returns: faults that name the slices whose rescaling is the rarer one, and a remark that rescalings differ.
    """

    def every_fourth(header: SliceHeader) -> NDArray[np.float32]:
        return hu_of(header)[::_EVERY_PIXEL, ::_EVERY_PIXEL].copy()

    kinds: list[Rescaling] = [(header.slope, header.intercept) for header in slices]
    common = Counter(kinds)
    if len(common) == 1:
        return [], []
    broken: dict[Path, Fault] = {}
    lower: NDArray[np.float32] | None = None
    for k in range(1, len(slices)):
        if kinds[k] == kinds[k - 1]:
            lower = None
            continue
        lower = every_fourth(slices[k - 1]) if lower is None else lower
        upper = every_fourth(slices[k])
        tissue = np.maximum(lower, upper) > _TISSUE_HU
        change = float(np.median(upper[tissue] - lower[tissue])) if tissue.any() else 0.0
        if abs(change) > BREAK_HU:
            odd, neighbour = (k, k - 1) if common[kinds[k]] <= common[kinds[k - 1]] else (k - 1, k)
            broken.setdefault(slices[odd].path, _fault(slices[odd], slices[neighbour], abs(change)))
        lower = upper
    remark = f"IN-10: {len(common)} different rescalings to Hounsfield units, applied slice by slice"
    return list(broken.values())[:FAULTS_NAMED], [remark]


def _fault(odd: SliceHeader, neighbour: SliceHeader, change_hu: float) -> Fault:
    problem = (
        f"rescales by slope {odd.slope:g} and intercept {odd.intercept:g}, {neighbour.path.name} beside it by "
        f"{neighbour.slope:g} and {neighbour.intercept:g}: tissue changes by {change_hu:.0f} HU from one to the next, "
        f"at most {BREAK_HU:.0f} is plausible"
    )
    return Fault("IN-10", odd.path, problem, "export the series again with its rescaling to Hounsfield units")


def lossy_remarks(slices: Sequence[SliceHeader]) -> list[str]:
    """IN-12: pixels that were compressed with loss, now or earlier, with the ratio where the header states one.

    Accepted, because a femur's outline survives a usual ratio and nobody can undo it; remarked, because nobody sees it.
    """
    lossy = [header for header in slices if header.lossy or header.transfer_syntax in _LOSSY_SYNTAXES]
    if not lossy:
        return []
    kinds = sorted({header.transfer_syntax for header in lossy} & {*_LOSSY_SYNTAXES})
    by = ", ".join(map(uid_name, kinds)) or "earlier than their present storage"
    ratios = sorted({header.lossy_ratio for header in lossy if header.lossy_ratio})
    several = f"ratios {ratios[0]} to {ratios[-1]}" if ratios else "no ratio"
    stated = f"ratio {ratios[0]}" if len(ratios) == 1 else several
    return [f"IN-12: {len(lossy)} of {len(slices)} slices compressed with loss ({by}; {stated} stated)"]


def unpacking_faults(slices: Sequence[SliceHeader], series: str, role: Literal["ct", "mask"]) -> list[Fault]:
    """IN-24: slices that all together unpack to far too much, found before any is; a single one may be all air."""
    voxels = sum((header.rows or 0) * (header.columns or 0) for header in slices)
    unpacked_bytes = voxels * slices[0].bits_allocated // 8
    return ratio_faults(voxels, unpacked_bytes, sum(header.stored_bytes for header in slices), series, role)
