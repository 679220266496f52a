"""What compressed pixel data say of themselves, compared with the header before any decoder sees them.

A decoder reserves what the codestream declares, not what the DICOM header does: a stream of 65 535 × 65 535 in a slice
of 512 × 512 would cost 8 GB. Read here: the RLE header (PS3.5 annex G), JPEG's and JPEG-LS's start of frame (ISO/IEC
10918-1 B.2.2, 14495-1 C.2.2), JPEG 2000's image and coding sizes (15444-1 A.5, A.6).
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

Span = tuple[int, int]  # offset in the file, length in bytes
Frame = tuple[Span, ...]  # the fragments of one frame

RLE, JPEG_2000 = "1.2.840.10008.1.2.5", ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"  # some writers leave the file format's boxes round the codestream
_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_FRAGMENTS_A_FRAME = 64


def frames_of(stream: BinaryIO, start: int, syntax: str, frames: int) -> tuple[Frame, ...]:
    """The fragments of each frame. The offset table, where there is one, is passed over: fragments say themselves
    where a codestream begins.

    Args:
        start: where the pixel data's first item, the offset table, begins.
        frames: how many the header declares.
    Raises: ValueError if the items do not end, or hold another number of frames.
    """
    size = stream.seek(0, 2)
    spans = _fragments(stream, start, size, at_most=_FRAGMENTS_A_FRAME * (frames + 1))
    found: list[list[Span]] = []
    for span in spans:
        if not found or _begins_frame(stream, span, syntax):
            found.append([])
        found[-1].append(span)
    if len(found) != frames:
        raise ValueError(f"holds {len(found)} compressed frame(s), NumberOfFrames says {frames}")
    return tuple(map(tuple, found))


def _fragments(stream: BinaryIO, start: int, size: int, at_most: int) -> list[Span]:
    """Items after the offset table, up to their delimiter; always little-endian."""
    spans: list[Span] = []
    position = start
    while position + 8 <= size:
        stream.seek(position)
        group, element, length = struct.unpack("<HHI", stream.read(8))
        if (group, element) == _DELIMITER:
            return spans[1:]
        if (group, element) != _ITEM:
            break
        spans.append((position + 8, length))
        if len(spans) > at_most + 1:
            raise ValueError(f"has more than {at_most} fragments of compressed pixel data")
        position += 8 + length
    raise ValueError(f"is cut short: its compressed pixel data do not end within {size} bytes")


def _begins_frame(stream: BinaryIO, span: Span, syntax: str) -> bool:
    if syntax == RLE:
        return True  # "each frame shall be encoded in one and only one fragment"
    stream.seek(span[0])
    head = stream.read(min(span[1], 12))
    return head.startswith((b"\xff\x4f\xff\x51", JP2_SIGNATURE) if syntax in JPEG_2000 else b"\xff\xd8")


def frame_bytes(stream: BinaryIO, frame: Frame) -> bytes:
    """The codestream of one frame, its fragments joined."""
    parts = []
    for offset, length in frame:
        stream.seek(offset)
        parts.append(stream.read(length))
    return b"".join(parts)


_START_OF_FRAME = {  # by transfer syntax, the one or two kinds of frame that it allows
    "1.2.840.10008.1.2.4.50": (0xC0,),
    "1.2.840.10008.1.2.4.51": (0xC0, 0xC1),
    "1.2.840.10008.1.2.4.57": (0xC3,),
    "1.2.840.10008.1.2.4.70": (0xC3,),
    "1.2.840.10008.1.2.4.80": (0xF7,),
    "1.2.840.10008.1.2.4.81": (0xF7,),
}
_ANY_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_SIZ = b"\xff\x4f\xff\x51"
_HEAD_BYTES = 1 << 16  # markers before the sizes: comments, tables, thumbnails
_TILES_AT_MOST = 1024  # 4096 × 4096 in tiles of 128 × 128; OpenJPEG reserves some 6 KB for each
_SMALLEST_PRECINCT, _SMALLEST_BLOCK = 4, 6  # base-2 logarithms: of a precinct's edge, of a code block's area


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelLayout:
    """The size of one frame, as a header or a codestream declares it; `signed` is None where a stream does not say."""

    rows: int
    columns: int
    samples: int
    bits: int
    signed: bool | None = None


def check_frames(stream: BinaryIO, start: int, syntax: str, frames: int, expected: PixelLayout) -> None:
    """Find the frames of compressed pixel data, and compare what each says of itself with the header.

    Args:
        start: where the pixel data's first item begins.
        expected: from the header; no size (0) where its tags are missing, which is named elsewhere.
    Raises: ValueError with what is wrong with the first bad frame.
    """
    found = frames_of(stream, start, syntax, frames)
    for frame in found if expected.rows and expected.columns else ():
        check_frame(stream, frame, syntax, expected)


def check_frame(stream: BinaryIO, frame: Frame, syntax: str, expected: PixelLayout) -> None:
    """Compare one frame's codestream with the header.

    Raises: ValueError if it is of another kind, size, depth or sign, is built to exhaust memory, or has no end mark.
    """
    head = _head(stream, frame)
    if syntax == RLE:
        _check_rle(head, sum(length for _, length in frame), expected)
        return
    found = _jpeg_2000_layout(head) if syntax in JPEG_2000 else _jpeg_layout(head, syntax)
    if (found.rows, found.columns, found.samples) != (expected.rows, expected.columns, expected.samples):
        raise ValueError(f"its codestream holds {_shown(found)}, its header says {_shown(expected)}")
    if (found.bits + 7) // 8 * 8 != expected.bits:
        raise ValueError(f"its codestream holds {found.bits}-bit samples, BitsAllocated says {expected.bits}")
    if found.signed is not None and found.signed != expected.signed:
        stream_sign, header_sign = ("signed" if sign else "unsigned" for sign in (found.signed, expected.signed))
        raise ValueError(f"its codestream holds {stream_sign} samples, PixelRepresentation says {header_sign}")
    if syntax in JPEG_2000:
        _check_coding(head)
    if b"\xff\xd9" not in _tail(stream, frame):  # it may be padded; inside a codestream these two cannot stand
        raise ValueError("its codestream is cut short: no end mark")


def _shown(layout: PixelLayout) -> str:
    return f"{layout.rows} rows × {layout.columns} columns × {layout.samples} sample(s)"


def _head(stream: BinaryIO, frame: Frame) -> bytes:
    head = b""
    for offset, length in frame:
        stream.seek(offset)
        head += stream.read(min(length, _HEAD_BYTES - len(head)))
        if len(head) >= _HEAD_BYTES:
            break
    return head


def _tail(stream: BinaryIO, frame: Frame) -> bytes:
    tail = b""
    for offset, length in reversed(frame):
        part = min(length, 64)
        stream.seek(offset + length - part)
        tail = stream.read(part) + tail
        if len(tail) >= 64:
            break
    return tail


def _check_rle(head: bytes, length: int, expected: PixelLayout) -> None:
    segments = expected.samples * max(1, expected.bits // 8)
    if len(head) < 64:
        raise ValueError(f"its run-length header has {len(head)} of 64 bytes")
    count, *offsets = struct.unpack("<16I", head[:64])
    if count != segments:
        raise ValueError(f"its run-length header says {count} segments, {expected.bits} bits need {segments}")
    used = offsets[:count]
    if used[0] != 64 or any(b <= a for a, b in zip(used, [*used[1:], length], strict=True)):
        raise ValueError(f"its run-length segments begin at {used} in {length} bytes")


def _jpeg_layout(head: bytes, syntax: str) -> PixelLayout:
    position = 2
    while position + 9 < len(head):
        if head[position] != 0xFF:
            break
        marker = head[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _ANY_START_OF_FRAME:
            if marker not in _START_OF_FRAME[syntax]:
                allowed = " or ".join(f"{kind:X}" for kind in _START_OF_FRAME[syntax])
                raise ValueError(f"its codestream is of another kind of JPEG (FF{marker:X}, expected FF{allowed})")
            bits, rows, columns, samples = struct.unpack_from(">BHHB", head, position + 4)
            return PixelLayout(rows=rows, columns=columns, samples=samples, bits=bits)
        position += 2 + int.from_bytes(head[position + 2 : position + 4], "big")
    raise ValueError("its codestream holds no JPEG frame")


def _size_marker(head: bytes) -> bytes:
    """JPEG 2000's image and tile size (SIZ) and all that follows it, from its length on."""
    start = head.find(_SIZ) if head.startswith(JP2_SIGNATURE) else 0  # some writers leave the file's boxes on
    if start < 0 or head[start : start + 4] != _SIZ or len(head) < start + 45:
        raise ValueError("its codestream holds no JPEG 2000 image size")
    return head[start + 4 :]


