"""Are all of a NIfTI file's voxels there, whole and finite? Looked at before SimpleITK, which would not say.

SimpleITK fills a short NIfTI file with zeros, and turns NaN and infinity into 0 HU, without a word. The bytes stream
through here in pieces of a megabyte, so a file that declares or unpacks to far too much costs no memory.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from femseg.errors import ExitCode, Fault, Refusal
from femseg.volumes.files.nifti_header import HEADER_BYTES, NiftiHeader, parse_nifti_header

_CHUNK_BYTES = 1 << 20
UNPACKED_RATIO_AT_MOST = 200
_RATIO_MATTERS_BYTES = 1 << 28


def check_nifti(path: Path, *, ct: bool) -> NiftiHeader:
    """Check header, length, checksum and finiteness of a .nii or .nii.gz file.

    Args:
        ct: a packed CT that unpacks to more than 200 times its size is refused; a mask packs that well.
    Raises: Refusal IN-16 (exit 4), IN-17, IN-18, IN-24 (exit 5); IN-26 if the file cannot be opened.
    """
    packed_bytes = path.stat().st_size
    with path.open("rb") as file:
        packed = path.name.lower().endswith(".gz")
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
        chunks = _chunks(stream, path)
        head = next(chunks, b"")
        header = parse_nifti_header(head[:HEADER_BYTES], path)
        ratio = header.expected_bytes / max(1, packed_bytes)
        if packed and ct and header.expected_bytes > _RATIO_MATTERS_BYTES and ratio > UNPACKED_RATIO_AT_MOST:
            problem = (
                f"{packed_bytes} bytes declare to unpack to {header.expected_bytes}, {ratio:.0f} times as many "
                f"(at most {UNPACKED_RATIO_AT_MOST})"
            )
            raise Refusal(
                Fault(
                    id="IN-24",
                    file=str(path),
                    problem=problem,
                    fix="make sure that the file is a CT; store it unpacked if so",
                    exit_code=ExitCode.RESOURCE,
                )
            )
        _check_voxels(head, chunks, header, path)
    return header


def _torn(path: Path, problem: str) -> Refusal:
    fix = "copy the file again from its archive"
    return Refusal(Fault(id="IN-16", file=str(path), problem=problem, fix=fix, exit_code=ExitCode.INTEGRITY))


def _chunks(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """The unpacked bytes in pieces of exactly one megabyte, the last one shorter."""
    done = 0
    while True:
        piece = bytearray()
        try:
            while len(piece) < _CHUNK_BYTES and (more := stream.read(_CHUNK_BYTES - len(piece))):
                piece += more
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _torn(path, f"gzip stream is broken after {done + len(piece)} unpacked bytes ({error})") from None
        if not piece:
            return
        done += len(piece)
        yield bytes(piece)


def _check_voxels(head: bytes, chunks: Iterator[bytes], header: NiftiHeader, path: Path) -> None:
    """Count the bytes and, for floating-point voxels, what is not finite."""
    floating, item = np.issubdtype(header.dtype, np.floating), header.dtype.itemsize
    found, rest, seen = 0, b"", 0
    wrong, first = 0, 0
    skip = header.data_offset
    piece: bytes | None = head
    while piece is not None:
        found += len(piece)
        if found > header.expected_bytes + _CHUNK_BYTES:
            raise _torn(path, f"unpacks to more than the {header.expected_bytes} bytes that its header says")
        if floating:
            data = rest + piece[skip:]
            skip = max(0, skip - len(piece))
            whole = len(data) - len(data) % item
            finite = np.isfinite(np.frombuffer(data[:whole], header.dtype))
            if not finite.all():
                first = first if wrong else seen + int(np.argmin(finite))
                wrong += int(finite.size - np.count_nonzero(finite))
            seen, rest = seen + finite.size, data[whole:]
        piece = next(chunks, None)
    if found != header.expected_bytes:
        what = "is cut short" if found < header.expected_bytes else "has trailing bytes"
        raise _torn(path, f"{what}: {found} bytes, its header says {header.expected_bytes}")
    if wrong:
        index_xyz = tuple(int(i) for i in np.unravel_index(first, header.shape_xyz, order="F"))
        problem = f"{wrong} voxels are NaN or infinite, the first at {index_xyz} (x, y, z)"
        raise Refusal(Fault(id="IN-17", file=str(path), problem=problem, fix="export the volume again from its source"))
