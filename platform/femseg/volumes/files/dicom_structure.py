"""The elements of a DICOM file, walked from the first to the pixels.

What an element contains lies within it, and no length decides how much is read. GDCM, which decodes the pixels later,
follows sequences in sequences by recursion and dies of some ten thousand of them; so their depth and the count of
elements are bounded here, before it sees the file.
Source: PS3.5 sections 7.1 (elements) and 7.5 (sequences).
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

DEPTH_AT_MOST = 64
ELEMENTS_AT_MOST = 1_000_000
VALUE_AT_MOST_BYTES = 1 << 16  # of a value that we use

_WINDOW_BYTES = 1 << 14
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_SYNTAX, _PIXELS = 0x00020010, (0x7FE00008, 0x7FE00009, 0x7FE00010)
_IMPLICIT, _BIG_ENDIAN, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_SHORT = {str(vr).encode() for vr in STANDARD_VR - EXPLICIT_VR_LENGTH_32}
_LONG = {str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32}


class BrokenHeader(ValueError):
    """The bytes are no DICOM data set, or one that nobody writes; says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """What a walk found.

    Attributes:
        syntax: TransferSyntaxUID, "" if there is none.
        values: raw bytes of the wanted elements, by tag.
        pixels_at: where the element of the pixels begins; the file's end where there is none.
        torn: the element that does not end within the file, if one does not; nothing was read from there on.
    """

    syntax: str
    values: dict[int, bytes]
    pixels_at: int
    torn: str = ""


@dataclass(slots=True)
class _Container:
    """A sequence or an item that the walk is in; `end` is None where a delimiter ends it."""

    sequence: bool
    end: int | None
    implicit: bool


class _Window:
    """Bytes of a file by their place, a few kilobytes at a time."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._start, self._bytes = stream, 0, b""

    def head(self, at: int) -> bytes:
        """Twelve bytes, fewer at the file's end."""
        inside = at - self._start
        if inside < 0 or inside + 12 > len(self._bytes):
            self._stream.seek(at)
            self._start, self._bytes, inside = at, self._stream.read(_WINDOW_BYTES), 0
        return self._bytes[inside : inside + 12]

    def value(self, at: int, length: int) -> bytes:
        """So many bytes, at most `VALUE_AT_MOST_BYTES`."""
        inside = at - self._start
        if inside >= 0 and inside + length <= len(self._bytes):
            return self._bytes[inside : inside + length]
        self._stream.seek(at)
        return self._stream.read(length)


def walked(stream: BinaryIO, size: int, wanted: frozenset[int]) -> Elements:
    """Walk a DICOM file's elements up to its pixels.

    Args:
        stream: the whole file, of `size` bytes, which begins with 128 free bytes and the mark.
        wanted: tags, group first, of elements outside of any sequence whose values to keep.
    Raises: BrokenHeader.
    """
    window = _Window(stream)
    meta, at, torn = _level(window, 132, size, frozenset({_SYNTAX}), implicit=False, order="<", meta=True)
    syntax = meta.get(_SYNTAX, b"").decode("latin-1").strip(" \0")
    if torn or syntax == _DEFLATED:
        return Elements(syntax=syntax, values={}, pixels_at=size, torn=torn)
    implicit, order = syntax == _IMPLICIT, "><"[syntax != _BIG_ENDIAN]
    values, at, torn = _level(window, at, size, wanted, implicit=implicit, order=order, meta=False)
    return Elements(syntax=syntax, values=values, pixels_at=at, torn=torn)


def _level(
    window: _Window, at: int, size: int, wanted: frozenset[int], *, implicit: bool, order: str, meta: bool
) -> tuple[dict[int, bytes], int, str]:
    """The file meta information, or the data set: its wanted values, where it ends, and what is torn."""
    tag_length, short_length, long_length = (struct.Struct(order + form).unpack_from for form in ("HHI", "H", "I"))
    values: dict[int, bytes] = {}
    inside: list[_Container] = []
    for _ in range(ELEMENTS_AT_MOST):
        while inside and inside[-1].end is not None and at >= inside[-1].end:
            inside.pop()
        here = inside[-1] if inside else None
        limit = next((c.end for c in reversed(inside) if c.end is not None), size) if inside else size
        head = window.head(at)
        if len(head) < 8 or at + 8 > limit:
            if here is None:
                return values, at, ""  # the file's end; whoever needs pixels will miss them
            at = _escaped(inside, at)
            continue
        group, element, length = tag_length(head)
        tag = group << 16 | element
        if here is not None and tag in (_ITEM_END, _SEQUENCE_END):
            if here.end is None and here.sequence == (tag == _SEQUENCE_END):
                inside.pop()
            at += 8
            continue
        if here is not None and here.sequence:
            if tag != _ITEM:
                at = _escaped(inside, at)
                continue
            at += 8
            inside.append(_Container(False, None if length == _UNDEFINED else at + length, here.implicit))
            _require_depth(inside, at)
            continue
        if here is None and (tag in _PIXELS or (meta and group != 2)):
            return values, at, ""
        vr, start = b"", at + 8
        if not (here.implicit if here else implicit):
            vr = head[4:6]
            if vr in _SHORT:
                (length,) = short_length(head, 6)
            elif vr in _LONG:
                (length,), start = long_length(head, 8) if len(head) == 12 else (_UNDEFINED,), at + 12
            elif here is not None:
                at = _escaped(inside, at)
                continue
            elif vr.isalpha() and vr.isupper():  # GDCM answers a type that does not exist by reserving 700 MB
                raise BrokenHeader(f"value representation {vr.decode()} of {_name(tag)} at byte {at}")
            else:
                vr = b""  # some writers go over to implicit types within a file
        if length == _UNDEFINED:
            if vr not in (b"", b"SQ", b"UN", b"OB", b"OW"):
                raise BrokenHeader(f"{_name(tag)} at byte {at} is of undefined length, which {vr.decode()} cannot be")
            inside.append(_Container(True, None, vr in (b"", b"UN")))
            _require_depth(inside, at)
            at = start
            continue
        if start + length > limit:
            if here is not None:
                at = _escaped(inside, at)
                continue
            return values, size, f"{_name(tag)} at byte {at} declares {length} bytes, {max(0, size - start)} follow"
        if vr == b"SQ" or (not vr and length >= 8 and window.head(start)[:4] in (b"\xfe\xff\0\xe0", b"\xff\xfe\xe0\0")):
            inside.append(_Container(True, start + length, not vr))
            _require_depth(inside, at)
            at = start
            continue
        if here is None and tag in wanted:
            if tag in values:
                raise BrokenHeader(f"{_name(tag)} is there twice")
            if length > VALUE_AT_MOST_BYTES:
                raise BrokenHeader(f"{_name(tag)} is of {length} bytes")
            values[tag] = window.value(start, length)
        at = start + length
    raise BrokenHeader(f"more than {ELEMENTS_AT_MOST} elements")


def _escaped(inside: list[_Container], at: int) -> int:
    """Out of the innermost container that says where it ends, past what cannot be understood in it.

    Others skip such sequences by their length, too; where none says its length, there is no way on.
    """
    while inside:
        container = inside.pop()
        if container.end is not None:
            return container.end
    raise BrokenHeader(f"a sequence is broken at byte {at}")


def _require_depth(inside: list[_Container], at: int) -> None:
    if len(inside) > 2 * DEPTH_AT_MOST:  # a sequence and its item count as one
        raise BrokenHeader(f"more than {DEPTH_AT_MOST} sequences in one another at byte {at}")


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
