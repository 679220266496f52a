"""NRRD and MHA files that are torn, silent about their geometry, or point elsewhere."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from specimens.base import ORIGIN_XYZ, SPACING_ZYX, ct_hu, femur_mask
from specimens.specimen import Make, Specimen, refused


def write_text_volume(path: Path, array_zyx: NDArray[np.generic], *, compressed: bool = False) -> Path:
    """A .nrrd or .mha file on the base study's grid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array_zyx)
    image.SetSpacing(SPACING_ZYX[::-1])
    image.SetOrigin(ORIGIN_XYZ)
    sitk.WriteImage(image, str(path), useCompression=compressed)
    return path


def text_study(folder: Path, suffix: str, *, compressed: bool = False) -> Path:
    """`study/ct.nrrd` and `study/mask.nrrd`, or the same as .mha; returns the CT's path."""
    write_text_volume(folder / "study" / f"mask{suffix}", femur_mask().astype("u1"), compressed=compressed)
    return write_text_volume(folder / "study" / f"ct{suffix}", ct_hu(), compressed=compressed)


def text_edited(suffix: str, edit: Callable[[bytes], bytes], *, compressed: bool = False) -> Make:
    """A study of text-headed volumes whose CT file is edited as it lies on the disk."""

    def make(folder: Path) -> None:
        path = text_study(folder, suffix, compressed=compressed)
        path.write_bytes(edit(path.read_bytes()))

    return make


def without_line(suffix: str, name: str) -> Make:
    """The same with one line of the header gone."""

    def edit(content: bytes) -> bytes:
        head, found, rest = content.partition(name.encode())
        if not found:
            raise ValueError(f"no line {name}")
        return head + rest.partition(b"\n")[2]

    return text_edited(suffix, edit)


def _line(suffix: str, old: str, new: str) -> Make:
    def edit(content: bytes) -> bytes:
        if old.encode() not in content:
            raise ValueError(f"no {old} in {content[:600]!r}")
        return content.replace(old.encode(), new.encode(), 1)

    return text_edited(suffix, edit)


def _with_nan(suffix: str) -> Make:
    def make(folder: Path) -> None:
        path = text_study(folder, suffix)
        hu = ct_hu().astype(np.float32)
        hu[1, 2, 3] = np.nan
        write_text_volume(path, hu)

    return make


def _two_volumes(folder: Path) -> None:
    path = text_study(folder, ".nrrd")
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(sitk.JoinSeries(image, image), str(path))


def _elsewhere(suffix: str, header: str) -> Make:
    return text_edited(suffix, lambda _: header.encode())


_NRRD_ELSEWHERE = """NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: 26 24 14
space directions: (2.5,0,0) (0,3,0) (0,0,4)
space origin: (-30,-40,100)
encoding: raw
endian: little
data file: /etc/passwd

"""
_MHA_ELSEWHERE = """ObjectType = Image
NDims = 3
DimSize = 26 24 14
ElementType = MET_SHORT
ElementDataFile = /etc/passwd
"""

SPECIMENS: tuple[Specimen, ...] = (
    refused("nrrd-short", "IN-16", "an NRRD without its end", text_edited(".nrrd", lambda b: b[:-4000]), exit_code=4),
    refused("mha-short", "IN-16", "an MHA without its end", text_edited(".mha", lambda b: b[:-4000]), exit_code=4),
    refused(
        "nrrd-gzip-short",
        "IN-16",
        "a packed NRRD without its end",
        text_edited(".nrrd", lambda b: b[:-2000], compressed=True),
        exit_code=4,
    ),
    refused(
        "mha-packed-short",
        "IN-16",
        "a packed MHA without its end",
        text_edited(".mha", lambda b: b[:-2000], compressed=True),
        exit_code=4,
    ),
    refused("nrrd-nan", "IN-17", "an NRRD with a NaN", _with_nan(".nrrd"), "1 voxels", "(3, 2, 1) (x, y, z)"),
    refused("mha-nan", "IN-17", "an MHA with a NaN", _with_nan(".mha"), "1 voxels", "(3, 2, 1) (x, y, z)"),
    refused(
        "nrrd-no-directions",
        "IN-18",
        "an NRRD without its directions",
        without_line(".nrrd", "space directions"),
        "space directions",
    ),
    refused(
        "nrrd-no-origin", "IN-18", "an NRRD without its origin", without_line(".nrrd", "space origin"), "space origin"
    ),
    refused(
        "mha-no-spacing",
        "IN-18",
        "an MHA without its spacing",
        without_line(".mha", "ElementSpacing"),
        "ElementSpacing",
    ),
    refused(
        "mha-no-directions",
        "IN-18",
        "an MHA without its directions",
        without_line(".mha", "TransformMatrix"),
        "TransformMatrix",
    ),
    refused(
        "nrrd-points-elsewhere",
        "IN-18",
        "an NRRD that names another file for its voxels",
        _elsewhere(".nrrd", _NRRD_ELSEWHERE),
        "/etc/passwd",
        truth="none",
    ),
    refused(
        "mha-points-elsewhere",
        "IN-18",
        "an MHA that names another file for its voxels",
        _elsewhere(".mha", _MHA_ELSEWHERE),
        "/etc/passwd",
        truth="none",
    ),
    refused(
        "nrrd-no-nrrd", "IN-18", "text under an NRRD's name", text_edited(".nrrd", lambda _: b"hello\n" * 99), "NRRD"
    ),
    refused(
        "mha-in-metres",
        "IN-19",
        "an MHA in metres",
        _line(".mha", "ElementSpacing = 2.5 3 4", "ElementSpacing = 0.0025 0.003 0.004"),
        "0.004 × 0.003 × 0.0025",
    ),
    refused("nrrd-four-d", "IN-18", "an NRRD of two volumes", _two_volumes, truth="none"),
    refused(
        "mha-far-too-many-voxels",
        "IN-24",
        "an MHA that declares 10^12 voxels",
        _line(".mha", "DimSize = 26 24 14", "DimSize = 10000 10000 10000"),
        exit_code=5,
    ),
)
