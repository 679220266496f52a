"""NIfTI files that are torn, lie about themselves, or hold no CT."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from specimens.base import affine_ras, ct_hu, write_nifti, write_volume_study
from specimens.nifti_file import packed, patched
from specimens.specimen import Make, Specimen, accepted, refused

Edit = Callable[[bytes], bytes]


def edited(edit: Edit, *, name: str = "ct.nii.gz", voxels: NDArray[np.generic] | None = None) -> Make:
    """A NIfTI study one of whose files is edited before it is packed; `voxels` replace that file's own."""

    def make(folder: Path) -> None:
        study = write_volume_study(folder / "study", suffix=".nii.gz" if name.endswith(".gz") else ".nii")
        path = study / name
        if voxels is not None:
            write_nifti(path, voxels)
        content = path.read_bytes()
        path.write_bytes(packed(edit(gzip.decompress(content))) if name.endswith(".gz") else edit(content))

    return make


def stored(edit: Edit, name: str = "ct.nii.gz") -> Make:
    """A NIfTI study one of whose files is edited as it lies on the disk."""

    def make(folder: Path) -> None:
        path = write_volume_study(folder / "study") / name
        path.write_bytes(edit(path.read_bytes()))

    return make


def field(name: str, kind: str, *values: float | bytes, skip: int = 0) -> Make:
    """A NIfTI study whose CT has other values in one field of its header."""
    return edited(lambda content: patched(content, name, kind, *values, skip=skip))


def with_ct(hu_zyx: NDArray[np.generic], scale: float = 1.0) -> Make:
    """A NIfTI study with other voxels in its CT; `scale` shrinks or widens the grid of CT and mask."""

    def make(folder: Path) -> None:
        study = write_volume_study(folder / "study")
        affine = np.diag([scale, scale, scale, 1.0]) @ affine_ras()
        write_nifti(study / "ct.nii.gz", hu_zyx, affine)
        write_nifti(study / "mask.nii.gz", (ct_hu() > 400).astype("u1"), affine)

    return make


def _with_value(value: float) -> NDArray[np.float32]:
    hu = ct_hu().astype(np.float32)
    hu[1, 2, 3] = hu[7, 7, 7] = value
    return hu


def _nifti_2(content: bytes) -> bytes:
    """The same volume with the header of NIfTI-2: wider fields in another order (nifti2.h)."""
    shape, slope = struct.unpack_from("<8h", content, 40), struct.unpack_from("<2f", content, 112)
    kind, pixdim = struct.unpack_from("<2h", content, 70), struct.unpack_from("<8f", content, 76)
    codes, place = struct.unpack_from("<2h", content, 252), struct.unpack_from("<18f", content, 256)
    header = struct.pack("<i8s2h8q3d8d", 540, b"n+2\0\r\n\x1a\n", *kind, *shape, 0, 0, 0, *pixdim)
    header += struct.pack("<q6d2q104x", 544, *slope, 0, 0, 0, 0, 0, 0)
    header += struct.pack("<2i18d3i16sc15x", *codes, *place, 0, 2, 0, b"", b"\0")
    return header + bytes(4) + content[352:]


def _nifti_2_unmarked(content: bytes) -> bytes:
    return _nifti_2(content).replace(b"n+2\0", b"n+9\0")


def _pair(folder: Path) -> None:
    study = write_volume_study(folder / "study", suffix=".nii")
    content = (study / "ct.nii").read_bytes()
    (study / "ct.nii").unlink()
    header = patched(patched(content[:348], "magic", "4s", b"ni1\0"), "vox_offset", "f", 0.0)
    (study / "ct.hdr").write_bytes(header)
    (study / "ct.img").write_bytes(content[352:])


def _bomb(content: bytes) -> bytes:
    return patched(content[:352], "dim", "3h", 1000, 1000, 200, skip=2) + bytes(2_000_000)


def _several_cts(folder: Path) -> None:
    study = write_volume_study(folder / "study")
    (study / "ct.nii.gz").rename(study / "a.nii.gz")
    write_nifti(study / "b.nii.gz", ct_hu())


