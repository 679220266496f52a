"""Masks that do not belong to their CT, or do not say where the femur is."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from specimens.base import SHAPE_ZYX, affine_ras, ct_hu, femur_mask, write_dicom_study, write_nifti, write_volume_study
from specimens.dicom_change import all_with, dicom, move
from specimens.dicom_geometry import without_middle
from specimens.specimen import Make, Specimen, refused


def with_mask(values_zyx: NDArray[np.generic], affine: NDArray[np.float64] | None = None) -> Make:
    """A NIfTI study whose mask holds these values, on the CT's grid unless told otherwise."""

    def make(folder: Path) -> None:
        write_volume_study(folder / "study")
        write_nifti(folder / "study" / "mask.nii.gz", values_zyx, affine)

    return make


def with_dicom_mask(values_zyx: NDArray[np.integer]) -> Make:
    """A DICOM study whose mask series holds these values."""
    return lambda folder: write_dicom_study(folder / "study", mask_zyx=values_zyx)


def _femur(value: float = 1, dtype: str = "u1") -> NDArray[np.generic]:
    return (femur_mask() * value).astype(dtype)


def _shifted(*voxels_zyx: int) -> NDArray[np.generic]:
    return np.roll(_femur(), voxels_zyx, axis=(0, 1, 2))


def _two_values() -> NDArray[np.generic]:
    values = _femur(3)
    values[12, 20, 20] = 7
    return values


def _on_grid(change: NDArray[np.float64] | None = None, origin_mm: tuple[float, ...] = (0, 0, 0)) -> Make:
    affine = affine_ras() @ np.diag([1.0, 1, 1, 1] if change is None else change)
    affine[:3, 3] += origin_mm
    return with_mask(_femur(), affine)


