"""The elements of a DICOM file, walked from the first to the pixels.

What an element contains lies within it, and no length decides how much is read. GDCM, which decodes the pixels later,
follows sequences in sequences by recursion and dies of some ten thousand of them; so their depth and the count of
elements are bounded here, before it sees the file.
Source: PS3.5 sections 7.1 (elements) and 7.5 (sequences).
"""

import contextlib
import math
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.tag import BaseTag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR, TEXT_VR_DELIMS

DEPTH_AT_MOST = 64
ELEMENTS_AT_MOST = 1_000_000
VALUE_AT_MOST_BYTES = 1 << 16  # of a value that we use

_WINDOW_BYTES = 1 << 14
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ITEM_BYTES = (b"\xfe\xff\0\xe0", b"\xff\xfe\xe0\0")
_SYNTAX, _PIXELS = 0x00020010, (0x7FE00008, 0x7FE00009, 0x7FE00010)
_IMPLICIT, _BIG_ENDIAN, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_SHORT = {str(vr).encode() for vr in STANDARD_VR - EXPLICIT_VR_LENGTH_32}
_LONG = {str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32}


class BrokenHeader(ValueError):
    """The bytes are no DICOM data set, or one that nobody writes; says where and why."""


class TornHeader(BrokenHeader):
    """The bytes do not fit together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """What a walk found.

    Attributes:
        syntax: TransferSyntaxUID, "" if there is none.
        values: raw bytes of the wanted elements, by tag.
        pixels_at: where the element of the pixels begins; the file's end where there is none.
        torn: the element that does not end within the file, if one does not; nothing was read from there on.
        behind: what is wrong with the pixels' element or with what follows it.
    """

    syntax: str
    values: dict[int, bytes]
    pixels_at: int
    torn: str = ""
    behind: str = ""


@dataclass(slots=True)
class _Container:
    """A sequence or an item that the walk is in.

    Attributes:
        end: None where a delimiter ends it.
        implicit: whether what it holds says no types.
        opaque: a sequence of pixel fragments, whose items are no elements.
    """

    sequence: bool
    end: int | None
    implicit: bool
    opaque: bool = False


class _Element(NamedTuple):  # made a hundred times a slice; a frozen dataclass takes four times as long
    """An element's head: `length` None where a delimiter ends its value."""

    tag: int
    vr: bytes
    value_at: int
    length: int | None


class _Window:
    """Bytes of a file by their place, a few kilobytes at a time."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._start, self._bytes = stream, 0, b""

    def at(self, place: int, length: int) -> bytes:
        """So many bytes, fewer at the file's end."""
        inside = place - self._start
        if inside < 0 or inside + length > len(self._bytes):
            self._stream.seek(place)
            self._start, self._bytes, inside = place, self._stream.read(max(_WINDOW_BYTES, length)), 0
        return self._bytes[inside : inside + length]


def walked(stream: BinaryIO, size: int, wanted: frozenset[int]) -> Elements:
    """Walk a DICOM file's elements, past the pixels to the end.

    Args:
        stream: the whole file, of `size` bytes, which begins with 128 free bytes and the mark.
        wanted: tags, group first, of elements outside of any sequence whose values to keep.
    Raises: BrokenHeader.
    """
    window = _Window(stream)
    meta = _Walk(window, size, implicit=False, order="<")
    at = meta.run(132, wanted | {_SYNTAX}, stop=lambda tag: tag >> 16 != 2)
    syntax = meta.values.get(_SYNTAX, b"").decode("latin-1").strip(" \0")
    if meta.torn or syntax == _DEFLATED:
        return Elements(syntax=syntax, values={}, pixels_at=size, torn=meta.torn)
    order = ">" if syntax == _BIG_ENDIAN else "<"
    walk = _Walk(window, size, implicit=syntax == _IMPLICIT, order=order)
    at = walk.run(at, wanted, stop=_PIXELS.__contains__)
    rest = _Walk(window, size, implicit=syntax == _IMPLICIT, order=order)  # GDCM reads on behind the pixels, too
    behind = ""
    try:
        end = rest.run(at, frozenset(), stop=lambda _: False)
        behind = rest.torn or (f"{size - end} bytes that are no element" if end < size else "")
    except TornHeader as error:
        behind = str(error)
    values = {tag: value for tag, value in meta.values.items() if tag in wanted} | walk.values
    return Elements(syntax=syntax, values=values, pixels_at=at, torn=walk.torn, behind=behind)


