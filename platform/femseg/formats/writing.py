"""A femur mask as a file that other programs open: whole, read back, and the same bytes every time."""

import errno
import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from femseg.errors import Refusal
from femseg.files.durable import written_durably
from femseg.files.plain import name_fault
from femseg.formats.itk import itk_words
from femseg.volumes.grid import LabelVolume, MaskVolume, VoxelGrid

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")
_NIFTI_HEADER_BYTES = 352  # 348 of NIfTI-1 and four that say "no extension"
_CHUNK_BYTES = 1 << 22
ANATOMY = ("123037004", "Anatomical Structure")
_TERMS, _PLACES = "Segmentation category and type - DICOM master list", "Anatomic codes - DICOM master list"


def require_mask_suffix(path: Path) -> str:
    """The suffix that decides the format. Raises: Refusal (exit 2) if it is none that we write, or there is no more."""
    suffix = next((suffix for suffix in SUFFIXES[::-1] if path.name.endswith(suffix)), "")
    if not suffix:
        problem = f"masks are written as {', '.join(SUFFIXES)}, not as '{path.suffix}'"
        fix = "choose one of these suffixes"
    elif path.name == suffix:
        problem, fix = "has nothing before its suffix, which makes it a hidden file of no kind", f"name it mask{suffix}"
    elif problem := name_fault(path):
        fix = "choose another name"
    else:
        return suffix
    raise Refusal.of("CFG-01", path, problem, fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What a value of a mask stands for.

    Attributes:
        value: of its voxels.
        name: in words.
        code: SNOMED CT code and meaning.
        modifier: the same of its side; empty where none is told.
    """

    value: int
    name: str
    code: tuple[str, str]
    modifier: tuple[str, str] | tuple[()] = ()


def write_mask(path: Path, mask: MaskVolume) -> None:
    """Write a mask as 0 and 1. See `write_labels`."""
    write_labels(path, LabelVolume(labels_zyx=mask.femur_zyx.view(np.uint8), grid=mask.grid))


def write_labels(
    path: Path,
    labels: LabelVolume,
    structures: Sequence[Structure] = (),
    *,
    before_named: Callable[[Path], None] | None = None,
) -> None:
    """Write labels (uint8) on their own grid, in the format that the suffix names.

    NRRD and MetaImage also keep what the values stand for, by name and code, in the keys of 3D Slicer's segmentations.
    The file is read back before it gets its name: every voxel must be equal, and no voxel's place may have moved by
    more than 1e-6 mm in NRRD and MetaImage, which keep decimal text, or 1e-4 mm in NIfTI-1, whose header keeps spacing,
    origin and direction in single precision (half a unit in the last place of 300 mm is 1.5e-5 mm). A grid that was
    itself read from NIfTI-1 comes back exactly.

    Args:
        before_named: called with the file once it is proven, while it still has its temporary name.
    Raises: Refusal (exit 2) on an unknown suffix; (exit 5) if the disk is full, also where SimpleITK does not notice.
    """
    suffix = require_mask_suffix(path)
    image = labels.grid.image(labels.labels_zyx)
    if suffix in (".nrrd", ".mha"):
        for number, structure in enumerate(structures):
            for key, text in _segment_keys(number, structure).items():
                image.SetMetaData(key, text)

    def reads_back(temporary: Path) -> None:
        _require_whole(temporary, suffix, voxels=labels.labels_zyx.size)
        _require_same_labels(temporary, labels, tolerance_mm=1e-4 if "nii" in suffix else 1e-6)
        if before_named:
            before_named(temporary)

    with written_durably(path, check=reads_back) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=suffix != ".nii")
        except RuntimeError as error:
            raise _not_written(f"SimpleITK: {itk_words(error)}") from error


def _segment_keys(number: int, structure: Structure) -> dict[str, str]:
    """Keys of one segment as 3D Slicer writes them; of its terminology category, type and modifier, and no place."""
    category, code, modifier = (
        "^".join(("SCT", *term) if term else ("", "", "")) for term in (ANATOMY, structure.code, structure.modifier)
    )
    terms = f"{_TERMS}~{category}~{code}~{modifier}~{_PLACES}~^^~^^"
    return {
        f"Segment{number}_ID": f"Segment_{structure.value}",
        f"Segment{number}_Name": structure.name,
        f"Segment{number}_LabelValue": str(structure.value),
        f"Segment{number}_Layer": "0",
        f"Segment{number}_Tags": f"TerminologyEntry:{terms}|",
    }


def _require_whole(path: Path, suffix: str, *, voxels: int) -> None:
    """SimpleITK reads a NIfTI file that ends too early as if it were whole, and passes over gzip's check sum."""
    if suffix == ".nii":
        found, expected = path.stat().st_size, _NIFTI_HEADER_BYTES + voxels
    elif suffix in (".nii.gz", ".nrrd"):
        with path.open("rb") as stream:
            if suffix == ".nrrd":
                while stream.readline() not in (b"\n", b""):  # a blank line ends the header
                    pass
            found, expected = _unpacked_bytes(stream), voxels + (_NIFTI_HEADER_BYTES if suffix == ".nii.gz" else 0)
    else:
        return  # MetaImage: SimpleITK refuses what is short
    if found != expected:
        raise _not_written(f"{found} bytes read back, expected {expected}")


def _unpacked_bytes(stream: BinaryIO) -> int:
    """Length of what a gzip stream holds; reads to its end, where the check sum stands."""
    try:
        with gzip.GzipFile(fileobj=stream) as unpacked:
            return sum(len(chunk) for chunk in iter(lambda: unpacked.read(_CHUNK_BYTES), b""))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _not_written(str(error)) from error


def _require_same_labels(path: Path, labels: LabelVolume, *, tolerance_mm: float) -> None:
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise _not_written(f"SimpleITK: {itk_words(error)}") from error
    if image.GetPixelID() != sitk.sitkUInt8 or not np.array_equal(sitk.GetArrayViewFromImage(image), labels.labels_zyx):
        raise _not_written("voxels read back differ from the mask")
    offset_mm = labels.grid.largest_offset_mm(VoxelGrid.of_image(image))
    if offset_mm > tolerance_mm:
        raise _not_written(f"read back, a voxel lies {offset_mm:.2g} mm off, expected at most {tolerance_mm:g} mm")


def _not_written(problem: str) -> OSError:
    return OSError(errno.EIO, problem)
