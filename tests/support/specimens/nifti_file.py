"""A NIfTI-1 file as bytes, written field by field, so that each field can also be written wrong.

Source: nifti1.h of the NIfTI Data Format Working Group (https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h).
"""

import gzip
import struct
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

_CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768, "i8": 1024, "u8": 1280}
OFFSET_OF = {  # bytes from the start of the file
    "sizeof_hdr": 0,
    "dim": 40,
    "datatype": 70,
    "bitpix": 72,
    "pixdim": 76,
    "vox_offset": 108,
    "scl_slope": 112,
    "scl_inter": 116,
    "xyzt_units": 123,
    "qform_code": 252,
    "sform_code": 254,
    "quatern_b": 256,
    "qoffset_x": 268,
    "srow_x": 280,
    "magic": 344,
    "voxels": 352,
}


def nifti_bytes(
    array_zyx: NDArray[np.generic],
    affine_ras: NDArray[np.float64],
    *,
    codes: tuple[int, int] = (1, 1),
    slope: float = 1.0,
    intercept: float = 0.0,
    order: Literal["<", ">"] = "<",
    axes: int = 3,
    extension: bytes = b"",
) -> bytes:
    """A whole .nii file.

    Args:
        array_zyx: voxels, shape (Z, Y, X).
        affine_ras: 4 × 4, index (x, y, z) to RAS millimetres; the qform takes its rotation without any shear.
        codes: qform_code and sform_code; a place whose code is 0 is written as zeros.
        order: "<" little-endian, ">" big-endian.
        axes: dim[0]; axes beyond the third have length 1.
        extension: content of a header extension, a multiple of 16 bytes less 8.
    """
    lengths = np.linalg.norm(affine_ras[:3, :3], axis=0)
    rotation = affine_ras[:3, :3] / lengths
    qfac = -1.0 if np.linalg.det(rotation) < 0 else 1.0
    quaternion_xyzw = Rotation.from_matrix(rotation * (1.0, 1.0, qfac)).as_quat(canonical=True)
    dtype = array_zyx.dtype.newbyteorder(order)
    header = bytearray(352)

    def put(field: str, kind: str, *values: float | bytes) -> None:
        struct.pack_into(order + kind, header, OFFSET_OF[field], *values)

    put("sizeof_hdr", "i", 348)
    put("dim", "8h", axes, *array_zyx.shape[::-1], 1, 1, 1, 1)
    put("datatype", "2h", _CODES[dtype.str[1:]], 8 * dtype.itemsize)
    put("pixdim", "8f", qfac, *lengths, *([1.0] * 4 if axes > 3 else [0.0] * 4))
    put("vox_offset", "3f", 352 + (8 + len(extension) if extension else 0), slope, intercept)
    header[OFFSET_OF["xyzt_units"]] = 2  # millimetres
    put("qform_code", "2h", *codes)
    if codes[0]:
        put("quatern_b", "6f", *quaternion_xyzw[:3], *affine_ras[:3, 3])
    if codes[1]:
        put("srow_x", "12f", *affine_ras[:3].ravel())
    put("magic", "4s", b"n+1\0")
    if extension:
        header[348] = 1
        header += struct.pack(f"{order}2i", 8 + len(extension), 6) + extension  # 6 is a comment
    return bytes(header) + array_zyx.astype(dtype).tobytes()


def packed(content: bytes, level: int = 6) -> bytes:
    """Gzip without a date, so that the same content gives the same bytes."""
    return gzip.compress(content, compresslevel=level, mtime=0)


def patched(content: bytes, field: str, kind: str, *values: float | bytes, skip: int = 0) -> bytes:
    """The same file with other values (little-endian) at a header field, or `skip` bytes behind its start."""
    raw = bytearray(content)
    struct.pack_into(f"<{kind}", raw, OFFSET_OF[field] + skip, *values)
    return bytes(raw)
