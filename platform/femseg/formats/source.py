"""Which files make one volume, and what their headers promise once they have been checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from femseg.files.durable import sha256_of_file
from femseg.volumes.grid import VoxelGrid

FileKind = Literal["dicom", "multiframe", "volume", "dicom-seg", "rtstruct"]
Mend = Literal["regularise", "untilt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedFile:
    """A source file and the SHA-256 of its bytes when it was checked. Paths are relative to the cohort's folder."""

    path: str
    sha256: str


def files_to_open(kind: FileKind, paths: Sequence[Path]) -> Sequence[Path]:
    """The files by which a reader finds the voxels: of a NIfTI pair its .hdr, which leads to the .img beside it."""
    return [path for path in paths if path.suffix.lower() != ".img"] if kind == "volume" else paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The files that make one volume.

    Attributes:
        kind: how to read the files: a DICOM series, one enhanced multi-frame file, volume files, or a mask that is
            drawn onto its CT's grid (DICOM-SEG, RTSTRUCT).
        files: in reading order; for "dicom" first to last along the slice normal. Several volumes are one mask:
            the voxels of the k-th have the value k, counted from 1. Of a pair, the .img stands behind its .hdr.
        labels: mask only; the voxel values that are femur.
        mends: what is done to the voxels after reading, as chosen by the user.
        archive: the ZIP file that the files lie in, where they do; their paths then count from its root.
    """

    kind: FileKind
    files: tuple[HashedFile, ...]
    labels: tuple[int, ...] = ()
    mends: tuple[Mend, ...] = ()
    archive: HashedFile | None = None

    def paths(self, root: Path) -> tuple[Path, ...]:
        """Where the files lie, given the cohort's folder."""
        return tuple(root / file.path for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedVolume:
    """A volume whose headers hold: its files in reading order and the grid on which its voxels lie.

    Attributes:
        grid: after the mends; for a mask that is drawn onto its CT, the CT's.
        mends: what is done to the voxels after reading.
        remarks: what was tolerated or mended, each starting with its matrix id.
    """

    kind: FileKind
    paths: tuple[Path, ...]
    grid: VoxelGrid
    mends: tuple[Mend, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def where(self) -> Path:
        """What faults of the whole volume name: its file, or the folder of its files."""
        files = files_to_open(self.kind, self.paths)
        return files[0] if len(files) == 1 else files[0].parent

    def hashed(self, root: Path, labels: tuple[int, ...] = ()) -> Source:
        """The same files with their SHA-256, by paths relative to the cohort's folder."""
        files = tuple(
            HashedFile(path=path.relative_to(root).as_posix(), sha256=sha256_of_file(path)) for path in self.paths
        )
        return Source(kind=self.kind, files=files, labels=labels, mends=self.mends)
