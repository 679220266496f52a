"""The header of a NIfTI file, 348 bytes (540 in NIfTI-2): what it declares, and whether that can be meant.

A pair keeps it in a file of its own, `ct.hdr`, and the voxels in `ct.img` beside it. NIfTI-2 has wider fields in
another order; ITK does not read it, so its voxels are read here.
Source: nifti1.h, nifti2.h of the NIfTI Data Format Working Group (https://nifti.nimh.nih.gov/pub/dist/src/niftilib).
"""

import os
import struct
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Fault, Refusal
from femseg.files.plain import opened
from femseg.formats.plausible import voxel_count_faults
from femseg.formats.stated import StatedVolume, grid_from_axes
from femseg.formats.voxel_bytes import Role, VoxelLayout, check_ratio, check_voxels, gzip_chunks, plain_chunks
from femseg.volumes.grid import VoxelGrid

HEADER_BYTES = 348
DATA_OFFSET_AT_MOST = 1 << 24  # between header and voxels lie extensions; the largest in use take some 100 kB
NIFTI_2_BYTES = 540
_MAGIC, _MAGIC_2 = b"n+1\0", b"n+2\0\r\n\x1a\n"
_PAIR_MAGIC, _PAIR_MAGIC_2 = b"ni1\0", b"ni2\0\r\n\x1a\n"
_TO_LPS = np.diag([-1.0, -1.0, 1.0])
_MILLIMETRES_OR_UNKNOWN = (0, 2)
_TOLERANCE = 1e-3
_DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_REFUSED_DTYPES = {1: "1-bit", 32: "complex", 128: "RGB", 1536: "128-bit float", 1792: "complex", 2304: "RGBA"}


class _Fields(NamedTuple):
    """The fields that we use, of either version; `length` is the header's, `least_offset` where voxels may begin."""

    order: str
    length: int
    least_offset: int
    dim: tuple[int, ...]
    code: int
    bits: int
    pixdim: tuple[float, ...]
    vox_offset: float
    slope: float
    intercept: float
    units: int
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    sform: NDArray[np.float64]


