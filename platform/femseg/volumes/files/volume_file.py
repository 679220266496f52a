"""One volume in one file (NIfTI, NRRD, MHA): checked before its voxels are read."""

from pathlib import Path
from typing import Literal

import SimpleITK as sitk

from femseg.errors import Fault, Refusal
from femseg.volumes.files.itk import itk_reading
from femseg.volumes.files.nifti_bytes import check_nifti
from femseg.volumes.files.plausible import size_faults, voxel_count_faults
from femseg.volumes.files.source import CheckedVolume
from femseg.volumes.files.text_headers import check_text_header
from femseg.volumes.grid import VoxelGrid

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
FOREIGN_SUFFIXES = (".hdr", ".img", ".img.gz", ".mhd", ".nhdr", ".mgz", ".mgh", ".npy", ".npz", ".tif", ".tiff", ".vtk")


def volume_suffix(path: Path) -> str:
    """The suffix by which a volume file is known (".nii.gz" counts as one), "" for any other file."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix) and name != suffix), "")


def volume_stem(path: Path) -> str:
    """File name without that suffix."""
    return path.name[: len(path.name) - len(volume_suffix(path))]


def image_information(path: Path) -> sitk.ImageFileReader:
    """A SimpleITK reader that has read the header alone. Raises: Refusal IN-16."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with itk_reading(str(path)):
        reader.ReadImageInformation()
    return reader


def check_volume_file(path: Path, role: Literal["ct", "mask"]) -> CheckedVolume:
    """Check a volume file's header and, for NIfTI, every byte of it.

    Raises: Refusal with every fault found (IN-12, IN-16 … IN-19, IN-24, IN-26).
    """
    suffix = volume_suffix(path)
    if not suffix:
        kinds = ", ".join(SUFFIXES)
        problem = f"is of a kind that is not read; {kinds} are"
        fix = "convert it with its geometry; arrays without spacing (NPY) cannot be used"
        raise Refusal(Fault(id="IN-12", file=str(path), problem=problem, fix=fix))
    try:
        if suffix.startswith(".nii"):
            check_nifti(path, ct=role == "ct")
        else:
            check_text_header(path)
    except OSError as error:
        problem = f"cannot be opened: {error.strerror or error}"
        fix = "restore the file or its permissions"
        raise Refusal(Fault(id="IN-26", file=str(path), problem=problem, fix=fix)) from None
    reader = image_information(path)
    size = tuple(n for k, n in enumerate(reader.GetSize()) if k < 3 or n > 1)
    channels = reader.GetNumberOfComponents()
    if len(size) != 3 or channels != 1:
        problem = f"holds {channels} value(s) per voxel on {len(size)} axes {size}, expected one on three"
        raise Refusal(Fault(id="IN-18", file=str(path), problem=problem, fix="store one 3-D volume per file"))
    if faults := voxel_count_faults(size, str(path)):
        raise Refusal(faults)
    try:
        grid = _grid(reader)
    except ValueError as error:
        fix = "write the file again with its true geometry"
        raise Refusal(Fault(id="IN-18", file=str(path), problem=str(error), fix=fix)) from None
    if faults := size_faults(grid, str(path)):
        raise Refusal(faults)
    return CheckedVolume(kind="volume", paths=(path,), grid=grid)


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
