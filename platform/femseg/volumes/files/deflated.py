"""Deflated DICOM files, opened as what they hold: the same data set in Explicit VR Little Endian (PS3.5 annex A.5)."""

import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from femseg.errors import ExitCode, Fault, Refusal
from femseg.volumes.files.opening import opened

INFLATED_BYTES_AT_MOST = 300 << 20  # a byte of deflate can stand for a thousand
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT = b"1.2.840.10008.1.2.1\0\0\0"
_META_START, _META_LENGTH_AT = 132, 140  # (0002,0000) UL 4: its tag, type and length take eight bytes
_CHUNK_BYTES = 1 << 20


@contextmanager
def dicom_stream(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A DICOM file's bytes and how many they are, inflated where they are deflated.

    Raises: Refusal IN-14 if the deflated part is broken, IN-24 if it grows beyond 300 MiB, IN-26 if it
        cannot be opened.
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
        inflated = bytearray(meta)
        for chunk in _inflated(path, stream):
            inflated += chunk
        yield io.BytesIO(inflated), len(inflated)


def _inflated(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    found = 0
    packed = stream.read(_CHUNK_BYTES)
    while packed:
        try:
            chunk = unpacker.decompress(packed, _CHUNK_BYTES)
        except zlib.error as error:
            raise _broken(path, str(error)) from None
        found += len(chunk)
        if found > INFLATED_BYTES_AT_MOST:
            problem = f"unpacks to more than {INFLATED_BYTES_AT_MOST >> 20} MiB"
            fix = "store the file without deflation"
            raise Refusal(Fault(id="IN-24", file=str(path), problem=problem, fix=fix, exit_code=ExitCode.RESOURCE))
        yield chunk
        packed = unpacker.unconsumed_tail or stream.read(_CHUNK_BYTES)
    yield unpacker.flush()
    if not unpacker.eof:
        raise _broken(path, "its deflated part ends too early")


def _broken(path: Path, problem: str) -> Refusal:
    fix = "copy the file again from its archive"
    return Refusal(Fault(id="IN-14", file=str(path), problem=f"cannot be unpacked: {problem}", fix=fix))
