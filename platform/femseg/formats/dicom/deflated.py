"""Deflated DICOM files, opened as what they hold: the same data set in Explicit VR Little Endian (PS3.5 annex A.5)."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from femseg.errors import Refusal
from femseg.files.plain import opened
from femseg.formats.voxel_bytes import UNPACKED_RATIO_AT_MOST

INFLATED_BYTES_AT_MOST = 300 << 20  # an enhanced CT of 600 frames of 512 × 512 in 16 bits
_RATIO_MATTERS_BYTES = 128 << 20  # a label map of 512 frames of 512 × 512 packs a thousandfold, and is right
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT = b"1.2.840.10008.1.2.1\0\0\0"
_META_START, _META_LENGTH_AT = 132, 140  # (0002,0000) UL 4: its tag, type and length take eight bytes
_CHUNK_BYTES = 1 << 20


@contextmanager
def dicom_stream(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A DICOM file's bytes and how many they are, inflated where they are deflated.

    Raises: Refusal IN-14 if the deflated part is broken, IN-24 if it grows beyond 300 MiB, or beyond 128 MiB and
        200 times what was read of it by then, IN-26 if it cannot be opened.
    """
    with opened(path) as stream:
        head = stream.read(1024)
        stream.seek(0)
        if head[128:132] != b"DICM" or _DEFLATED not in head:
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
