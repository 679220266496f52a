"""The readable header of a NRRD file: geometry that is really stated, and voxels in the same file.

ITK assumes 1 mm and the origin where a header is silent, and follows a header to data files that nobody hashed.
Source: the format's definition (https://teem.sourceforge.net/nrrd/format.html).
"""

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from femseg.errors import Refusal
from femseg.formats.plausible import voxel_count_faults
from femseg.formats.stated import Packing, StatedVolume, grid_from_axes, has_odd_bytes, header_fault, sizes
from femseg.formats.voxel_bytes import VoxelLayout

HEADER_AT_MOST_BYTES = 1 << 20
LINES_AT_MOST = 10_000
_MAGIC = re.compile(rb"NRRD000[1-6]$")
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_DTYPES = {name: dtype for dtype, names in _TYPES.items() for name in names}
_ENCODINGS: dict[str, Packing] = {"raw": "none", "gzip": "gzip", "gz": "gzip"}
_TO_LPS = {  # what its x and y axes are multiplied by
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
}
_NEEDED = ("type", "dimension", "sizes", "encoding", "space", "space directions", "space origin")
_ALIASES = {"centers": "centerings", "dataskip": "byte skip", "byteskip": "byte skip", "lineskip": "line skip"}


def read_nrrd_header(stream: BinaryIO, path: Path) -> StatedVolume:
    """Judge a NRRD header and leave the stream where its voxels begin.

    Raises: Refusal IN-18 naming the field, IN-24 (exit 5) if it declares too many voxels.
    """
    fields, length = _fields(stream, path)
    for detached in ("data file", "datafile"):
        if detached in fields:
            problem = f"keeps its voxels elsewhere ({fields[detached][:80]})"
            raise header_fault(path, problem, "store header and voxels in one file")
    for name in _NEEDED:
        if name not in fields:
            raise header_fault(path, f"does not state its {name}")
    for name in ("byte skip", "line skip"):
        if fields.get(name, "0") != "0":
            raise header_fault(path, f"{name} is {fields[name][:20]}, expected none", "write it with a current tool")
    shape = sizes(fields["sizes"])
    if fields["dimension"] != "3" or shape is None:
        problem = f"sizes is {fields['sizes'][:80]!r} in {fields['dimension'][:20]!r} dimensions, expected three"
        raise header_fault(path, problem, "store one 3-D volume per file")
    if faults := voxel_count_faults(shape, str(path)):
        raise Refusal(faults)
    packing = _ENCODINGS.get(fields["encoding"].lower())
    if packing is None:
        problem = f"encoding is {fields['encoding'][:20]!r}, raw and gzip are read"
        raise header_fault(path, problem, "write it raw or gzip")
    layout = VoxelLayout(shape_xyz=shape, dtype=_dtype(fields, path))
    steps, origin = _geometry(fields, path)
    try:
        grid = grid_from_axes(shape, steps, origin)
    except ValueError as error:
        raise header_fault(path, str(error), "write the file again with its true geometry") from None
    return StatedVolume(layout=layout, grid=grid, packing=packing, header_bytes=length)


def _fields(stream: BinaryIO, path: Path) -> tuple[dict[str, str], int]:
    """Every field by its name in lower case, and the header's length; key/value pairs and comments left out."""
    magic = stream.readline(64)
    if not _MAGIC.match(magic.rstrip(b"\r\n")):
        problem = f"starts with {magic[:8]!r}, expected b'NRRD0001' to b'NRRD0006'"
        raise header_fault(path, problem, "make sure that the file is what its name says")
    fields: dict[str, str] = {}
    length = len(magic)
    for _ in range(LINES_AT_MOST):
        line = stream.readline(HEADER_AT_MOST_BYTES - length)
        length += len(line)
        text = line.rstrip(b"\r\n").decode("latin-1")
        if line.endswith(b"\n") and not text:
            return fields, length
        if not line.endswith(b"\n"):
            break
        name, colon, value = text.partition(": ")
        if text.startswith("#") or ":=" in text.partition(": ")[0]:
            continue
        name = _ALIASES.get(name.strip().lower(), name.strip().lower())
        if not colon and not (text.endswith(":") and name):
            raise header_fault(path, f"has the line {text[:60]!r}, no field", "write it with a current tool")
        if has_odd_bytes(line, free_text=name not in (*_NEEDED, "endian", "byte skip", "line skip")):
            raise header_fault(path, f"has odd bytes in its field {name[:40]!r}", "write it with a current tool")
        if name in fields:
            raise header_fault(path, f"states its {name[:40]} twice", "keep the right one")
        fields[name] = value.strip()
    problem = f"no blank line ends its header within {length} bytes ({LINES_AT_MOST} lines at most)"
    raise header_fault(path, problem, "copy the file again from its archive")


def _dtype(fields: dict[str, str], path: Path) -> np.dtype[np.generic]:
    code = _DTYPES.get(" ".join(fields["type"].lower().split()))
    if code is None:
        problem = f"type is {fields['type'][:20]!r}, expected one real number per voxel"
        raise header_fault(path, problem, "store integers or floating-point numbers")
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower(), "")
    if code[1] != "1" and not order:
        raise header_fault(path, f"endian is {fields.get('endian', 'missing')[:20]}, expected little or big")
    return np.dtype(order + code)


def _geometry(fields: dict[str, str], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps along x, y and z as columns, and the origin; LPS millimetres."""
    signs = _TO_LPS.get(fields["space"].lower())
    if signs is None:
        raise header_fault(
            path,
            f"space is {fields['space'][:40]!r}: where left, back and head are is unknown",
            "write it in left-posterior-superior",
        )
    units = fields.get("space units", "")
    if not set(re.findall(r'"(.*?)"', units)) <= {"mm", "millimeter", "millimetre", "millimeters", ""}:
        raise header_fault(path, f"space units are {units[:40]}, expected mm", "write it in millimetres")
    vectors = [_vector(text) for text in re.findall(r"\(.*?\)|none", fields["space directions"])]
    origin = _vector(fields["space origin"])
    if len(vectors) != 3 or None in vectors or origin is None:
        problem = f"space directions {fields['space directions'][:80]} or origin {fields['space origin'][:40]} unusable"
        raise header_fault(path, problem)
    return np.array(signs)[:, None] * np.array(vectors, np.float64).T, np.array(signs) * np.array(origin)


def _vector(text: str) -> tuple[float, float, float] | None:
    inside = text.strip()
    if not (inside.startswith("(") and inside.endswith(")")):
        return None
    try:
        x, y, z = (float(part) for part in inside[1:-1].split(","))
    except ValueError:
        return None
    return x, y, z
