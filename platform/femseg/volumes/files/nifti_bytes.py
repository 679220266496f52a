"""A NIfTI file from its first byte to its last: header, extensions, voxels."""

from itertools import chain
from pathlib import Path

from femseg.volumes.files.nifti_header import HEADER_BYTES, check_extensions, parse_nifti_header
from femseg.volumes.files.opening import opened
from femseg.volumes.files.stated import StatedVolume
from femseg.volumes.files.voxel_bytes import Role, check_ratio, check_voxels, gzip_chunks, plain_chunks


def check_nifti(path: Path, role: Role) -> StatedVolume:
    """Check header, length, checksum and finiteness of a .nii or .nii.gz file.

    Raises: Refusal IN-16 (exit 4), IN-17, IN-18, IN-24 (exit 5); IN-26 if the file cannot be opened.
    """
    packed = path.name.lower().endswith(".gz")
    with opened(path) as stream:
        chunks = gzip_chunks(stream, path) if packed else plain_chunks(stream, path)
        head = next(chunks, b"")
        stated = parse_nifti_header(head[:HEADER_BYTES], path)
        if packed:
            check_ratio(stated.layout, path.stat().st_size, path, role)
        check_extensions(head[HEADER_BYTES : stated.layout.before], path)
        check_voxels(chain([head], chunks), stated.layout, path)
    return stated


def stated_by_nifti(path: Path) -> StatedVolume:
    """The header alone. Raises: Refusal as above."""
    with opened(path) as stream:
        chunks = gzip_chunks(stream, path) if path.name.lower().endswith(".gz") else plain_chunks(stream, path)
        return parse_nifti_header(next(chunks, b"")[:HEADER_BYTES], path)
