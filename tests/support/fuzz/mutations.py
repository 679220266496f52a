"""Damage by a seed: bits, runs of bytes, cuts, insertions, length fields, and values that programs stumble over."""

import re
import struct

import numpy as np
from fuzz.carriers import Fields

_INTEGERS = (0, 1, 2, 3, 4, 7, 8, 12, 16, 64, 127, 128, 255, 256, 511, 32767, 32768, 65535, -1, -2)
_LENGTHS = (0, 1, 7, 0xFFFF, 0x7FFF, 0x20000000, 0x7FFFFFFF, 0x7FFFFFF0, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_FLOATS = (0.0, -0.0, 1e-30, 1e30, -1.0, float("nan"), float("inf"), float("-inf"), 0.001, 1000.0, 352.5, 1e9)
_WORDS = (
    *(b"0", b"-1", b"1e308", b"1e-308", b"nan", b"inf", b"-inf", b"999999999999999999999", b"65536", b"0x10", b""),
    *(b"1e-4", b".nan", b".inf", b"[]", b"{}", b"null", b"true", b"&a [*a]", b"*x", b"!!python/name:os.system", b"~"),
    *(b"../../etc/passwd", b"\xff\xfe", b"\xf0\x9f\xa6\xb4", b"%n%s", b"A" * 300, b"(1,0,0)", b"none", b"MET_DOUBLE"),
    *(b"gzip", b"bzip2", b"hex", b"block", b"double", b"big", b"LIST", b"True", b"1\\2\\3", b"ISO_IR 192", b"\\"),
)


def mutated(content: bytes, fields: Fields, rng: np.random.Generator) -> tuple[bytes, str]:
    """A damaged copy and how it was damaged: the field in which, where there is one, and the kind of damage."""
    kinds = (_flip, _flip, _run, _cut, _insert, _delete, _field, _field, _field, _length, _word, _word, _lines)
    kind = kinds[int(rng.integers(len(kinds)))]
    raw = bytearray(content)
    field = kind(raw, fields, rng)
    return bytes(raw), f"{field} ({kind.__name__.strip('_')})"


def _place(fields: Fields, rng: np.random.Generator) -> tuple[str, int, int]:
    """A field; voxels no more often than any other."""
    name, start, end = fields[int(rng.integers(len(fields)))]
    return name, start, max(end, start + 1)


def _flip(raw: bytearray, fields: Fields, rng: np.random.Generator) -> str:
    names = []
    for _ in range(int(rng.integers(1, 4))):
        name, start, end = _place(fields, rng)
        at = min(int(rng.integers(start, end)), len(raw) - 1)
        raw[at] ^= 1 << int(rng.integers(8))
        names.append(name)
    return names[0] if len(set(names)) == 1 else "several"


def _run(raw: bytearray, fields: Fields, rng: np.random.Generator) -> str:
    name, start, end = _place(fields, rng)
    at, length = int(rng.integers(start, end)), int(rng.integers(1, 64))
    value = rng.bytes(length) if rng.random() < 0.5 else bytes([(0, 255, 32)[int(rng.integers(3))]]) * length
    raw[at : at + length] = value[: max(0, len(raw) - at)]
    return name


def _cut(raw: bytearray, fields: Fields, rng: np.random.Generator) -> str:
    del raw[int(rng.integers(len(raw))) :]
    return "end"


def _insert(raw: bytearray, fields: Fields, rng: np.random.Generator) -> str:
    name, start, end = _place(fields, rng)
    at = int(rng.integers(start, end))
    raw[at:at] = rng.bytes(int(rng.integers(1, 32))) if rng.random() < 0.5 else raw[start : start + 64]
    return name


def _delete(raw: bytearray, fields: Fields, rng: np.random.Generator) -> str:
    name, start, end = _place(fields, rng)
    at = int(rng.integers(start, end))
    del raw[at : at + int(rng.integers(1, 64))]
    return name


def _field(raw: bytearray, fields: Fields, rng: np.random.Generator) -> str:
    """A number that programs stumble over, anywhere in a field, in either byte order."""
    name, start, end = _place(fields, rng)
    order = "<>"[int(rng.integers(2))]
    if rng.random() < 0.5:
        value = struct.pack(f"{order}h", (_INTEGERS[int(rng.integers(len(_INTEGERS)))] + 2**15) % 2**16 - 2**15)
    else:
        value = struct.pack(f"{order}f", _FLOATS[int(rng.integers(len(_FLOATS)))])
    at = start + len(value) * int(rng.integers(0, max(1, (end - start) // len(value))))
    raw[at : at + len(value)] = value[: max(0, len(raw) - at)]
    return name


def _length(raw: bytearray, fields: Fields, rng: np.random.Generator) -> str:
    """Four or two bytes at the head of a field, where DICOM and gzip keep lengths."""
    name, start, _ = _place(fields, rng)
    order = "<>"[int(rng.integers(4) == 0)]
    value = struct.pack(f"{order}I", _LENGTHS[int(rng.integers(len(_LENGTHS)))])[: 2 * int(rng.integers(1, 3))]
    at = start + 2 * int(rng.integers(0, 6))
    raw[at : at + len(value)] = value[: max(0, len(raw) - at)]
    return name


def _word(raw: bytearray, fields: Fields, rng: np.random.Generator) -> str:
    """A number or word of a field replaced by one of another kind; of another length, too."""
    name, start, end = _place(fields, rng)
    found = list(re.finditer(rb"[\w.+-]+", bytes(raw[start:end])))
    if not found:
        return name
    old = found[int(rng.integers(len(found)))]
    raw[start + old.start() : start + old.end()] = _WORDS[int(rng.integers(len(_WORDS)))]
    return name


def _lines(raw: bytearray, fields: Fields, rng: np.random.Generator) -> str:
    """A field left out, doubled, or put in the place of another."""
    name, start, end = _place(fields, rng)
    other, elsewhere, _ = _place(fields, rng)
    part = bytes(raw[start:end])
    if rng.random() < 0.4:
        del raw[start:end]
        return name
    raw[elsewhere:elsewhere] = part
    return f"{name} before {other}"
