"""The 348 bytes at the head of a NIfTI-1 file: what they declare, and whether that can be meant.

Source: nifti1.h of the NIfTI Data Format Working Group (https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h).
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from femseg.errors import ExitCode, Fault, Refusal
from femseg.volumes.files.plausible import voxel_count_faults

HEADER_BYTES = 348
_TOLERANCE = 1e-3
_DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_REFUSED_DTYPES = {1: "1-bit", 32: "complex", 128: "RGB", 1536: "128-bit float", 1792: "complex", 2304: "RGBA"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NiftiHeader:
    """What decides a NIfTI file's length and geometry.

    Attributes:
        shape_xyz: voxels along x, y, z.
        dtype: of the stored voxels, with byte order.
        data_offset: where the voxels start.
    """

    shape_xyz: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    data_offset: int

    @property
    def expected_bytes(self) -> int:
        """Length of the unpacked file."""
        return self.data_offset + int(np.prod(self.shape_xyz, dtype=object)) * self.dtype.itemsize


def parse_nifti_header(raw: bytes, path: Path) -> NiftiHeader:
    """Judge the first 348 bytes of an unpacked NIfTI file.

    Raises: Refusal with every fault: IN-16 (exit 4) if it is too short, IN-18 naming the field, IN-24 (exit 5).
    """

    def refused(problem: str, fix: str = "write the file again with a current tool") -> Fault:
        return Fault(id="IN-18", file=str(path), problem=problem, fix=fix)

    if len(raw) < HEADER_BYTES:
        problem = f"ends within its header: {len(raw)} of {HEADER_BYTES} bytes"
        fix = "copy the file again from its archive"
        raise Refusal(Fault(id="IN-16", file=str(path), problem=problem, fix=fix, exit_code=ExitCode.INTEGRITY))
    order = next((o for o in "<>" if struct.unpack_from(f"{o}i", raw)[0] == HEADER_BYTES), None)
    if order is None or raw[344:348] != b"n+1\0":
        size = struct.unpack_from("<i", raw)[0]
        raise Refusal(refused(f"sizeof_hdr is {size}, magic {raw[344:348]!r}; NIfTI-1 has 348 and b'n+1\\x00'"))
    dim = struct.unpack_from(f"{order}8h", raw, 40)
    code = struct.unpack_from(f"{order}h", raw, 70)[0]
    pixdim = struct.unpack_from(f"{order}8f", raw, 76)
    vox_offset = struct.unpack_from(f"{order}f", raw, 108)[0]
    qform_code, sform_code = struct.unpack_from(f"{order}2h", raw, 252)
    quaternion = struct.unpack_from(f"{order}6f", raw, 256)
    sform = np.array(struct.unpack_from(f"{order}12f", raw, 280)).reshape(3, 4)

    faults = []
    used = dim[1 : 1 + max(0, min(dim[0], 7))]
    if not 3 <= dim[0] <= 7 or min(used) < 1 or any(n != 1 for n in used[3:]):
        faults.append(refused(f"dim is {dim}, expected three sizes of at least 1", "store one 3-D volume per file"))
    else:
        faults += voxel_count_faults(used[:3], str(path))
    if code not in _DTYPES:
        kind = _REFUSED_DTYPES.get(code, "unknown")
        faults.append(refused(f"datatype is {code} ({kind}), expected one real number per voxel"))
    if not 352 <= vox_offset < 1e9:
        faults.append(refused(f"vox_offset is {vox_offset}, expected 352 or more"))
    if not all(np.isfinite(p) and p > 0 for p in pixdim[1:4]):
        faults.append(refused(f"pixdim[1..3] is {pixdim[1:4]}, expected three positive lengths in mm"))
    else:
        faults += [refused(problem) for problem in _frames(qform_code, sform_code, quaternion, pixdim, sform)]
    if faults:
        raise Refusal(faults)
    return NiftiHeader(shape_xyz=used[:3], dtype=np.dtype(order + _DTYPES[code]), data_offset=int(vox_offset))


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