def _jpeg_2000_layout(head: bytes) -> PixelLayout:
    siz = _size_marker(head)
    x, y, x0, y0 = struct.unpack(">4I", siz[4:20])
    (samples,) = struct.unpack(">H", siz[36:38])
    return PixelLayout(
        rows=y - y0, columns=x - x0, samples=samples, bits=(siz[38] & 0x7F) + 1, signed=bool(siz[38] & 0x80)
    )


def _check_coding(head: bytes) -> None:
    """Capabilities, tiles (SIZ), blocks and precincts (COD): some that GDCM cannot read, or would drown in."""
    siz = _size_marker(head)
    length, capabilities, x, y = struct.unpack(">HHII", siz[:12])
    tile_x, tile_y, tile_x0, tile_y0 = struct.unpack(">4I", siz[20:36])
    if capabilities & 0x4000:
        raise ValueError("its codestream is High-Throughput JPEG 2000")
    if not (tile_x and tile_y and x > tile_x0 and y > tile_y0) or siz[39:41] != b"\1\1":
        raise ValueError("its codestream declares impossible tiles, or is subsampled")
    tiles = -(-(x - tile_x0) // tile_x) * -(-(y - tile_y0) // tile_y)
    if tiles > _TILES_AT_MOST:
        raise ValueError(f"its codestream is cut into {tiles} tiles, at most {_TILES_AT_MOST} are read")
    markers, position = siz[length:], 0
    while markers[position : position + 1] == b"\xff" and markers[position + 1 : position + 2] not in (b"\x90", b""):
        if markers[position + 1] == 0x52 and len(markers) >= position + 14:
            style, levels, width, height = markers[position + 4], *markers[position + 9 : position + 12]
            precincts = markers[position + 14 : position + 15 + levels] if style & 1 else b""
            edges = [edge for both in precincts[1:] for edge in (both & 15, both >> 4)]
            if levels > 32 or width + height + 4 < _SMALLEST_BLOCK or min(edges, default=15) < _SMALLEST_PRECINCT:
                raise ValueError("its codestream is cut into blocks too small to be an image's")
            return
        position += 2 + int.from_bytes(markers[position + 2 : position + 4], "big")
    raise ValueError("its codestream holds no JPEG 2000 coding style")
