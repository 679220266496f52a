"""ZIP files: unpacked into a private folder for as long as they are read, or refused for what they would do.

Every bound is held by what the archive declares before a byte is unpacked. What it declares holds while unpacking:
`zipfile` never gives more of an entry than its declared size, and then compares the check sum.
"""

import errno
import io
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from femseg.errors import Fault, Refusal, words_of
from femseg.files.durable import require_free_space
from femseg.files.plain import is_folder, opened

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".7z", ".rar")
ENTRIES_AT_MOST = 10_000
UNPACKED_BYTES_AT_MOST = 8 << 30  # a CT of 2^30 voxels as float32, and its mask
RATIO_AT_MOST = 200
_LIST_BYTES_AT_MOST = 8 << 20
_NAME_BYTES_AT_MOST = 1000
_FAULTS_SHOWN = 12
_CHUNK_BYTES = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a bound on what one read takes
_ENCRYPTED_OR_PATCHED = 0x1 | 0x20 | 0x40 | 0x2000  # bits of an entry's general purpose flag
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def is_archive(path: Path) -> bool:
    """Whether a file's name says that it is an archive, also one of a kind that is refused."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES) and not is_folder(path)


def archive_stem(path: Path) -> str:
    """File name without the suffix that makes it an archive."""
    suffix = max((suffix for suffix in ARCHIVE_SUFFIXES if path.name.lower().endswith(suffix)), key=len)
    return path.name[: -len(suffix)]


@contextmanager
def unpacked(archive: Path, *, only: Collection[str] = ()) -> Iterator[Path]:
    """A folder (mode 0700) with an archive's files; it is removed afterwards, also on error.

    Args:
        only: names of the files to unpack, "/" between folders; none means all.
    Raises: Refusal SC-07 (exit 9) for names, links or counts that no study has; IN-24 (exit 5) for sizes; PP-09 (exit
        5) if the disk is too small; IN-16 (exit 4) for a torn archive; IN-12 for other kinds of archive, encryption
        and archives in it; IN-26 if it cannot be opened. Nothing is ever written outside the folder.
    """
    if not archive.name.lower().endswith(".zip"):
        problem = "is an archive of a kind that is not unpacked; .zip is"
        raise Refusal.of("IN-12", archive, problem, "unpack it into a folder of its own, or pack it as ZIP")
    with tempfile.TemporaryDirectory(prefix="femseg-zip-", ignore_cleanup_errors=True) as temporary:
        with _opened(archive) as (zipped, files):
            chosen = {name: info for name, info in files.items() if not only or name in only}
            require_free_space(Path(temporary), sum(info.file_size for info in chosen.values()))
            for name, info in chosen.items():
                _unpack(zipped, info, Path(temporary, name), f"{archive}/{name}")
        yield Path(temporary)


def any_file(archive: Path, wanted: Callable[[str, bytes], bool], *, head_bytes: int) -> bool:
    """Whether a ZIP holds a file that is wanted by its name and its first bytes; no, of an archive that is refused."""
    try:
        with _opened(archive) as (zipped, files):
            for name, info in files.items():
                with zipped.open(info) as stream:
                    if wanted(name, stream.read(head_bytes)):
                        return True
    except Refusal:
        pass
    return False


def unpacked_sizes(archive: Path) -> dict[str, int]:
    """How many bytes each file of a ZIP declares to have; none for an archive that is refused."""
    try:
        with _opened(archive) as (_, files):
            return {name: info.file_size for name, info in files.items()}
    except Refusal:
        return {}


class _Bounded(io.FileIO):
    """A file of which no read takes more than the list of 10 000 entries does; `zipfile` reads that list at once."""

    def __init__(self, plain: BinaryIO, archive: Path) -> None:
        super().__init__(plain.fileno(), closefd=False)
        self.archive = archive

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._rest_bytes() if size is None or size < 0 else size
        if wanted > _LIST_BYTES_AT_MOST:
            problem = f"declares a list of entries of {wanted} bytes, at most {_LIST_BYTES_AT_MOST} are read"
            raise Refusal(_dangerous(str(self.archive), problem))
        return super().read(wanted) or b""

    def _rest_bytes(self) -> int:
        return max(os.fstat(self.fileno()).st_size - self.tell(), 0)


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """A ZIP and its files by name, judged; whatever is wrong with it, also later on, becomes a refusal."""
    file = str(archive)
    with opened(archive) as plain:
        try:
            with _Bounded(plain, archive) as stream, zipfile.ZipFile(stream) as zipped:
                yield zipped, _judged(zipped, archive)
        except (NotImplementedError, RuntimeError) as error:
            problem = f"cannot be unpacked: {words_of(error)}"
            raise Refusal.of("IN-12", file, problem, "pack the study as a plain ZIP") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError) as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                problem = "cannot be unpacked: the folder for temporary files is full"
                fix = "free space there, or name another folder by TMPDIR"
                raise Refusal.of("PP-09", file, problem, fix) from None
            raise _torn(file, words_of(error)) from None


def _judged(zipped: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """The files to unpack, by name, once nothing speaks against any entry."""
    entries = zipped.infolist()
    if len(entries) > ENTRIES_AT_MOST:
        problem = f"holds {len(entries)} entries, at most {ENTRIES_AT_MOST} are unpacked"
        raise Refusal(_dangerous(str(archive), problem))
    faults = [fault for info in entries for fault in _entry_faults(info, f"{archive}/{_name(info)}")]
    faults += [_dangerous(f"{archive}/{name}", "is there twice") for name in _clashing(entries)]
    faults += _size_faults(entries, archive)
    if faults:
        raise Refusal(faults[:_FAULTS_SHOWN])
    files = {_name(info): info for info in entries if not info.is_dir()}
    return {name: info for name, info in files.items() if not name.startswith("__MACOSX/")}


def _name(info: zipfile.ZipInfo) -> str:
    """With "/" between folders; some programs write "\\" there, or begin names with "./"."""
    return str(PurePosixPath(info.filename.replace("\\", "/")))


def _entry_faults(info: zipfile.ZipInfo, file: str) -> list[Fault]:
    """SC-07 for an entry that would lie outside or is no plain file; IN-12 for what is not unpacked."""
    name = _name(info)
    parts = PurePosixPath(name).parts
    kind = stat.S_IFMT(info.external_attr >> 16)
    faults = []
    if name.startswith("/") or name[1:2] == ":":
        faults.append(_dangerous(file, "has an absolute name"))
    if ".." in parts or "\0" in info.orig_filename:
        faults.append(_dangerous(file, "has a name that leads out of its folder"))
    if len(name.encode()) > _NAME_BYTES_AT_MOST or any(len(part.encode()) > 255 for part in parts):
        faults.append(_dangerous(f"{file[:100]}…", f"has a name of {len(name.encode())} bytes"))
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        faults.append(_dangerous(file, f"is {_KINDS.get(kind, 'no plain file')}"))
    if info.flag_bits & _ENCRYPTED_OR_PATCHED:
        faults.append(Fault("IN-12", file, "is encrypted", "pack the study without a password"))
    elif info.compress_type not in _METHODS:
        problem = f"is packed by method {info.compress_type}; deflate (8) is unpacked, and what is stored (0)"
        faults.append(Fault("IN-12", file, problem, "pack the study as a plain ZIP"))
    if name.lower().endswith(ARCHIVE_SUFFIXES) and not info.is_dir():
        faults.append(Fault("IN-12", file, "is an archive within an archive", "unpack the inner one first"))
    return faults


def _clashing(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Names that two entries have, or that one has where another needs a folder."""
    taken = {str(parent) for info in entries for parent in PurePosixPath(_name(info)).parents}
    taken |= {_name(info) for info in entries if info.is_dir()}
    clashing = set()
    for name in (_name(info) for info in entries if not info.is_dir()):
        if name in taken:
            clashing.add(name)
        taken.add(name)
    return sorted(clashing)


