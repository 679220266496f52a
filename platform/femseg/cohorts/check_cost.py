"""How long the check of many studies will take, roughly: enough to decide whether several processes pay."""

from collections.abc import Iterable
from pathlib import Path

from femseg.cohorts.study import StudyFiles

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
