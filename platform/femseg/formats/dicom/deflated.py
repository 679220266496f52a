"""DICOM files that are not as PS3.10 writes them, opened as if they were.

Deflated ones hold the same data set in Explicit VR Little Endian (PS3.5 annex A.5). Those of old archives and of
network dumps lack the preamble with its mark, and as a rule the transfer syntax, which their first element shows.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

from femseg.errors import Refusal
from femseg.files.plain import opened
from femseg.formats.voxel_bytes import UNPACKED_RATIO_AT_MOST

INFLATED_BYTES_AT_MOST = 300 << 20  # an enhanced CT of 600 frames of 512 × 512 in 16 bits
_RATIO_MATTERS_BYTES = 128 << 20  # a label map of 512 frames of 512 × 512 packs a thousandfold, and is right
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT = b"1.2.840.10008.1.2.1\0\0\0"
_META_START, _META_LENGTH_AT = 132, 140  # (0002,0000) UL 4: its tag, type and length take eight bytes
_CHUNK_BYTES = 1 << 20
MARK_BYTES = 132  # a DICOM file begins with 128 free bytes and the mark
ADDED = b"femseg".ljust(128, b"\0")  # our preamble before what has none
_TYPES, _LONG = (frozenset(str(vr).encode() for vr in types) for types in (STANDARD_VR, EXPLICIT_VR_LENGTH_32))
_FIRST_VALUES_AT_MOST = 1024


def is_bare(head: bytes) -> bool:
    """Whether the first `MARK_BYTES` of a file are a data set's, without preamble and mark.

    That is where two elements follow in ascending order, of group 0008, or of 0002 where meta information is there.
    """
    at, last = 0, 0
    for seen in range(2):
        if len(head) < at + 12:
            return seen > 0
        group, element, length = struct.unpack_from("<HHI", head, at)
        value_at, vr = at + 8, head[at + 4 : at + 6]
        if vr in _LONG:
            (length,), value_at = struct.unpack_from("<I", head, at + 8), at + 12
        elif vr in _TYPES:
            (length,) = struct.unpack_from("<H", head, at + 6)
        if group not in (2, 8) or group << 16 | element <= last or length % 2 or length > _FIRST_VALUES_AT_MOST:
            return False
        at, last = value_at + length, group << 16 | element
    return True


def _added(head: bytes) -> bytes:
    """What PS3.10 has before a bare data set; where its meta information is there, the preamble alone."""
    if head[:2] == b"\2\0":
        return ADDED + b"DICM"
    syntax = b"1.2.840.10008.1.2.1\0" if head[4:6] in _TYPES else b"1.2.840.10008.1.2\0"
    element = struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax)) + syntax
    return ADDED + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(element)) + element


@contextmanager
def dicom_stream(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A DICOM file's bytes and how many they are, inflated where they are deflated, with a preamble where it has none.

    Raises: Refusal IN-14 if the deflated part is broken, IN-24 if it grows beyond 300 MiB, or beyond 128 MiB and
        200 times what was read of it by then, IN-26 if it cannot be opened.
    """
    with opened(path) as stream:
        head = stream.read(1024)
        stream.seek(0)
        if head[128:MARK_BYTES] != b"DICM" and is_bare(head[:MARK_BYTES]):
            whole = io.BytesIO(_added(head) + stream.read(INFLATED_BYTES_AT_MOST))
            yield whole, len(whole.getbuffer())
            return
        if head[128:MARK_BYTES] != b"DICM" or _DEFLATED not in head:
            yield stream, os.fstat(stream.fileno()).st_size
            return
        meta_end = _META_LENGTH_AT + 4 + int.from_bytes(head[_META_LENGTH_AT : _META_LENGTH_AT + 4], "little")
        if head[_META_START : _META_START + 4] != b"\2\0\0\0" or head.find(_DEFLATED) + len(_DEFLATED) > meta_end:
            yield stream, os.fstat(stream.fileno()).st_size  # the words stand elsewhere in the header
            return
        meta = stream.read(min(meta_end, 1 << 20)).replace(_DEFLATED, _EXPLICIT, 1)
        inflated = io.BytesIO()
        inflated.write(meta)
        for chunk in _inflated(path, stream):
            inflated.write(chunk)
        size = inflated.tell()
        inflated.seek(0)
        yield inflated, size


def _inflated(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    """The rest of the stream, inflated up to the end mark; PS3.5 A.5 pads it to an even length with one zero byte.

    Some writers leave gzip's trailer behind the mark (RFC 1952: CRC-32 and length); it is taken where it is right.
    """
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    found = taken = crc = 0
    while not unpacker.eof:  # behind the mark, `unconsumed_tail` may stay as it is for ever
        packed = unpacker.unconsumed_tail or stream.read(_CHUNK_BYTES)
        try:
            chunk = unpacker.decompress(packed, _CHUNK_BYTES)
        except zlib.error as error:
            raise _broken(path, str(error)) from None
        if not packed and not chunk:
            raise _broken(path, "its deflated part ends too early")
        found, taken = found + len(chunk), taken + len(packed) - len(unpacker.unconsumed_tail)
        at_most = min(INFLATED_BYTES_AT_MOST, max(_RATIO_MATTERS_BYTES, UNPACKED_RATIO_AT_MOST * taken))
        if found > at_most:
            problem = f"unpacks to more than {at_most >> 20} MiB from its first {taken} deflated bytes"
            fix = "make sure that the file is what its name says; store it without deflation, if so"
            raise Refusal.of("IN-24", path, problem, fix)
        crc = zlib.crc32(chunk, crc)
        yield chunk
    trailer = struct.pack("<II", crc, found)
    if unpacker.unused_data + stream.read(_CHUNK_BYTES) not in (b"", b"\0", trailer, trailer + b"\0"):
        raise _broken(path, "bytes follow the end mark of its deflated part")


def _broken(path: Path, problem: str) -> Refusal:
    return Refusal.of("IN-14", path, f"cannot be unpacked: {problem}", "copy the file again from its archive")
