"""NIfTI, NRRD and MHA studies that look odd and are right."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from specimens.base import affine_ras, ct_hu, femur_mask, write_volume_study
from specimens.nifti_file import nifti_bytes, packed
from specimens.specimen import Make, Specimen, accepted
from specimens.text_volumes import text_study, write_text_volume


def nifti(
    dtype: str = "i2", *, mask_dtype: str = "u1", affine: NDArray[np.float64] | None = None, **how: object
) -> Make:
    """A NIfTI study stored in some way of its own; `how` goes to `nifti_bytes`, for CT and mask alike."""

    def make(folder: Path) -> None:
        study = folder / "study"
        study.mkdir(parents=True)
        placed = affine_ras() if affine is None else affine
        for name, array in (("ct", ct_hu().astype(dtype)), ("mask", femur_mask().astype(mask_dtype))):
            (study / f"{name}.nii").write_bytes(nifti_bytes(array, placed, **how))  # type: ignore[arg-type]

    return make


def _scaled(slope: float, intercept: float, dtype: str) -> Make:
    def make(folder: Path) -> None:
        study = write_volume_study(folder / "study", suffix=".nii")
        stored = ((ct_hu() - intercept) / slope).round().astype(dtype)
        content = nifti_bytes(stored, affine_ras(), slope=slope, intercept=intercept)
        (study / "ct.nii").write_bytes(content)

    return make


def along(axes: str) -> Make:
    """A NIfTI study whose voxels are stored along other axes of the body, "RAS" or "PIR" for instance.

    The letters say where the first, second and third index lead; each voxel stays where it is in the patient.
    """

    def make(folder: Path) -> None:
        study = folder / "study"
        study.mkdir(parents=True)
        for name, array in (("ct", ct_hu()), ("mask", femur_mask().astype("u1"))):
            stored_zyx, affine = _reordered(array, affine_ras(), axes)
            (study / f"{name}.nii.gz").write_bytes(packed(nifti_bytes(stored_zyx, affine)))

    return make


def _reordered(
    array_zyx: NDArray[np.generic], affine: NDArray[np.float64], axes: str
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """The base study's array (its x and y lead to L and P, its z to S) along other axes."""
    letters = ("LR", "PA", "SI")  # along and against x, y, z of the base study
    array_xyz, columns, origin, order = array_zyx.transpose(2, 1, 0), [], affine[:3, 3].copy(), []
    for letter in axes:
        (axis,) = [k for k, pair in enumerate(letters) if letter in pair]
        column = affine[:3, axis]
        if letters[axis][1] == letter:
            array_xyz = np.flip(array_xyz, axis)
            origin = origin + column * (array_xyz.shape[axis] - 1)
            column = -column
        columns.append(column)
        order.append(axis)
    changed = np.eye(4)
    changed[:3, :3], changed[:3, 3] = np.stack(columns, axis=1), origin
    return array_xyz.transpose(order).transpose(2, 1, 0), changed


def _several_gzip_members(folder: Path) -> None:
    study = write_volume_study(folder / "study")
    content = gzip.decompress((study / "ct.nii.gz").read_bytes())
    parts = [content[:100], content[100:5000], content[5000:]]
    (study / "ct.nii.gz").write_bytes(b"".join(map(packed, parts)))


def _named_gzip(folder: Path) -> None:
    study = write_volume_study(folder / "study")
    for name in ("ct", "mask"):
        content = gzip.decompress((study / f"{name}.nii.gz").read_bytes())
        with (study / f"{name}.nii.gz").open("wb") as file, gzip.GzipFile("scan of a day.nii", "wb", 1, file) as stream:
            stream.write(content)


def _stored_gzip(folder: Path) -> None:
    study = write_volume_study(folder / "study")
    for name in ("ct", "mask"):
        content = gzip.decompress((study / f"{name}.nii.gz").read_bytes())
        (study / f"{name}.nii.gz").write_bytes(packed(content, level=0))


def _text(suffix: str, *, compressed: bool = False) -> Make:
    return lambda folder: text_study(folder, suffix, compressed=compressed)


def _text_of(suffix: str, dtype: str) -> Make:
    def make(folder: Path) -> None:
        write_text_volume(text_study(folder, suffix), ct_hu().astype(dtype))

    return make


def _turned_mha(folder: Path) -> None:
    turn = Rotation.from_euler("zx", [20, 10], degrees=True).as_matrix()
    for name, array in (("ct", ct_hu()), ("mask", femur_mask().astype("u1"))):
        path = write_text_volume(folder / "study" / f"{name}.mha", array)
        image = sitk.ReadImage(str(path))
        image.SetDirection(turn.ravel().tolist())
        sitk.WriteImage(image, str(path))


