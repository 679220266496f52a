"""Files that cannot be opened, are no files, or have names that break a line."""

from pathlib import Path

from specimens.base import write_dicom_study, write_volume_study
from specimens.dicom_change import afterwards
from specimens.specimen import Make, Specimen, accepted, refused

_LONGEST = 255  # bytes, on most file systems
ODD_NAMES = ("-rf", "a..b", "$(echo) `x` ;&|", "Fémur 🦴 #1", "身長", "…" * (_LONGEST // 3), " trailing ")


def _unreadable(study: Path) -> None:
    (study / "ct" / "slice-005.dcm").chmod(0)


def _dangling(name: str) -> Make:
    def change(study: Path) -> None:
        (study / name).unlink(missing_ok=True)
        (study / name).symlink_to("gone")

    return afterwards(change, None if name.endswith(".dcm") else lambda folder: write_volume_study(folder / "study"))


def _folder_for(name: str) -> Make:
    def change(study: Path) -> None:
        (study / name).unlink()
        (study / name).mkdir()

    return afterwards(change, None if name.endswith(".dcm") else lambda folder: write_volume_study(folder / "study"))


def _torn_under(name: str) -> Make:
    def change(study: Path) -> None:
        torn = (study / "ct" / "slice-013.dcm").rename(study / "ct" / name)
        torn.write_bytes(torn.read_bytes()[:900])

    return afterwards(change)


def _empty_study(folder: Path) -> None:
    write_volume_study(folder / "good")
    (folder / "empty").mkdir()


def _oddly_named(folder: Path) -> None:
    for seed, name in enumerate(ODD_NAMES):
        write_volume_study(folder / name, seed=seed)


def _oddly_named_dicom(folder: Path) -> None:
    write_dicom_study(folder / "Fémur 🦴 ..")


def _breaking_name(folder: Path) -> None:
    write_volume_study(folder / "new\nline\x1b[31m")


def _breaking_dicom_name(folder: Path) -> None:
    write_dicom_study(folder / "Fémur\n🦴 ..")


def _breaking_slice_name(study: Path) -> None:
    (study / "ct" / "slice-013.dcm").rename(study / "ct" / "new\nline\x1b[31m.dcm")


SPECIMENS: tuple[Specimen, ...] = (
    refused("empty-folder", "IN-05", "a study folder without files", _empty_study, "empty: is an empty folder"),
    refused(
        "no-permission",
        "IN-26",
        "a slice that nobody may read (root may)",
        afterwards(_unreadable),
        "ct/slice-005.dcm: cannot be opened: Permission denied",
        faults=("IN-26", "IN-01", "IN-03"),
    ),
    refused(
        "dangling-link",
        "IN-26",
        "a slice that is a link to nothing",
        _dangling("ct/slice-005.dcm"),
        "ct/slice-005.dcm: cannot be opened: No such file",
        faults=("IN-26", "IN-01", "IN-03"),
    ),
    refused(
        "dangling-mask",
        "IN-26",
        "a mask that is a link to nothing",
        _dangling("mask.nii.gz"),
        "mask.nii.gz: cannot be opened: No such file",
        faulty="mask",
    ),
    refused(
        "folder-for-slice",
        "IN-26",
        "a folder where a slice is meant",
        _folder_for("ct/slice-005.dcm"),
        "ct/slice-005.dcm: cannot be opened: is a folder",
        faults=("IN-26", "IN-01", "IN-03"),
    ),
    refused(
        "folder-for-ct",
        "IN-26",
        "a folder where the CT is meant",
        _folder_for("ct.nii.gz"),
        "ct.nii.gz: cannot be opened: is a folder",
    ),
    refused(
        "folder-for-mask",
        "IN-26",
        "a folder where the mask is meant",
        _folder_for("mask.nii.gz"),
        "mask.nii.gz: cannot be opened: is a folder",
        faulty="mask",
    ),
    refused(
        "torn-slice-oddly-named",
        "IN-26",
        "a torn slice of an odd name that is fine",
        _torn_under("$(echo) `x` 🦴 ...dcm"),
        "$(echo) `x` 🦴 ...dcm: ends after",
        faults=("IN-14", "IN-03"),
    ),
    refused(
        "slice-name-breaks-line",
        "IN-26",
        "a good slice whose name breaks a line",
        afterwards(_breaking_slice_name),
        r"new\nline\x1b[31m.dcm: its name holds control characters",
        faults=("IN-26", "IN-03"),
    ),
    refused(
        "study-name-breaks-line",
        "IN-26",
        "a good study whose folder's name breaks a line",
        _breaking_name,
        r"new\nline\x1b[31m: its name holds control characters",
        truth="stored",
    ),
    refused(
        "dicom-study-name-breaks-line",
        "IN-26",
        "a good DICOM study whose folder's name breaks a line",
        _breaking_dicom_name,
        r"Fémur\n🦴 ..: its name holds control characters",
        truth="stored",
    ),
    refused(
        "torn-slice-longest-name",
        "IN-26",
        "a torn slice whose name has 255 bytes",
        _torn_under("é" * 125 + "x.dcm"),
        "before its pixel data",
        faults=("IN-14", "IN-03"),
    ),
    accepted("odd-names", "IN-26", "good studies with names that break shells", _oddly_named),
    accepted("odd-dicom-name", "IN-26", "a good DICOM study with such a name", _oddly_named_dicom),
)
