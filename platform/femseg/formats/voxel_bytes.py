"""Are all of a file's voxels there, whole and finite? Looked at before SimpleITK, which would not say.

SimpleITK fills a short NIfTI file with zeros, and turns NaN and infinity into 0 HU, without a word. The bytes stream
through here in pieces of a megabyte, so a file that declares or unpacks to far too much costs no memory.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np

from femseg.errors import Fault, Refusal

Role = Literal["ct", "mask"]

_CHUNK_BYTES = 1 << 20
UNPACKED_RATIO_AT_MOST = 200
_CT_RATIO_MATTERS_VOXELS = 1 << 24  # 64 slices of 512 × 512; fewer cost less than 340 MB, however well they pack
_MASK_RATIO_MATTERS_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class VoxelLayout:
    """What a header says of the voxels that follow it.

    Attributes:
        shape_xyz: voxels along x, y, z; x runs fastest.
        dtype: of the stored voxels, with byte order.
        before: bytes of the (unpacked) stream that come before the voxels.
    """

    shape_xyz: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    before: int = 0

    @property
    def voxels(self) -> int:
        """How many."""
        return int(np.prod(self.shape_xyz, dtype=object))

    @property
    def expected_bytes(self) -> int:
        """Length of the unpacked stream."""
        return self.before + self.voxels * self.dtype.itemsize


def torn(path: Path, problem: str) -> Refusal:
    """IN-16: the bytes are not those that were written."""
    return Refusal.of("IN-16", path, problem, "copy the file again from its archive")


def plain_chunks(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """Bytes stored as they are, in pieces of exactly one megabyte, the last one shorter."""
    return _whole(lambda: stream.read(_CHUNK_BYTES), path, "file")


def gzip_chunks(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """The same of gzip members, one behind the other, check sums held. Raises: Refusal IN-16 where it is broken."""
    unpacked = cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    return _whole(lambda: unpacked.read(_CHUNK_BYTES), path, "gzip stream")


def zlib_chunks(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """The same of one zlib or gzip stream that fills the rest of the file, as MetaImage has it."""
    inflater = zlib.decompressobj(wbits=47)  # 32 + 15: zlib or gzip, as its first bytes say

    def more() -> bytes:
        while not inflater.eof:
            packed = inflater.unconsumed_tail or stream.read(1 << 16)
            if not packed:
                raise EOFError("ends before its end mark")
            if unpacked := inflater.decompress(packed, _CHUNK_BYTES):
                return unpacked
        if inflater.unused_data or stream.read(1):
            raise zlib.error("bytes follow its end mark")
        return b""

    return _whole(more, path, "zlib stream")


def _whole(more: Callable[[], bytes], path: Path, what: str) -> Iterator[bytes]:
    done, piece = 0, bytearray()
    while True:
        try:
            got = more()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise torn(path, f"{what} is broken after {done + len(piece)} unpacked bytes ({error})") from None
        piece += got
        while len(piece) >= _CHUNK_BYTES:
            yield bytes(piece[:_CHUNK_BYTES])
            del piece[:_CHUNK_BYTES]
            done += _CHUNK_BYTES
        if not got:
            break
    if piece:
        yield bytes(piece)


def ratio_faults(voxels: int, unpacked_bytes: int, packed_bytes: int, file: str, role: Role) -> list[Fault]:
    """IN-24 (exit 5): what unpacks to far more than any scan does. Masks pack well: theirs are allowed a GiB."""
    ratio = unpacked_bytes / max(1, packed_bytes)
    large = voxels > _CT_RATIO_MATTERS_VOXELS if role == "ct" else unpacked_bytes > _MASK_RATIO_MATTERS_BYTES
    if not large or ratio <= UNPACKED_RATIO_AT_MOST:
        return []
    problem = (
        f"{packed_bytes} bytes declare to unpack to {unpacked_bytes}, {ratio:.0f} times as many "
        f"(at most {UNPACKED_RATIO_AT_MOST})"
    )
    fix = "make sure that the file is what its name says; store it unpacked, or in fewer bits, if so"
    return [Fault("IN-24", file, problem, fix)]


def check_ratio(layout: VoxelLayout, packed_bytes: int, path: Path, role: Role) -> None:
    """The same of one file, before anything is unpacked. Raises: Refusal."""
    if faults := ratio_faults(layout.voxels, layout.expected_bytes, packed_bytes, str(path), role):
        raise Refusal(faults)


def check_voxels(chunks: Iterator[bytes], layout: VoxelLayout, path: Path) -> None:
    """Count the bytes and, for floating-point voxels, what is not finite.

    Args:
        chunks: the whole unpacked stream, what comes before the voxels included.
    Raises: Refusal IN-16 (exit 4) if there are more or fewer bytes than the header says, IN-17 for NaN and infinity.
    """
    floating, item = np.issubdtype(layout.dtype, np.floating), layout.dtype.itemsize
    found, rest, seen = 0, b"", 0
    wrong, first = 0, 0
    skip = layout.before
    for piece in chunks:
        found += len(piece)
        if found > layout.expected_bytes + _CHUNK_BYTES:
            raise torn(path, f"has trailing bytes: more than the {layout.expected_bytes} that its header says")
        if floating:
            data = rest + piece[skip:]
            skip = max(0, skip - len(piece))
            whole = len(data) - len(data) % item
            finite = np.isfinite(np.frombuffer(data[:whole], layout.dtype))
            if not finite.all():
                first = first if wrong else seen + int(np.argmin(finite))
                wrong += int(finite.size - np.count_nonzero(finite))
            seen, rest = seen + finite.size, data[whole:]
    if found != layout.expected_bytes:
        what = "is cut short" if found < layout.expected_bytes else "has trailing bytes"
        raise torn(path, f"{what}: {found} bytes, its header says {layout.expected_bytes}")
    if wrong:
        index_xyz = tuple(int(i) for i in np.unravel_index(first, layout.shape_xyz, order="F"))
        problem = f"{wrong} voxels are NaN or infinite, the first at {index_xyz} (x, y, z)"
        raise Refusal.of("IN-17", path, problem, "export the volume again from its source")