def _nrrd_in(space: str, signs_xyz: Sequence[int]) -> Make:
    """NRRD whose world axes are named; `signs_xyz` turn the base study's LPS coordinates into them."""
    x, y, z = signs_xyz
    header = f"""NRRD0005
# a comment
type: {{kind}}
dimension: 3
space: {space}
sizes: 26 24 14
space directions: ({2.5 * x},0,0) (0,{3.0 * y},0) (0,0,{4.0 * z})
kinds: domain domain domain
endian: big
encoding: gzip
space origin: ({-30.0 * x},{-40.0 * y},{100.0 * z})
some key:=some value

"""

    def make(folder: Path) -> None:
        study = folder / "study"
        study.mkdir(parents=True)
        for name, kind, array in (("ct", "int16", ct_hu().astype(">i2")), ("mask", "uchar", femur_mask().astype("u1"))):
            (study / f"{name}.nrrd").write_bytes(header.format(kind=kind).encode() + packed(array.tobytes()))

    return make


def _mixed_formats(folder: Path) -> None:
    study = write_volume_study(folder / "study")
    (study / "mask.nii.gz").unlink()
    write_text_volume(study / "mask.nrrd", femur_mask().astype("u1"), compressed=True)


OBLIQUE = affine_ras().copy()
OBLIQUE[:3, :3] = Rotation.from_euler("zxy", [31, -12, 7], degrees=True).as_matrix() @ affine_ras()[:3, :3]

SPECIMENS: tuple[Specimen, ...] = (
    accepted(
        "nifti", "IN-16", "a plain .nii.gz study, nothing odd", lambda folder: write_volume_study(folder / "study")
    ),
    accepted("nifti-unpacked", "IN-16", "a .nii study", nifti()),
    accepted("gzip-members", "IN-16", "a .nii.gz of three gzip members", _several_gzip_members),
    accepted("gzip-named", "IN-16", "gzip with a name, a date and little effort", _named_gzip),
    accepted("gzip-stored", "IN-16", "gzip that does not pack", _stored_gzip),
    accepted(
        "nifti-extension", "IN-16", "a header extension before the voxels", nifti(extension=b"a comment".ljust(24))
    ),
    accepted("nifti-float32", "IN-17", "float32 voxels", nifti("f4")),
    accepted("nifti-float64", "IN-17", "float64 voxels", nifti("f8", mask_dtype="f8")),
    accepted("nifti-int32", "IN-18", "int32 voxels", nifti("i4", mask_dtype="i4")),
    accepted("nifti-int64", "IN-18", "int64 voxels", nifti("i8", mask_dtype="i8")),
    accepted("nifti-scaled", "IN-18", "scl_slope 0.5, scl_inter -1024", _scaled(0.5, -1024, "u2")),
    accepted("nifti-slope-0", "IN-18", "scl_slope 0: no scaling, by the standard", nifti(slope=0.0)),
    accepted("nifti-big-endian", "IN-18", "big-endian", nifti(order=">")),
    accepted("nifti-sform-only", "IN-18", "sform only", nifti(codes=(0, 1))),
    accepted("nifti-qform-only", "IN-18", "qform only", nifti(codes=(1, 0))),
    accepted("nifti-codes", "IN-18", "qform and sform codes 1 and 4", nifti(codes=(1, 4))),
    accepted("nifti-axes-of-1", "IN-18", "five axes, the last two of length 1", nifti(axes=5)),
    accepted("nifti-oblique", "IN-18", "an oblique volume in single precision", nifti(affine=OBLIQUE)),
    accepted("nifti-oblique-sform", "IN-18", "the same with sform only", nifti(affine=OBLIQUE, codes=(0, 2))),
    accepted("nifti-oblique-qform", "IN-18", "the same with qform only", nifti(affine=OBLIQUE, codes=(1, 0))),
    accepted("nifti-ras", "IN-15", "voxels stored to right, front, top", along("RAS")),
    accepted("nifti-las", "IN-15", "voxels stored to left, front, top", along("LAS")),
    accepted("nifti-pir", "IN-15", "voxels stored to back, bottom, right", along("PIR")),
    accepted("nifti-asl", "IN-15", "voxels stored to front, top, left", along("ASL")),
    accepted("nrrd", "IN-16", "an NRRD study", _text(".nrrd")),
    accepted("nrrd-gzip", "IN-16", "a packed NRRD study", _text(".nrrd", compressed=True)),
    accepted("nrrd-lps", "IN-18", "NRRD in left-posterior-superior", _nrrd_in("left-posterior-superior", (1, 1, 1))),
    accepted("nrrd-ras", "IN-18", "NRRD in right-anterior-superior", _nrrd_in("right-anterior-superior", (-1, -1, 1))),
    accepted("nrrd-las", "IN-18", "NRRD in LAS", _nrrd_in("LAS", (1, -1, 1))),
    accepted("nrrd-float64", "IN-17", "an NRRD of float64", _text_of(".nrrd", "f8")),
    accepted("mha", "IN-16", "an MHA study", _text(".mha")),
    accepted("mha-compressed", "IN-16", "a packed MHA study", _text(".mha", compressed=True)),
    accepted("mha-int32", "IN-18", "an MHA of int32", _text_of(".mha", "i4")),
    accepted("mha-turned", "IN-18", "an oblique MHA study", _turned_mha),
    accepted("mixed-formats", "IN-20", "a NIfTI CT with an NRRD mask", _mixed_formats),
)