HU = ct_hu()
SPECIMENS: tuple[Specimen, ...] = (
    refused("several-cts", "IN-05", "two files that may be the CT", _several_cts, "a.nii.gz; b.nii.gz"),
    refused("hu-offset", "IN-11", "every value 1024 too high", with_ct(HU + np.int16(1024)), "lie below"),
    refused("hu-in-thousands", "IN-11", "HU divided by 1000", with_ct(HU.astype("f4") / 1000), "bone reaches 300"),
    refused("constant-ct", "PP-03", "one value everywhere", with_ct(np.zeros_like(HU)), "0 HU", faults=("IN-11",)),
    accepted("analyze-pair", "IN-18", "header and voxels in two files (.hdr, .img)", _pair, truth="base"),
    refused(
        "half-nifti",
        "IN-16",
        "half of a .nii",
        edited(lambda content: content[: len(content) // 2], name="ct.nii"),
        "ct.nii: is cut short: 8912 bytes, its header says 17824",
        exit_code=4,
    ),
    refused(
        "nifti-a-byte-short",
        "IN-16",
        "a .nii.gz that unpacks to one byte too few",
        edited(lambda content: content[:-1]),
        "17823 bytes",
        exit_code=4,
    ),
    refused(
        "nifti-trailing-bytes",
        "IN-16",
        "three bytes too many",
        edited(lambda content: content + b"xyz"),
        "trailing",
        exit_code=4,
    ),
    refused("nifti-cut-in-header", "IN-16", "200 bytes", edited(lambda b: b[:200]), "200 of 348", exit_code=4),
    refused(
        "nifti-zero-bytes", "IN-16", "an empty .nii", edited(lambda _: b"", name="ct.nii"), "0 of 348", exit_code=4
    ),
    refused("gzip-cut", "IN-16", "half of a .nii.gz", stored(lambda b: b[: len(b) // 2]), "gzip", exit_code=4),
    refused(
        "gzip-crc",
        "IN-16",
        "a wrong gzip check sum",
        stored(lambda b: b[:-8] + b"\0\0\0\0" + b[-4:]),
        "gzip",
        exit_code=4,
    ),
    refused("gzip-length", "IN-16", "a wrong gzip length", stored(lambda b: b[:-1] + b"\7"), "gzip", exit_code=4),
    refused(
        "gzip-garbage", "IN-16", "bytes after the gzip stream", stored(lambda b: b + b"garbage"), "gzip", exit_code=4
    ),
    refused(
        "gzip-bit",
        "IN-16",
        "one byte of the gzip stream flipped",
        stored(lambda b: b[:300] + bytes([b[300] ^ 255]) + b[301:]),
        "gzip",
        exit_code=4,
    ),
    refused(
        "half-label",
        "IN-16",
        "half of the mask's .nii",
        edited(lambda content: content[: len(content) // 2], name="mask.nii"),
        "mask.nii: is cut short",
        exit_code=4,
        faulty="mask",
    ),
    refused(
        "half-gzip-label",
        "IN-16",
        "half of the mask's .nii.gz",
        stored(lambda content: content[: len(content) // 2], "mask.nii.gz"),
        "mask.nii.gz: gzip",
        exit_code=4,
        faulty="mask",
    ),
    refused(
        "nan",
        "IN-17",
        "two voxels are NaN",
        with_ct(_with_value(np.nan)),
        "2 voxels are NaN or infinite, the first at (3, 2, 1) (x, y, z)",
    ),
    refused("infinity", "IN-17", "two voxels are -Inf", with_ct(_with_value(-np.inf)), "2 voxels", "(3, 2, 1)"),
    refused("sform-unlike-pixdim", "IN-18", "sform of other voxels", field("srow_x", "f", 9.0), "sform has voxels of"),
    refused(
        "sform-unlike-qform",
        "IN-18",
        "sform and qform place the volume 3 mm apart",
        field("qoffset_x", "f", 33.0),
        "sform and qform differ by up to 3",
    ),
    refused(
        "sform-mirrors-qform",
        "IN-18",
        "sform and qform disagree on left and right",
        field("srow_x", "4f", 2.5, 0, 0, -32.5),
        "sform and qform differ",
    ),
    refused("nowhere", "IN-18", "neither qform nor sform", field("qform_code", "2h", 0, 0), "neither qform_code"),
    refused(
        "negative-pixdim", "IN-18", "a negative pixdim", field("pixdim", "f", -2.5, skip=4), "pixdim[1..3] is (-2.5"
    ),
    refused("zero-pixdim", "IN-18", "pixdim is 0", field("pixdim", "f", 0.0, skip=4), "pixdim[1..3] is (0"),
    refused("nan-pixdim", "IN-18", "pixdim is NaN", field("pixdim", "f", np.nan, skip=4), "pixdim[1..3] is (nan"),
    refused("shear", "IN-18", "a sheared sform", field("srow_x", "f", 0.05, skip=4), "sheared"),
    refused("no-rotation", "IN-18", "a quaternion that is none", field("quatern_b", "f", 3.0), "is no rotation"),
    refused(
        "four-d",
        "IN-18",
        "two volumes in one file",
        field("dim", "5h", 4, 26, 24, 7, 2),
        "dim is (4, 26, 24, 7, 2",
        truth="none",
    ),
    refused("two-d", "IN-18", "one slice", field("dim", "3h", 2, 26, 24), "dim is (2, 26, 24", truth="none"),
    refused("rgb", "IN-18", "colours", field("datatype", "2h", 128, 24), "datatype is 128 (RGB)", truth="none"),
    refused("complex", "IN-18", "complex numbers", field("datatype", "2h", 32, 64), "datatype is 32", truth="none"),
    refused("no-magic", "IN-18", "a NIfTI header without its mark", field("magic", "4s", b"abcd"), "magic"),
    accepted("nifti-2", "IN-18", "NIfTI-2", edited(_nifti_2), truth="base"),
    refused(
        "nifti-2-no-magic", "IN-18", "NIfTI-2 without its mark", edited(_nifti_2_unmarked), "is NIfTI-2 by its size"
    ),
    refused(
        "spacing-in-metres", "IN-19", "millimetres written as metres", with_ct(HU, 0.001), "0.004 × 0.003 × 0.0025"
    ),
    refused("spacing-in-micrometres", "IN-19", "millimetres written as micrometres", with_ct(HU, 1000), "4000 × 3000"),
    refused(
        "far-too-many-voxels",
        "IN-24",
        "2 kB that declare 2147352578 voxels",
        field("dim", "3h", 32767, 32767, 2, skip=2),
        "2147352578 voxels",
        exit_code=5,
    ),
    refused("gzip-bomb", "IN-24", "a .nii.gz that declares 400 MB", edited(_bomb), "times as many", exit_code=5),
)