def _turned_about_z(degrees: float) -> Make:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cosine, -sine, 0, 0], [sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return with_mask(_femur(), turn @ affine_ras())


def _no_mask(folder: Path) -> None:
    (write_volume_study(folder / "study") / "mask.nii.gz").unlink()


def _two_masks(folder: Path) -> None:
    write_nifti(write_dicom_study(folder / "study") / "label.nii.gz", _femur())


def _ct_as_mask(folder: Path) -> None:
    study = write_volume_study(folder / "study")
    (study / "mask.nii.gz").write_bytes((study / "ct.nii.gz").read_bytes())


def _one_slice_less(datasets: list[Dataset]) -> None:
    datasets.pop()


def _a_millimetre_beside(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        move(dataset, 1.0, 0, 0)


def _ct_without_bone_below_the_mask(folder: Path) -> None:
    study = write_volume_study(folder / "study")
    elsewhere = np.roll(femur_mask(), (0, 7, 9), axis=(0, 1, 2))
    write_nifti(study / "ct.nii.gz", ct_hu(elsewhere))


SPECIMENS: tuple[Specimen, ...] = (
    refused(
        "gap-in-mask",
        "IN-01",
        "a slice of the mask series is missing",
        dicom(mask=without_middle),
        "study/mask",
        "slice-005.dcm",
        faulty="mask",
    ),
    refused("two-masks", "IN-05", "two masks, none chosen", _two_masks, "2 masks", "label.nii.gz", faulty="mask"),
    refused(
        "mask-of-another-patient",
        "IN-06",
        "the mask names another patient",
        dicom(mask=all_with("PatientID", "SECRET-99")),
        "study/mask",
        "its PatientID is",
        "(hashed)",
        faulty="mask",
    ),
    refused(
        "mask-of-another-frame",
        "IN-06",
        "the mask names another frame of reference",
        dicom(mask=all_with("FrameOfReferenceUID", "1.2.3.999")),
        "its FrameOfReferenceUID is",
        "(hashed)",
        faulty="mask",
    ),
    refused(
        "mask-origin-off",
        "IN-20",
        "the mask's header lies 1 mm beside the CT's",
        dicom(mask=_a_millimetre_beside),
        "origin mm (-29, -40, 100), CT (-30,",
        faulty="mask",
    ),
    refused(
        "mask-spacing-off",
        "IN-20",
        "the mask's pixel spacing is another",
        dicom(mask=all_with("PixelSpacing", [3.0, 2.6])),
        "spacing mm (4, 3, 2.6), CT (4, 3, 2.5)",
        faulty="mask",
    ),
    refused(
        "mask-turned",
        "IN-20",
        "the mask's grid is turned by 1°",
        _turned_about_z(1.0),
        "mask.nii.gz",
        "direction",
        faulty="mask",
    ),
    refused(
        "mask-mirrored-grid",
        "IN-20",
        "the mask's x axis points the other way",
        _on_grid(np.array([-1.0, 1, 1, 1])),
        "direction (-1, 0, 0, 0, 1, 0, 0, 0, 1), CT (1, 0, 0, 0, 1, 0, 0, 0, 1)",
        faulty="mask",
    ),
    refused(
        "mask-one-slice-less",
        "IN-20",
        "the mask series has a slice less than the CT",
        dicom(mask=_one_slice_less),
        "size (13, 24, 26), CT (14, 24, 26)",
        faulty="mask",
    ),
    refused(
        "mask-of-another-size",
        "IN-20",
        "the mask file has more rows than the CT",
        with_mask(np.pad(_femur(), ((0, 0), (0, 2), (0, 0)))),
        "size (14, 26, 26), CT (14, 24, 26)",
        faulty="mask",
    ),
    refused(
        "mask-of-more-slices",
        "IN-03",
        "the mask goes on for two slices where the CT ends",
        with_mask(np.pad(_femur(), ((0, 2), (0, 0), (0, 0)))),
        "the mask has 16 slices, its CT 14",
        "2 after its last slice",
        faulty="mask",
    ),
    refused(
        "mask-off-by-a-voxel",
        "IN-20",
        "the mask's grid is shifted by one voxel of the CT",
        _on_grid(origin_mm=(2.5, 0, 0)),
        "origin mm",
        faulty="mask",
    ),
    refused(
        "mask-flipped",
        "IN-21",
        "voxels flipped left to right under an unchanged header",
        with_mask(np.roll(_femur()[:, :, ::-1], -2, axis=2)),
        "HU inside the mask",
        "5 mm round it",
        faulty="mask",
    ),
    refused(
        "mask-shifted",
        "IN-21",
        "voxels shifted by 9 mm under an unchanged header",
        with_mask(_shifted(0, 3, 0)),
        "mask.nii.gz: the mask fits far better",
        faulty="mask",
    ),
    refused(
        "mask-beside-the-bone",
        "IN-21",
        "voxels shifted by 30 mm under an unchanged header",
        with_mask(_shifted(0, 10, 0)),
        "HU inside the mask",
        faulty="mask",
    ),
    refused(
        "mask-of-another-ct",
        "IN-21",
        "a mask that was drawn on another CT with an equal grid",
        _ct_without_bone_below_the_mask,
        "HU inside the mask",
        faulty="mask",
    ),
    refused("no-mask", "IN-22", "a CT without a mask", _no_mask, "has no mask", faulty="mask"),
    refused("empty-mask", "IN-22", "a mask without foreground", with_mask(_femur(0)), "is empty", faulty="mask"),
    refused(
        "empty-dicom-mask",
        "IN-22",
        "a mask series without foreground",
        with_dicom_mask(np.zeros(SHAPE_ZYX, int)),
        "study/mask",
        "is empty",
        faulty="mask",
    ),
    refused(
        "mask-all-ones",
        "IN-22",
        "a mask without background",
        with_mask(np.ones(SHAPE_ZYX, "u1")),
        "no background",
        faulty="mask",
    ),
    refused("mask-255", "IN-22", "femur stored as 255", with_mask(_femur(255)), "0, 255", faulty="mask"),
    refused(
        "dicom-mask-255",
        "IN-22",
        "femur stored as 255 in a mask series",
        dicom(mask=all_with("RescaleSlope", 255)),
        "0, 255",
        faulty="mask",
    ),
    refused(
        "mask-of-halves",
        "IN-22",
        "a mask of 0 and 0.5",
        with_mask(_femur(0.5, "f4")),
        "no whole numbers: 0, 0.5",
        faulty="mask",
    ),
    refused("mask-negative", "IN-22", "a mask of 0 and -1", with_mask(_femur(-1, "i2")), "holds -1, 0", faulty="mask"),
    refused(
        "labels-without-map",
        "IN-22",
        "several labels and no label map",
        with_mask(_two_values()),
        "holds 0, 3, 7",
        "cohort.labels",
        faulty="mask",
    ),
    refused("ct-as-mask", "IN-22", "the CT itself under the mask's name", _ct_as_mask, "mask.nii.gz", faulty="mask"),
)
