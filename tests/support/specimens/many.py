"""Cohorts of several studies: one twice, some faulty."""

from pathlib import Path

import numpy as np

from specimens.base import ct_hu, femur_mask, write_dicom_study, write_nifti, write_volume_study
from specimens.specimen import Specimen, accepted, refused

STUDIES, BAD = 40, (3, 8, 13, 18, 23, 28, 33)


def _same_dicom_twice(folder: Path) -> None:
    for patient in ("anna", "berta"):
        write_dicom_study(folder / patient, patient=patient)


def _same_volume_twice(folder: Path) -> None:
    for name in ("anna", "berta"):
        write_volume_study(folder / name)


def _same_volume_in_two_formats(folder: Path) -> None:
    write_volume_study(folder / "anna")
    write_volume_study(folder / "berta", suffix=".nii")


def _seven_bad(folder: Path) -> None:
    for number in range(STUDIES):
        write_volume_study(folder / f"study-{number:02d}", seed=number)
    torn, nan, metres, empty, shifted, twin, absent = (folder / f"study-{number:02d}" for number in BAD)
    (torn / "ct.nii.gz").write_bytes((torn / "ct.nii.gz").read_bytes()[:900])
    hu = ct_hu().astype(np.float32)
    hu[5, 5, 5] = np.nan
    write_nifti(nan / "ct.nii.gz", hu)
    write_nifti(metres / "ct.nii.gz", ct_hu(), np.diag([0.0025, 0.003, 0.004, 1.0]))
    write_nifti(empty / "mask.nii.gz", np.zeros_like(femur_mask(), "u1"))
    write_nifti(shifted / "mask.nii.gz", np.roll(femur_mask(), 10, axis=1).astype("u1"))
    write_volume_study(twin, seed=0)
    (absent / "mask.nii.gz").unlink()


def _many_good(folder: Path) -> None:
    for number in range(6):
        write_dicom_study(folder / f"study {number}", patient=f"P{number // 2}", seed=number)


SPECIMENS: tuple[Specimen, ...] = (
    refused(
        "dicom-study-twice",
        "IN-23",
        "one DICOM study under two names and two patients",
        _same_dicom_twice,
        "berta: is the same study as",
        "anna",
        faulty="cohort",
    ),
    refused(
        "volume-twice",
        "IN-23",
        "one CT under two names",
        _same_volume_twice,
        "berta: is the same study as",
        faulty="cohort",
    ),
    refused(
        "volume-twice-packed",
        "IN-23",
        "one CT packed and unpacked",
        _same_volume_in_two_formats,
        "berta: is the same study as",
        faulty="cohort",
    ),
    refused(
        "seven-bad-studies",
        "IN-27",
        f"{STUDIES} studies, {len(BAD)} of them bad in seven ways",
        _seven_bad,
        "study-03/ct.nii.gz",
        exit_code=4,
        faults=("IN-16", "IN-17", "IN-19", "IN-22", "IN-21", "IN-23"),
        faulty="cohort",
    ),
    accepted("several-good-studies", "IN-27", "six DICOM studies of three patients", _many_good),
)
