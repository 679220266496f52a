"""One volume in one file (NIfTI, NRRD, MHA) or in a NIfTI pair (.hdr, .img): checked before its voxels are read."""

import contextlib
import os
import zlib
from pathlib import Path

import SimpleITK as sitk

from femseg.errors import Refusal
from femseg.files.plain import opened
from femseg.formats.itk import itk_reading
from femseg.formats.mha import read_mha_header
from femseg.formats.nifti import NIFTI_2_BYTES, check_nifti, lone_half, stated_by_nifti, voxel_file
from femseg.formats.npy import npy_refusal
from femseg.formats.nrrd import read_nrrd_header
from femseg.formats.plausible import size_faults
from femseg.formats.source import CheckedVolume
from femseg.formats.stated import StatedVolume, header_fault
from femseg.formats.voxel_bytes import Role, check_ratio, check_voxels, gzip_chunks, plain_chunks, zlib_chunks
from femseg.volumes.grid import VoxelGrid

SUFFIXES = (".nii.gz", ".nii", ".hdr", ".nrrd", ".mha")
_NIFTI = (".nii.gz", ".nii", ".hdr")
FOREIGN_SUFFIXES = (
    *(".img", ".hdr.gz", ".img.gz", ".mhd", ".nhdr"),
    *(".mgz", ".mgh", ".npy", ".npz", ".tif", ".tiff", ".vtk"),
)
_HEAD_BYTES = 4096
SAME_PLACE_MM = 0.1  # single precision and rounding to 0.0001 mm stay below, over 1000 voxels
_IMAGE_IO = dict.fromkeys(_NIFTI, "NiftiImageIO") | {".nrrd": "NrrdImageIO", ".mha": "MetaImageIO"}
_CHUNKS = {"none": plain_chunks, "gzip": gzip_chunks, "zlib": zlib_chunks}
_CONVERT = {
    ".hdr.gz": "unpack both files of the pair",
    ".img.gz": "unpack both files of the pair",
    ".mhd": "write it as .mha, header and voxels in one file",
    ".nhdr": "write it as .nrrd, header and voxels in one file",
}


def volume_suffix(path: Path) -> str:
    """The suffix by which a volume file is known (".nii.gz" counts as one), "" for any other file."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix) and name != suffix), "")


def volume_stem(path: Path) -> str:
    """File name without that suffix."""
    return path.name[: len(path.name) - len(volume_suffix(path))]


def is_nifti(path: Path) -> bool:
    """Whether a file is NIfTI by its name: in one file, or the header of a pair."""
    return volume_suffix(path) in _NIFTI


def header_of_pair(path: Path) -> Path | None:
    """The .hdr to which an .img file would belong, whether it is there or not; None for any other file."""
    return path.with_suffix(".HDR" if path.suffix.isupper() else ".hdr") if path.suffix.lower() == ".img" else None


def volume_reader(path: Path) -> sitk.ImageFileReader:
    """A SimpleITK reader that takes the file for what its name says, whatever else its bytes may look like."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_IMAGE_IO[volume_suffix(path)])
    reader.SetFileName(str(path))
    return reader


def stated_volume(path: Path) -> StatedVolume:
    """What the file's own header states, in our reading; its voxels are not looked at.

    Raises: Refusal (IN-16, IN-18, IN-24, IN-26) if the header cannot be meant.
    """
    suffix = volume_suffix(path)
    if suffix in _NIFTI:
        return stated_by_nifti(path)
    with opened(path) as stream:
        if suffix == ".nrrd":
            return read_nrrd_header(stream, path)
        return read_mha_header(stream, path, path.stat().st_size)


def _check_suffix(path: Path) -> None:
    """Refuse a file whose bytes are plainly of another kind than its name says (IN-12): named rightly, it is read."""
    suffix = volume_suffix(path)
    with opened(path) as stream:
        head = stream.read(_HEAD_BYTES)
    packed, inner = head.startswith(b"\x1f\x8b"), head
    if packed:
        inner = b""
        with contextlib.suppress(zlib.error):
            inner = zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES)
    held = _kind_of(inner)
    problem = fix = ""
    if suffix == ".nii" and packed:
        problem, fix = "is packed, which its name does not say", "name it .nii.gz"
    elif suffix == ".nii.gz" and held == ".nii" and not packed:
        problem, fix = "is not packed, as its name says", "name it .nii"
    elif held and held != suffix.removesuffix(".gz"):
        problem = f"is of another kind than its name says ({held.removeprefix('.')})"
        fix = f"name it {held}, or write it again as {suffix}"
    if problem:
        raise Refusal.of("IN-12", path, problem, fix)