def _fields(raw: bytes, path: Path) -> _Fields:
    """Raises: Refusal IN-16 if the header is too short, IN-18 if it is no NIfTI file's."""
    order = ">" if int.from_bytes(raw[:4], "big") in (HEADER_BYTES, NIFTI_2_BYTES) else "<"

    def of(form: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from(order + form, raw, at)

    pair = voxel_file(path) != path
    second = raw[4:12] == (_PAIR_MAGIC_2 if pair else _MAGIC_2)
    length = NIFTI_2_BYTES if second else HEADER_BYTES
    if len(raw) < length:
        problem = f"ends within its header: {len(raw)} of {length} bytes"
        raise Refusal.of("IN-16", path, problem, "copy the file again from its archive")
    if of("i", 0)[0] != length or not (second or raw[344:348] == (_PAIR_MAGIC if pair else _MAGIC)):
        problem, fix = _other_kind(raw)
        raise Refusal.of("IN-18", path, problem, fix)
    least_offset = 0 if pair else length + 4
    if second:
        return _Fields(
            *(order, length, least_offset, of("8q", 16), *of("2h", 12), of("8d", 104), of("q", 168)[0], *of("2d", 176)),
            *(of("i", 500)[0] & 7, *of("2i", 344), of("6d", 352), np.array(of("12d", 400)).reshape(3, 4)),
        )
    return _Fields(
        *(order, length, least_offset, of("8h", 40), *of("2h", 70), of("8f", 76), *of("3f", 108)),
        *(raw[123] & 7, *of("2h", 252), of("6f", 256), np.array(of("12f", 280)).reshape(3, 4)),
    )


def parse_nifti_header(raw: bytes, path: Path) -> StatedVolume:
    """Judge the first 540 bytes of an unpacked NIfTI file.

    Raises: Refusal with every fault: IN-16 (exit 4) if it is too short, IN-18 naming the field, IN-24 (exit 5).
    """

    def refused(problem: str, fix: str = "write the file again with a current tool") -> Fault:
        return Fault("IN-18", path, problem, fix)

    h = _fields(raw, path)
    faults = []
    used = h.dim[1 : 1 + max(0, min(h.dim[0], 7))]
    if not 3 <= h.dim[0] <= 7 or min(used) < 1 or any(n != 1 for n in used[3:]):
        faults.append(refused(f"dim is {h.dim}, expected three sizes of at least 1", "store one 3-D volume per file"))
    else:
        faults += voxel_count_faults(used[:3], str(path))
    faults += [refused(*problem) for problem in (*_storage(h), *_units(h.units))]
    faults += [Fault("IN-10", path, problem, fix) for problem, fix in _scaling(h.slope, h.intercept)]
    if not all(np.isfinite(p) and p > 0 for p in h.pixdim[1:4]):
        faults.append(refused(f"pixdim[1..3] is {h.pixdim[1:4]}, expected three positive lengths in mm"))
    else:
        frames = _frames(h.qform_code, h.sform_code, h.quaternion, h.pixdim, h.sform)
        faults += [refused(problem) for problem in frames]
    if faults:
        raise Refusal(faults)
    affine = h.sform if h.sform_code > 0 else _qform(h.quaternion, h.pixdim)
    layout = VoxelLayout(
        shape_xyz=(used[0], used[1], used[2]), dtype=np.dtype(h.order + _DTYPES[h.code]), before=int(h.vox_offset)
    )
    try:
        grid = grid_from_axes(layout.shape_xyz, _TO_LPS @ affine[:, :3], _TO_LPS @ affine[:, 3])
    except ValueError as error:
        raise Refusal(refused(str(error), "write the file again with its true geometry")) from None
    return StatedVolume(layout=layout, grid=grid, header_bytes=h.length)


def _other_kind(raw: bytes) -> tuple[str, str]:
    """What a file that is not of the kind that its name says is, and what to do."""
    (size,), magic = struct.unpack_from("<i", raw), raw[344:348]
    if NIFTI_2_BYTES in (size, struct.unpack_from(">i", raw)[0]):
        return f"is NIfTI-2 by its size, and its magic is {raw[4:12]!r}", "write it with a current tool"
    if magic == b"ni1\0":
        return (
            "is by its magic the header of a NIfTI pair (.hdr and .img)",
            "name it .hdr, with its voxels as .img beside it",
        )
    if size in (HEADER_BYTES, int.from_bytes(HEADER_BYTES.to_bytes(4, "big"), "little")) and not magic.strip(b"\0"):
        return "is an ANALYZE 7.5 header, which does not say left from right", "convert its source to NIfTI again"
    return f"sizeof_hdr is {size}, magic {magic!r}; NIfTI-1 has 348 and b'n+1\\x00'", "write it with a current tool"


def _storage(h: _Fields) -> list[tuple[str, ...]]:
    """What is wrong with datatype, bitpix and vox_offset."""
    code, bits, vox_offset = h.code, h.bits, h.vox_offset
    problems: list[tuple[str, ...]] = []
    if code not in _DTYPES:
        kind = _REFUSED_DTYPES.get(code, "unknown")
        problems.append((f"datatype is {code} ({kind}), expected one real number per voxel",))
    elif bits != (expected := 8 * np.dtype(_DTYPES[code]).itemsize):
        problems.append((f"bitpix is {bits}, datatype {code} has {expected}",))
    least = h.least_offset
    if not (least <= vox_offset <= DATA_OFFSET_AT_MOST and vox_offset == int(vox_offset)):
        problems.append((f"vox_offset is {vox_offset}, expected a whole number from {least} to {DATA_OFFSET_AT_MOST}",))
    return problems


def _units(code: int) -> list[tuple[str, ...]]:
    if code in _MILLIMETRES_OR_UNKNOWN:
        return []
    return [(f"xyzt_units says code {code}, expected millimetres (2)", "write it in millimetres")]


def _scaling(slope: float, intercept: float) -> list[tuple[str, str]]:
    """What is wrong with scl_slope and scl_inter; by nifti1.h, slope 0 means that values are as stored.

    SimpleITK takes a slope that is not finite for 1, and adds the intercept even where the slope is 0.
    """
    fix = "store the values that are meant, with scl_slope 1 and scl_inter 0"
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        return [(f"scl_slope is {slope} and scl_inter {intercept}, expected finite numbers", fix)]
    if slope == 0 and intercept != 0:
        return [(f"scl_slope is 0 (no scaling) and scl_inter {intercept}: programs differ on what that means", fix)]
    if slope != 0 and not 1e-6 <= abs(slope) <= 1e6:
        return [(f"scl_slope is {slope}, which scales no CT to Hounsfield units", fix)]
    return []


def check_extensions(content: bytes, path: Path, start: int = HEADER_BYTES) -> None:
    """Judge the extensions between header and voxels by their own lengths. Raises: Refusal IN-18.

    Args:
        content: what lies between the header and the voxels; its first byte says whether there are extensions.
        start: where it lies.
    """
    if not content[:1].strip(b"\0"):
        return
    at = 4
    while at + 8 <= len(content):
        lengths = [struct.unpack_from(f"{order}i", content, at)[0] for order in "<>"]
        fits = [n for n in lengths if n >= 16 and n % 16 == 0 and at + n <= len(content)]
        if not fits:
            place = f"at byte {start + at} of {lengths[0]} bytes"
            problem = f"has an extension {place}, more than lie before the voxels"
            fix = "write the file again without its extensions"
            raise Refusal.of("IN-18", path, problem, fix)
        at += fits[0]


def _frames(
    qform_code: int,
    sform_code: int,
    quaternion: tuple[float, ...],
    pixdim: tuple[float, ...],
    sform: NDArray[np.float64],
) -> list[str]:
    """What is wrong with the two ways in which the header places its voxels in the patient."""
    if qform_code <= 0 and sform_code <= 0:
        return ["neither qform_code nor sform_code is set, so the volume's place in the patient is unknown"]
    problems = []
    lengths = np.linalg.norm(sform[:, :3], axis=0)
    if sform_code > 0:
        if not np.isfinite(sform).all() or lengths.min() == 0:
            return ["sform (srow_x, srow_y, srow_z) has no usable axes"]
        cosines = sform[:, :3] / lengths
        skew = float(np.abs(cosines.T @ cosines - np.eye(3)).max())
        if skew > _TOLERANCE:
            problems.append(f"sform is sheared: its axes' cosines reach {skew:.3g}, expected 0")
        if np.abs(lengths - pixdim[1:4]).max() > _TOLERANCE:
            problems.append(f"sform has voxels of {tuple(lengths.round(5).tolist())} mm, pixdim {pixdim[1:4]}")
    if qform_code > 0:
        if not np.isfinite(quaternion).all() or sum(part * part for part in quaternion[:3]) > 1 + _TOLERANCE:
            return [*problems, f"qform's quaternion {quaternion[:3]} is no rotation"]
        qform = _qform(quaternion, pixdim)
        if sform_code > 0 and not problems and (apart := float(np.abs(qform - sform).max())) > _TOLERANCE:
            problems.append(f"sform and qform differ by up to {apart:.4g}: two places for one volume")
    return problems


def _qform(quaternion: tuple[float, ...], pixdim: tuple[float, ...]) -> NDArray[np.float64]:
    """3 × 4 matrix from index to millimetres, by nifti1.h's "method 2"."""
    b, c, d = quaternion[:3]
    a = max(0.0, 1.0 - b * b - c * c - d * d) ** 0.5
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    qfac = -1.0 if pixdim[0] < 0 else 1.0
    return np.column_stack([rotation * (pixdim[1], pixdim[2], qfac * pixdim[3]), quaternion[3:6]])


def voxel_file(path: Path) -> Path:
    """The file that holds the voxels: the .img beside a pair's .hdr, else the file itself."""
    return path.with_suffix(".IMG" if path.suffix.isupper() else ".img") if path.suffix.lower() == ".hdr" else path


def lone_half(path: Path, other: Path) -> Refusal:
    """IN-16 (exit 4): one file of a pair without the other."""
    problem = f"is half of a pair (.hdr with .img): {other.name} is not beside it"
    return Refusal.of("IN-16", path, problem, "copy both files again from their archive")


def check_nifti(path: Path, role: Role) -> StatedVolume:
    """Check header, length, checksum and finiteness of a .nii or .nii.gz file, or of a pair by its .hdr file.

    Raises: Refusal IN-16 (exit 4), IN-17, IN-18, IN-24 (exit 5); IN-26 if a file cannot be opened.
    """
    if voxel_file(path) != path:
        return _check_pair(path, voxel_file(path))
    packed = path.name.lower().endswith(".gz")
    with opened(path) as stream:
        chunks = gzip_chunks(stream, path) if packed else plain_chunks(stream, path)
        head = next(chunks, b"")
        stated = parse_nifti_header(head[:NIFTI_2_BYTES], path)
        if packed:
            check_ratio(stated.layout, path.stat().st_size, path, role)
        check_extensions(head[stated.header_bytes : stated.layout.before], path, stated.header_bytes)
        check_voxels(chain([head], chunks), stated.layout, path)
    return stated


def _check_pair(path: Path, voxels: Path) -> StatedVolume:
    if not os.path.lexists(voxels):
        raise lone_half(path, voxels)
    with opened(path) as stream:
        head = stream.read(DATA_OFFSET_AT_MOST)
    stated = parse_nifti_header(head[:NIFTI_2_BYTES], path)
    check_extensions(head[stated.header_bytes :], path, stated.header_bytes)
    with opened(voxels) as stream:
        check_voxels(plain_chunks(stream, voxels), stated.layout, voxels)
    return stated


def stated_by_nifti(path: Path) -> StatedVolume:
    """The header alone. Raises: Refusal as above."""
    with opened(path) as stream:
        chunks = gzip_chunks(stream, path) if path.name.lower().endswith(".gz") else plain_chunks(stream, path)
        return parse_nifti_header(next(chunks, b"")[:NIFTI_2_BYTES], path)


def nifti_2_voxels(path: Path) -> tuple[NDArray[np.generic], VoxelGrid] | None:
    """The scaled voxels of a NIfTI-2 file that was checked, shape (Z, Y, X), and their grid; None of a NIfTI-1 file."""
    with opened(path) as stream:
        chunks = gzip_chunks(stream, path) if path.name.lower().endswith(".gz") else plain_chunks(stream, path)
        head = next(chunks, b"")
        header = _fields(head[:NIFTI_2_BYTES], path)
        if header.length != NIFTI_2_BYTES:
            return None
        stated = parse_nifti_header(head[:NIFTI_2_BYTES], path)
        content = b"".join([head, *chunks])
    if voxel_file(path) != path:
        with opened(voxel_file(path)) as stream:
            content = stream.read()
    layout = stated.layout
    stored = np.frombuffer(content, layout.dtype, layout.voxels, layout.before).reshape(layout.shape_xyz[::-1])
    values = stored.astype(layout.dtype.newbyteorder("="))
    if (header.slope, header.intercept) in ((1.0, 0.0), (0.0, 0.0)):
        return values, stated.grid
    return (values * header.slope + header.intercept).astype(np.float32), stated.grid
