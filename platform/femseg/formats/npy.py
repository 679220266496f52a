"""NumPy files: what they are is told from their first bytes, and nothing in them is ever run.

As CTs or masks they are always refused, because an array without spacing has no place in a patient. A pickle, be it an
object array or named .npy, runs code in whoever loads it carelessly, so it is refused as an attack.
"""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from femseg.errors import Refusal, words_of
from femseg.files.plain import opened

MAGIC = b"\x93NUMPY"
_HEADER_AT_MOST_BYTES = 10_000
_MEMBERS_AT_MOST, _DIRECTORY_AT_MOST_BYTES = 1000, 1 << 20
_TO_NIFTI = "write it as .nii.gz with its scan's geometry (`sitk.GetImageFromArray`, then `CopyInformation`)"


def npy_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype; the stream then stands where the values begin.

    Raises: ValueError if it is no NPY header of a plain array; a header that is an expression is none.
    """
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(stream, max_header_size=_HEADER_AT_MOST_BYTES)
        elif version == (2, 0):
            header = np.lib.format.read_array_header_2_0(stream, max_header_size=_HEADER_AT_MOST_BYTES)
        else:
            raise ValueError(f"NPY version {version}, expected (1, 0) or (2, 0)")
    except Exception as error:  # Python's parser meets a broken header with any of half a dozen exception types
        raise ValueError(words_of(error)) from None
    shape, fortran_order, dtype = header
    if any(type(n) is not int or n < 0 for n in shape) or not isinstance(fortran_order, bool):
        raise ValueError(f"shape {str(shape)[:80]} is not made of whole numbers from 0")
    return shape, fortran_order, dtype


def npy_refusal(path: Path) -> Refusal:
    """Why a .npy or .npz file is not read (IN-25), or why it is an attack (SC-01).

    Raises: Refusal IN-26 if it cannot be opened.
    """
    with opened(path) as stream:
        head = stream.read(len(MAGIC))
        stream.seek(0)
        if head == MAGIC:
            problem, fault_id = _array(stream, path.stat().st_size)
        elif head.startswith(b"PK"):
            problem, fault_id = _archive(stream)
        elif may_be_pickle(stream.read(1 << 16)):
            problem, fault_id = "is a pickle, which runs code when it is loaded", "SC-01"
        else:
            problem, fault_id = f"is no NumPy file (it starts with {head!r})", "IN-25"
    ask = "do not load it anywhere; ask whoever made it for plain numbers as .nii.gz"
    return Refusal.of(fault_id, path, problem, ask if fault_id == "SC-01" else _TO_NIFTI)


def _array(stream: BinaryIO, file_bytes: int) -> tuple[str, str]:
    try:
        shape, fortran_order, dtype = npy_header(stream)
    except ValueError as error:
        return f"has no readable NPY header ({error})", "IN-25"
    if dtype.hasobject:
        return "holds Python objects (a pickle), which run code when they are loaded", "SC-01"
    words = [f"is an array {dtype} {shape} without spacing, origin and direction"]
    if fortran_order or dtype.byteorder == ">":
        words.append(
            "in " + " and ".join(["Fortran order"] * fortran_order + ["big-endian"] * (dtype.byteorder == ">"))
        )
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if (found := file_bytes - stream.tell()) != expected:
        words.append(f"and has {found} bytes of values where its shape needs {expected}")
    return " ".join(words), "IN-25"


def _archive(stream: BinaryIO) -> tuple[str, str]:
    """What an .npz holds, by the headers of its members; their values are not unpacked."""
    tail_at = max(0, stream.seek(0, io.SEEK_END) - 65_557)
    stream.seek(tail_at)
    tail = stream.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + 22 > len(tail):
        return "is a NumPy archive (.npz) that is cut short", "IN-25"
    members, directory = struct.unpack_from("<HI", tail, at + 10)
    if members > _MEMBERS_AT_MOST or directory > _DIRECTORY_AT_MOST_BYTES:
        return f"is an archive of {members} members, no volume", "IN-25"
    names = []
    try:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                with archive.open(member) as packed:
                    found, fault_id = _member(packed.read(_HEADER_AT_MOST_BYTES))
                if fault_id == "SC-01":
                    return f"has the member {member.filename[:80]!r}, which {found}", fault_id
                names.append(member.filename[:40])
    except Exception as error:  # zipfile meets a broken archive with any of half a dozen exception types
        return f"is a NumPy archive (.npz) that is broken ({words_of(error)})", "IN-25"
    return f"is an archive of arrays ({', '.join(names[:5])}) without spacing, origin and direction", "IN-25"


def _member(head: bytes) -> tuple[str, str]:
    if head.startswith(MAGIC):
        return _array(io.BytesIO(head), len(head))
    return ("is a pickle and runs code when it is loaded", "SC-01") if may_be_pickle(head) else ("", "IN-25")


def may_be_pickle(head: bytes) -> bool:
    """Protocol 2 and later begin so; of the older ones, what calls something by name has a line like `cos\\nsystem`."""
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return True
    calls = (b"\nR.", b"(i", b"c__builtin__\n", b"cbuiltins\n", b"cos\n", b"cposix\n", b"csubprocess\n")
    return any(mark in head for mark in calls)
