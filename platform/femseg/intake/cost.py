"""How much memory the check of a study takes, told beforehand from one header of every file or folder."""

from collections.abc import Iterable
from pathlib import Path

from femseg.errors import Refusal
from femseg.files.plain import is_file
from femseg.formats.dicom.headers import OtherObject, SliceHeader, read_slice_header
from femseg.formats.dicom.segmentation import SEGMENTATIONS
from femseg.formats.volume_file import stated_volume, volume_suffix
from femseg.formats.zip_archive import unpacked_sizes
from femseg.layouts.adapter import StudyFiles

LIBRARIES_BYTES = 300 * 2**20
_VOXEL_BYTES, _WIDE_VOXEL_BYTES = 20, 28
_WIDE_ITEM_BYTES = 8


def check_memory_bytes(study: StudyFiles) -> int:
    """An upper bound on what checking a study takes: the CT as float32, the mask, and what is made of the two.

    That is 20 bytes for each voxel of the largest volume (28 in files of 64-bit values), and 300 MiB for the libraries.
    Measured on 20 million voxels: 17 bytes a voxel for DICOM, 14 for NIfTI of 16 bits and 24 of 64 bits.
    What cannot be read or is too large (IN-24) counts as nothing: it is refused before its pixels are. Of a zipped
    study it is an estimate: its headers are unknown until it is unpacked.
    """
    if study.archive is not None:
        return _of_archive(study.archive) + LIBRARIES_BYTES
    volumes = [path for path in study.files if volume_suffix(path)]
    needs = [_of_volume_file(path) for path in volumes]
    for folder in sorted({path.parent for path in study.files}):
        needs.append(_of_series([p for p in study.files if p.parent == folder and not volume_suffix(p)]))
    return max(needs, default=0) + LIBRARIES_BYTES


def _of_archive(archive: Path) -> int:
    """By declared sizes alone: all of it one volume of 16-bit voxels; what is compressed in itself, four times that."""
    sizes = unpacked_sizes(archive)
    voxels = sum(size * (4 if name.endswith(".gz") else 1) for name, size in sizes.items()) // 2
    return voxels * _VOXEL_BYTES


def _of_volume_file(path: Path) -> int:
    try:
        layout = stated_volume(path).layout
    except Refusal:
        return 0
    return layout.voxels * (_WIDE_VOXEL_BYTES if layout.dtype.itemsize == _WIDE_ITEM_BYTES else _VOXEL_BYTES)


def _of_series(files: list[Path]) -> int:
    """A folder's files as if they were one series of slices as large as the one in its largest file."""
    largest_first = sorted((path for path in files if is_file(path)), key=lambda path: -path.stat().st_size)
    slice_ = _first_slice(largest_first)
    images = max(len(files), slice_.frames) if slice_ else 0
    return images * (slice_.rows or 0) * (slice_.columns or 0) * _VOXEL_BYTES if slice_ else 0


def _first_slice(files: Iterable[Path]) -> SliceHeader | None:
    for path in files:
        try:
            header = read_slice_header(path)
        except Refusal:
            continue
        if not isinstance(header, OtherObject) and header.sop_class not in SEGMENTATIONS:  # is drawn on the CT's grid
            return header
    return None


# of one core of a small server; the bytes of a DICOM study are read, unpacked, hashed and looked at
_HEADER_SECONDS, _BYTES_A_SECOND = 3e-4, 1.2e8


def expected_seconds(studies: Iterable[StudyFiles], *, headers_only: bool) -> float:
    """Seconds on one core, from the number of files and, where voxels are looked at, their size."""
    files = [path for study in studies for path in (study.files or (study.archive,)) if path is not None]
    seconds = len(files) * _HEADER_SECONDS
    return seconds if headers_only else seconds + sum(map(_size, files)) / _BYTES_A_SECOND


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
