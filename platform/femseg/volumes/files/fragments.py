"""Compressed pixel data: which fragments of a file make up each frame (PS3.5 annex A.4)."""

import struct
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
