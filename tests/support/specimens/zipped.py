"""Studies as ZIP files: right ones, and archives that are torn, lie, or would write outside their folder."""

import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from specimens.base import write_dicom_study, write_volume_study
from specimens.specimen import Make, Specimen, accepted, refused


def _packed(study: Path, *, inside: str = "") -> Path:
    """`study.zip` in place of the folder; `inside` is a folder round its files."""
    path = study.with_name(f"{study.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(one for one in study.rglob("*") if one.is_file()):
            archive.write(file, Path(inside, file.relative_to(study)))
    shutil.rmtree(study)
    return path


def zipped(change: Callable[[Path], object] | None = None, *, inside: str = "") -> Make:
    """A NIfTI study as a ZIP file, which is changed once it is written."""

    def make(folder: Path) -> None:
        path = _packed(write_volume_study(folder / "study"), inside=inside)
        if change is not None:
            change(path)

    return make


def _with_entry(name: str, content: bytes = b"") -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)

    return change


def _said_to_be_encrypted(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        struct.pack_into("<H", raw, raw.index(mark) + flags, 1)
    path.write_bytes(raw)


def _of_another_sum(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\1\2") + 16] ^= 1  # the first entry's CRC-32 in the list of entries
    path.write_bytes(raw)


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


SPECIMENS: tuple[Specimen, ...] = (
    accepted(
        "zip-dicom",
        "IN-15",
        "a DICOM study as ZIP",
        lambda folder: _packed(write_dicom_study(folder / "study")),
        truth="base",
    ),
    accepted("zip-volumes", "IN-16", "a NIfTI study as ZIP, in a folder", zipped(inside="export 1"), truth="base"),
    refused(
        "zip-slip",
        "SC-07",
        "a ZIP with a name that leads out of its folder",
        zipped(_with_entry("../../outside.nii.gz")),
        "study.zip/../../outside.nii.gz",
        exit_code=9,
        truth="none",
    ),
    refused(
        "zip-bomb",
        "IN-24",
        "a ZIP that unpacks to 50 MB",
        zipped(_with_entry("zeros", bytes(50_000_000))),
        "times its size, at most 200",
        exit_code=5,
        truth="none",
    ),
    refused(
        "zip-encrypted",
        "IN-12",
        "a ZIP with a password",
        zipped(_said_to_be_encrypted),
        "study.zip/ct.nii.gz: is encrypted",
        truth="none",
    ),
    refused(
        "zip-crc", "IN-16", "a ZIP with a wrong check sum", zipped(_of_another_sum), "CRC", exit_code=4, truth="none"
    ),
    refused("zip-cut", "IN-16", "half of a ZIP", zipped(_half), "is no whole ZIP file", exit_code=4, truth="none"),
)