def _kind_of(head: bytes) -> str:
    """The suffix that a file's first bytes call for; "" where they do not tell."""
    if head[128:132] == b"DICM":
        return ".dcm"
    if head[:4] == b"NRRD":
        return ".nrrd"
    if head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0":
        return ".nii"
    return ".mha" if head[:10] == b"ObjectType" else ".zip" if head[:4] == b"PK\3\4" else ""


def check_volume_file(path: Path, role: Role) -> CheckedVolume:
    """Check a volume file's header and every byte of its voxels, then that SimpleITK places them where the header does.

    Raises: Refusal with every fault found (IN-12, IN-16 … IN-19, IN-24 … IN-26).
    """
    if not volume_suffix(path):
        raise _foreign(path)
    _check_suffix(path)
    stated = check_nifti(path, role) if is_nifti(path) else _check_text_file(path, role)
    if faults := size_faults(stated.grid, str(path), cropped=role == "mask"):
        raise Refusal(faults)
    files = tuple(dict.fromkeys((path, voxel_file(path))))
    if stated.header_bytes == NIFTI_2_BYTES:  # ITK does not read it, and cannot place its voxels otherwise
        return CheckedVolume(kind="volume", paths=files, grid=stated.grid)
    reader = volume_reader(path)
    with itk_reading(str(path)):
        reader.ReadImageInformation()
    size = tuple(n for k, n in enumerate(reader.GetSize()) if k < 3 or n > 1)
    channels = reader.GetNumberOfComponents()
    if len(size) != 3 or channels != 1:
        problem = f"holds {channels} value(s) per voxel on {len(size)} axes {size}, expected one on three"
        raise header_fault(path, problem, "store one 3-D volume per file")
    try:
        grid = _grid(reader)
    except ValueError as error:
        raise header_fault(path, str(error), "write the file again with its true geometry") from None
    apart_mm = grid.largest_offset_mm(stated.grid)
    if grid.shape_zyx != stated.grid.shape_zyx or apart_mm > SAME_PLACE_MM:
        problem = (
            f"places its voxels in two ways up to {apart_mm:.3g} mm apart (tolerated {SAME_PLACE_MM:g}): "
            f"spacing {_mm(stated.grid.spacing_mm_zyx)} or {_mm(grid.spacing_mm_zyx)}, "
            f"origin {_mm(stated.grid.origin_mm_xyz)} or {_mm(grid.origin_mm_xyz)}"
        )
        raise header_fault(path, problem, "write the file again with one geometry")
    return CheckedVolume(kind="volume", paths=files, grid=grid)


def _check_text_file(path: Path, role: Role) -> StatedVolume:
    with opened(path) as stream:
        file_bytes = path.stat().st_size
        nrrd = volume_suffix(path) == ".nrrd"
        stated = read_nrrd_header(stream, path) if nrrd else read_mha_header(stream, path, file_bytes)
        if stated.packing != "none":
            check_ratio(stated.layout, file_bytes - stated.header_bytes, path, role)
        check_voxels(_CHUNKS[stated.packing](stream, path), stated.layout, path)
    return stated


def _foreign(path: Path) -> Refusal:
    name = path.name.lower()
    if name.endswith((".npy", ".npz")):
        return npy_refusal(path)
    if header := header_of_pair(path):
        if not os.path.lexists(header):
            return lone_half(path, header)
        return Refusal.of("IN-12", path, "holds the voxels of a pair alone", f"name its header, {header.name}")
    suffix = next((suffix for suffix in _CONVERT if name.endswith(suffix)), "")
    problem = f"is of a kind that is not read; {', '.join(SUFFIXES)} are"
    return Refusal.of("IN-12", path, problem, _CONVERT.get(suffix, "convert it with its geometry"))


def _grid(reader: sitk.ImageFileReader) -> VoxelGrid:
    x, y, z = reader.GetSize()[:3]
    dimension = reader.GetDimension()
    direction = reader.GetDirection()
    return VoxelGrid(
        shape_zyx=(z, y, x),
        spacing_mm_zyx=reader.GetSpacing()[2::-1],
        origin_mm_xyz=reader.GetOrigin()[:3],
        direction_xyz=tuple(direction[dimension * row + column] for row in range(3) for column in range(3)),
    )


def _mm(lengths: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{length:.6g}" for length in lengths) + ")"