def _size_faults(entries: Sequence[zipfile.ZipInfo], archive: Path) -> list[Fault]:
    """IN-24, by the sizes declared."""
    declared, packed = sum(info.file_size for info in entries), archive.stat().st_size
    if declared > UNPACKED_BYTES_AT_MOST:
        problem = f"declares {declared} bytes unpacked, at most {UNPACKED_BYTES_AT_MOST} are unpacked"
    elif declared > RATIO_AT_MOST * packed:
        problem = f"unpacks to {declared / packed:.0f} times its size, at most {RATIO_AT_MOST} times are unpacked"
    else:
        return []
    return [Fault("IN-24", archive, problem, "unpack it yourself, if you trust where it comes from")]


def _unpack(zipped: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, file: str) -> None:
    """One entry into a file. Raises: Refusal IN-16 if it is not what the archive declares."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipped.open(info) as packed, target.open("xb") as out:
            shutil.copyfileobj(packed, out, _CHUNK_BYTES)
            found = out.tell()
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _torn(file, words_of(error)) from None
    if found != info.file_size:
        raise _torn(file, f"{found} bytes found, {info.file_size} declared")


def _dangerous(file: str, problem: str) -> Fault:
    fix = "ask whoever sent it for a ZIP of the study's files alone; nothing was unpacked"
    return Fault("SC-07", file, problem, fix)


def _torn(file: str, problem: str) -> Refusal:
    return Refusal.of("IN-16", file, f"is no whole ZIP file: {problem}", "copy the archive again from its source")