class _Walk:
    """One pass over the elements of the file meta information, or of the data set."""

    def __init__(self, window: _Window, size: int, *, implicit: bool, order: str) -> None:
        self._window, self._size, self._implicit = window, size, implicit
        self._head, self._short, self._long = (struct.Struct(order + form).unpack_from for form in ("HHI", "H", "I"))
        self._inside: list[_Container] = []
        self.values: dict[int, bytes] = {}
        self.torn = ""

    def run(self, at: int, wanted: frozenset[int], stop: Callable[[int], bool]) -> int:
        """From byte `at` on; returns where the first element that stops it begins, else the file's end."""
        inside = self._inside
        for _ in range(ELEMENTS_AT_MOST):
            while inside and (end := inside[-1].end) is not None and at >= end:
                inside.pop()
            element = self._element(at)
            if element is None and not inside:
                return at
            if element is None:
                at = self._escaped(at)
            elif inside and (element.tag in (_ITEM_END, _SEQUENCE_END) or inside[-1].sequence):
                at = self._delimited(element, at)
            elif not inside and stop(element.tag):
                return at
            else:
                at = self._passed(element, at, wanted)
            if self.torn:
                return self._size
        raise BrokenHeader(f"more than {ELEMENTS_AT_MOST} elements")

    def _limit(self) -> int:
        """Where the innermost container that says it ends, does."""
        for container in reversed(self._inside):
            if container.end is not None:
                return container.end
        return self._size

    def _element(self, at: int) -> _Element | None:
        """The element, item or delimiter at a byte; None where there is no room for one, or none of a known type."""
        head = self._window.at(at, 12)
        if len(head) < 8 or (self._inside and at + 8 > self._limit()):
            return None
        group, element, length = self._head(head)
        tag, vr, value_at = group << 16 | element, b"", at + 8
        implicit = self._inside[-1].implicit if self._inside else self._implicit
        if not implicit and group != 0xFFFE:
            vr = head[4:6]
            if vr in _SHORT:
                (length,) = self._short(head, 6)
            elif vr in _LONG:
                (length,), value_at = self._long(head, 8) if len(head) == 12 else (_UNDEFINED,), at + 12
            elif self._inside:
                return None
            elif vr.isalpha() and vr.isupper():  # GDCM answers a type that does not exist by reserving 700 MB
                raise TornHeader(f"value representation {vr.decode()} of {BaseTag(tag)} at byte {at}")
            else:
                vr = b""  # some writers go over to implicit types within a file
        return _Element(tag, vr, value_at, None if length == _UNDEFINED else length)

    def _delimited(self, element: _Element, at: int) -> int:
        """Past the delimiter of the innermost container, or into the next item of a sequence."""
        here = self._inside[-1]
        if element.tag in (_ITEM_END, _SEQUENCE_END):
            if here.end is None and here.sequence == (element.tag == _SEQUENCE_END):
                self._inside.pop()
            return element.value_at
        end = None if element.length is None else element.value_at + element.length
        if element.tag != _ITEM or (end is not None and end > self._limit()):
            return self._escaped(at)
        if here.opaque and end is not None:
            return end
        self._enter(_Container(False, end, here.implicit), at)
        return element.value_at

    def _passed(self, element: _Element, at: int, wanted: frozenset[int]) -> int:
        """Past an element, or into it if it is a sequence."""
        tag, vr, start, length = element.tag, element.vr, element.value_at, element.length
        if length is None:
            if vr not in (b"", b"SQ", b"UN", b"OB", b"OW"):
                raise TornHeader(f"{BaseTag(tag)} at byte {at} is of undefined length, which {vr.decode()} cannot be")
            self._enter(_Container(True, None, vr in (b"", b"UN"), opaque=vr in (b"OB", b"OW")), at)
            return start
        if start + length > self._limit():
            if self._inside:
                return self._escaped(at)
            self.torn = f"{BaseTag(tag)} at byte {at} declares {length} bytes, {max(0, self._size - start)} follow"
            return start
        if vr == b"SQ" or (not vr and length >= 8 and self._window.at(start, 4) in _ITEM_BYTES):
            self._enter(_Container(True, start + length, not vr), at)
            return start
        if tag in wanted and not self._inside:
            if tag in self.values:
                raise BrokenHeader(f"{BaseTag(tag)} is there twice")
            if length > VALUE_AT_MOST_BYTES:
                raise BrokenHeader(f"{BaseTag(tag)} is of {length} bytes")
            self.values[tag] = self._window.at(start, length)
        return start + length

    def _enter(self, container: _Container, at: int) -> None:
        self._inside.append(container)
        if len(self._inside) > 2 * DEPTH_AT_MOST:  # a sequence and its item count as one
            raise BrokenHeader(f"more than {DEPTH_AT_MOST} sequences in one another at byte {at}")

    def _escaped(self, at: int) -> int:
        """Out of the innermost container that says where it ends, past what cannot be understood in it.

        Others skip such sequences by their length, too; where none says its length, there is no way on.
        """
        while self._inside:
            container = self._inside.pop()
            if container.end is not None:
                return container.end
        raise TornHeader(f"a sequence is broken at byte {at}")


def numbers(text: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite numbers from a backslash-separated text, else None."""
    try:
        found = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def decoded(value: bytes, charsets: str) -> str:
    """A text without padding, by SpecificCharacterSet (0008,0005); what that does not explain is read as UTF-8."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii").strip(" \0")
    if charsets:
        with warnings.catch_warnings(), contextlib.suppress(LookupError, UnicodeError, UserWarning):
            warnings.simplefilter("error")  # pydicom warns where it replaces or guesses
            encodings = convert_encodings(charsets.split("\\"))
            return decode_bytes(value, encodings, TEXT_VR_DELIMS).strip(" \0")
    return value.decode("utf-8", errors="backslashreplace").strip(" \0")
