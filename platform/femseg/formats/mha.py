"""The readable header of a MetaImage (.mha) file: geometry that is really stated, and voxels in the same file.

Where MetaImage does not understand a line it goes on with a default, 1 mm for instance; names are matched exactly.
Source: MetaIO's documentation (https://itk.org/Wiki/ITK/MetaIO/Documentation).
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from femseg.errors import Refusal
from femseg.formats.plausible import voxel_count_faults
from femseg.formats.stated import StatedVolume, grid_from_axes, has_odd_bytes, header_fault, numbers, sizes
from femseg.formats.voxel_bytes import VoxelLayout, torn

HEADER_AT_MOST_BYTES = 1 << 16
LINES_AT_MOST = 1000
_DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_SPACING, _ORIGIN = ("ElementSpacing", "ElementSize"), ("Offset", "Origin", "Position")
_AXES, _BIG = ("TransformMatrix", "Rotation", "Orientation"), ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
_AS_EXPECTED = {  # any other value means what we do not read
    "ObjectType": ("Image",),
    "NDims": ("3",),
    "BinaryData": ("True", "true", "1"),
    "ElementNumberOfChannels": ("1",),
    "HeaderSize": ("0",),
    "ElementToIntensityFunctionSlope": ("1",),
    "ElementToIntensityFunctionOffset": ("0",),
    "DistanceUnits": ("mm", "?"),
}
_KNOWN = {
    *(*_AS_EXPECTED, *_SPACING, *_ORIGIN, *_AXES, *_BIG, "DimSize", "ElementType", "ElementDataFile"),
    *("CompressedData", "CompressedDataSize", "CompressionLevel", "CenterOfRotation", "AnatomicalOrientation"),
}


def read_mha_header(stream: BinaryIO, path: Path, file_bytes: int) -> StatedVolume:
    """Judge a MetaImage header and leave the stream where its voxels begin.

    Raises: Refusal IN-18 naming the field, IN-16 (exit 4) if its compressed size is not that of the file, IN-24 (exit
        5) if it declares too many voxels.
    """
    fields, length = _fields(stream, path)
    if fields["ElementDataFile"] != "LOCAL":
        problem = f"keeps its voxels elsewhere ({fields['ElementDataFile'][:80]})"
        raise header_fault(path, problem, "store header and voxels in one file")
    for name, right in _AS_EXPECTED.items():
        if fields.get(name, right[0]) not in right:
            problem = f"{name} is {fields[name][:40]!r}, expected {right[0]}"
            raise header_fault(path, problem, "store one 3-D volume of plain numbers per file")
    shape = sizes(fields.get("DimSize", ""))
    if shape is None or "NDims" not in fields:
        problem = f"DimSize is {fields.get('DimSize', 'missing')[:80]!r}, expected three sizes after NDims"
        raise header_fault(path, problem, "store one 3-D volume per file")
    if faults := voxel_count_faults(shape, str(path)):
        raise Refusal(faults)
    spacing = _numbers(fields, _SPACING[:1] if _SPACING[0] in fields else _SPACING, 3, path)
    origin = _numbers(fields, _ORIGIN, 3, path)
    matrix = np.array(_numbers(fields, _AXES, 9, path)).reshape(3, 3).T  # MetaImage writes one axis after the other
    try:
        if min(spacing) <= 0:
            raise ValueError(f"ElementSpacing is {spacing}, expected three positive lengths")
        grid = grid_from_axes(shape, matrix * spacing, origin)
    except ValueError as error:
        raise header_fault(path, str(error), "write the file again with its true geometry") from None
    packed = fields.get("CompressedData", "False") in ("True", "true", "1")
    rest = file_bytes - length
    if packed and (said := fields.get("CompressedDataSize", "missing")) != str(rest):
        raise torn(path, f"CompressedDataSize is {said[:20]}, {rest} bytes follow the header")
    layout = VoxelLayout(shape_xyz=shape, dtype=_dtype(fields, path))
    return StatedVolume(layout=layout, grid=grid, packing="zlib" if packed else "none", header_bytes=length)


def _fields(stream: BinaryIO, path: Path) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    length = 0
    for _ in range(LINES_AT_MOST):
        line = stream.readline(HEADER_AT_MOST_BYTES - length)
        length += len(line)
        name, equals, value = (part.strip() for part in line.decode("latin-1").partition("="))
        if not equals or not line.endswith(b"\n"):
            break
        if has_odd_bytes(line, free_text=name not in _KNOWN):
            raise header_fault(path, f"has odd bytes in its field {name[:40]!r}", "write it with a current tool")
        if name in fields:
            raise header_fault(path, f"states its {name[:40]} twice", "keep the right one")
        near = {known.lower(): known for known in _KNOWN}.get(name.lower(), name)
        if near != name:
            raise header_fault(path, f"has a field {name!r}, spelt {near}", "correct its spelling")
        fields[name] = value
        if name == "ElementDataFile":
            return fields, length
    problem = f"no ElementDataFile ends its header within {length} bytes ({LINES_AT_MOST} lines at most)"
    raise header_fault(path, problem, "copy the file again from its archive")


def _numbers(fields: dict[str, str], names: tuple[str, ...], count: int, path: Path) -> list[float]:
    """The one field of these names that is there. Raises: Refusal IN-18 if none or several, or not so many numbers."""
    there = [name for name in names if name in fields]
    if len(there) != 1:
        words = f"states its {' and '.join(there)}, two of one kind" if there else f"does not state its {names[0]}"
        raise header_fault(path, words)
    found = numbers(fields[there[0]])
    if found is None or len(found) != count:
        raise header_fault(path, f"{there[0]} is {fields[there[0]][:80]!r}, expected {count} numbers")
    return found


def _dtype(fields: dict[str, str], path: Path) -> np.dtype[np.generic]:
    code = _DTYPES.get(fields.get("ElementType", ""))
    if code is None:
        problem = f"ElementType is {fields.get('ElementType', 'missing')[:40]!r}, expected one of {', '.join(_DTYPES)}"
        raise header_fault(path, problem, "store integers or floating-point numbers")
    stated = {fields[name] for name in _BIG if name in fields}
    if code[1] != "1" and not (len(stated) == 1 and stated <= {"True", "False", "true", "false", "1", "0"}):
        raise header_fault(path, f"{' or '.join(_BIG)} is {', '.join(sorted(stated)) or 'missing'}")
    return np.dtype((">" if stated & {"True", "true", "1"} else "<") + code)
