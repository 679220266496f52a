"""A folder of DICOM files: which are slices, which are broken, and what else lies beside them."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from femseg.errors import Fault, Refusal
from femseg.files.plain import is_folder, open_plain
from femseg.formats.dicom.deflated import MARK_BYTES, is_bare
from femseg.formats.dicom.headers import OtherObject, SliceHeader, read_slice_header

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
_SYSTEM = (  # folders of file servers and operating systems, in lower case
    *("#recycle", "#snapshot", "@eadir", "@recycle", "@recently-snapshot", "@tmp", "$recycle.bin", "recycler"),
    *("system volume information", "lost+found", "__macosx"),
)
_BESIDE = ("readme", "license", "version", "lockfile", "dicomdir", "thumbs", "desktop")


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomScan:
    """The headers found among some files.

    Attributes:
        slices: every image, in no particular order.
        others: DICOM objects without an image.
        faults: one for each file that should be a slice and cannot be used.
        ignored: files that are none of intake's business.
    """

    slices: tuple[SliceHeader, ...]
    others: tuple[OtherObject, ...]
    faults: tuple[Fault, ...]
    ignored: tuple[Path, ...]


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's: a hidden one, or a system's bin, thumbnails or snapshots."""
    return name.startswith(".") or name.lower() in _SYSTEM


def system_folders(folder: Path) -> tuple[str, ...]:
    """Names of systems' own folders in a folder and in those directly below it; hidden ones are not worth a word."""
    found: set[str] = set()
    for place in (folder, *(path for path in folder.iterdir() if is_folder(path) and not is_hidden(path.name))):
        try:
            found |= {entry.name for entry in os.scandir(place) if entry.name.lower() in _SYSTEM and entry.is_dir()}
        except OSError:  # said by whoever checks what lies there
            continue
    return tuple(sorted(found))


def by_series(slices: Iterable[SliceHeader]) -> dict[str, list[SliceHeader]]:
    """Slices by SeriesInstanceUID; those without one join the only series there is, or stand alone under ""."""
    found: dict[str, list[SliceHeader]] = {}
    for header in slices:
        found.setdefault(header.series_uid, []).append(header)
    if len(found) == 2 and "" in found:
        nameless = found.pop("")
        next(iter(found.values())).extend(nameless)
    return found


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder in name order; hidden ones and a system's own left out.

    A folder that cannot be looked into stands among the files, so that whoever opens it says so: what lies in it would
    else be missing without a word. So does an empty folder that is named like a file.
    """
    found: list[Path] = []

    def unreadable(error: OSError) -> None:
        found.append(Path(error.filename))

    for place, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not is_hidden(name)]
        found += [Path(place, name) for name in folders if Path(place, name).is_symlink()]
        found += [Path(place, name) for name in files if not name.startswith(".")]
        if not folders and not files and Path(place) != folder and _named_like_a_file(place):
            found.append(Path(place))
    return sorted(found)


def holds_dicom(files: Iterable[Path]) -> bool:
    """Whether any of the files is DICOM, by its mark or its name; a DICOMDIR alone is the index of something else."""
    return any(path.suffix.lower() in _DICOM_SUFFIXES or _has_mark(path) for path in files if not _lies_beside(path))


def is_dicom(name: str, first_bytes: bytes) -> bool:
    """Whether a file is DICOM, by its name or by its first `MARK_BYTES`."""
    return name.lower().endswith(_DICOM_SUFFIXES) or first_bytes[128:] == b"DICM" or is_bare(first_bytes)


def scan_dicom(files: Sequence[Path]) -> DicomScan:
    """Read the header of every file that is a DICOM slice or ought to be one; never drop one of those.

    A file ought to be a slice if its name ends like a DICOM file's (.dcm, .dicom, .ima), or if it ends like that of a
    proven DICOM file in the same folder (many archives use no suffix at all).
    """
    unclear = (path for path in files if path.suffix.lower() not in _DICOM_SUFFIXES or _lies_beside(path))
    marked = {path for path in unclear if _has_mark(path)}
    endings = {(path.parent, _ending(path)) for path in marked if not _lies_beside(path)}
    slices: list[SliceHeader] = []
    others: list[OtherObject] = []
    faults: list[Fault] = []
    ignored: list[Path] = []
    for path in files:
        if path not in marked and _is_packed_slice(path, endings):
            faults.append(Fault("IN-14", path, "is a packed file among slices", "unpack it in its place"))
            continue
        expected = path.suffix.lower() in _DICOM_SUFFIXES or (path.parent, _ending(path)) in endings
        if path not in marked and (_lies_beside(path) or not expected):
            unseen = folder_faults([path])
            faults += unseen
            ignored += [] if unseen else [path]
            continue
        try:
            header = read_slice_header(path)
        except Refusal as refusal:
            faults.extend(refusal.faults)
            continue
        if isinstance(header, OtherObject):
            others.append(header)
        else:
            slices.append(header)
    return DicomScan(slices=tuple(slices), others=tuple(others), faults=tuple(faults), ignored=tuple(ignored))


def _is_packed_slice(path: Path, endings: set[tuple[Path, str]]) -> bool:
    """Whether a name says that a file of the kind of its neighbours, or a DICOM file, was packed by itself."""
    inner = path.with_suffix("")
    expected = inner.suffix.lower() in _DICOM_SUFFIXES or (path.parent, _ending(inner)) in endings
    return path.suffix.lower() in _PACKED_SUFFIXES and expected and not _lies_beside(inner)


def folder_faults(files: Iterable[Path]) -> list[Fault]:
    """IN-26 for each folder among what should be files: what lies in it was not looked at."""
    faults = []
    for path in files:
        if path.is_symlink() and is_folder(path):
            problem, fix = "is a link to a folder, which is not followed", "put the folder itself there, or take it out"
        elif is_folder(path) and not os.access(path, os.R_OK | os.X_OK):
            problem, fix = "cannot be looked into: Permission denied", "give yourself the right to read it"
        elif is_folder(path):
            problem, fix = "is a folder where a file is meant", "put the file there, or remove the folder"
        else:
            continue
        faults.append(Fault("IN-26", path, problem, fix))
    return faults


def _named_like_a_file(place: str) -> bool:
    return place.lower().endswith((*_DICOM_SUFFIXES, ".nii", ".nii.gz", ".nrrd", ".mha", ".npy", ".npz"))


def _lies_beside(path: Path) -> bool:
    return path.stem.lower() in _BESIDE


def _ending(path: Path) -> str:
    """Suffix in lower case; names that are UIDs or numbers have none."""
    suffix = path.suffix.lower()
    return "" if suffix[1:].isdigit() else suffix


def _has_mark(path: Path) -> bool:
    try:
        with open_plain(path) as stream:
            head = stream.read(MARK_BYTES)
        return head[128:] == b"DICM" or is_bare(head)
    except OSError:
        return False
