"""DICOM CTs whose slices do not make one regular stack of one patient."""

import math
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from specimens.base import SHAPE_ZYX, ct_slices, write_dicom_study, write_series
from specimens.dicom_change import all_with, dicom, joined, move, one_with, recounted, without, without_all
from specimens.specimen import Specimen, refused


def without_middle(datasets: list[Dataset]) -> None:
    """Slice 6 of 0 to 13 is gone, and the count agrees."""
    del datasets[6]
    recounted(datasets)


def _without_two(datasets: list[Dataset]) -> None:
    del datasets[9], datasets[4]
    recounted(datasets)


def _without_three_together(datasets: list[Dataset]) -> None:
    del datasets[5:8]
    recounted(datasets)


def _upper_half_spread(datasets: list[Dataset]) -> None:
    for k, dataset in enumerate(datasets[7:], start=1):
        move(dataset, 0, 0, 8.0 * k)


def _growing_steps(datasets: list[Dataset]) -> None:
    for k, dataset in enumerate(datasets):
        move(dataset, 0, 0, 0.05 * k * k)


def _double_with_other_pixels(datasets: list[Dataset]) -> None:
    twin = joined(ct_slices()[5], datasets)
    twin.PixelData = bytes(reversed(datasets[5].PixelData))
    datasets.append(twin)
    recounted(datasets)


def _two_phases(datasets: list[Dataset]) -> None:
    second = [joined(dataset, datasets) for dataset in ct_slices()]
    for dataset in second:
        dataset.PixelData = bytes(reversed(dataset.PixelData))
    datasets += second
    recounted(datasets)


def two_series(folder: Path) -> None:
    """A second series, another kernel of the same scan, lies in the study."""
    study = write_dicom_study(folder / "study")
    second = ct_slices()
    for dataset in second:
        dataset.SeriesDescription = "Sharp kernel"
    write_series(study / "second", second)


def _some_turned(datasets: list[Dataset]) -> None:
    for dataset in datasets[4:8]:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def _smaller_last(datasets: list[Dataset]) -> None:
    datasets[-1].Rows -= 4
    datasets[-1].PixelData = datasets[-1].PixelData[: -4 * 2 * SHAPE_ZYX[2]]


def _other_pixel_spacing(datasets: list[Dataset]) -> None:
    for dataset in datasets[7:]:
        dataset.PixelSpacing = [3.3, 2.5]


def tilted(datasets: list[Dataset]) -> None:
    """A gantry tilt of 15°: each slice lies further along y than the one below it."""
    for k, dataset in enumerate(datasets):
        move(dataset, 0, k * 4.0 * math.tan(math.radians(15)), 0)


def _only_one(datasets: list[Dataset]) -> None:
    del datasets[1:]
    recounted(datasets)


SPECIMENS: tuple[Specimen, ...] = (
    refused(
        "missing-slice",
        "IN-01",
        "a slice in the middle is missing",
        dicom(ct=without_middle),
        "8.00 mm between slice-005.dcm and slice-006.dcm, expected 4.00",
    ),
    refused(
        "two-missing-slices",
        "IN-01",
        "slices are missing in two places",
        dicom(ct=_without_two),
        "between slice-003.dcm and slice-004.dcm",
    ),
    refused(
        "three-missing-slices",
        "IN-01",
        "three neighbouring slices are missing",
        dicom(ct=_without_three_together),
        "3 slice(s) missing",
    ),
    refused("two-spacings", "IN-02", "slices 4 mm apart, then 12 mm", dicom(ct=_upper_half_spread), "4 to 12 mm"),
    refused("growing-spacing", "IN-02", "every step is longer than the last", dicom(ct=_growing_steps), "mm apart"),
    refused(
        "slice-out-of-step",
        "IN-02",
        "one slice lies 1 mm too high",
        dicom(ct=lambda ct: move(ct[5], 0, 0, 1.0)),
        "3 to 5 mm",
        "slice-00",
    ),
    refused(
        "missing-last-slice",
        "IN-03",
        "the last slice is missing, ImagesInAcquisition counts it",
        dicom(ct=lambda ct: ct.pop()),
        "13 slices",
        "says 14",
    ),
    refused(
        "missing-first-slice",
        "IN-03",
        "the first slice is missing, ImagesInAcquisition counts it",
        dicom(ct=lambda ct: ct.pop(0)),
        "13 slices",
        "says 14",
    ),
    refused(
        "two-slices-in-one-place",
        "IN-04",
        "two slices at one position with different pixels",
        dicom(ct=_double_with_other_pixels),
        "slice-014.dcm",
        "slice-005.dcm",
        "other pixels",
    ),
    refused(
        "two-phases-in-one-series",
        "IN-04",
        "every position is there twice with different pixels",
        dicom(ct=_two_phases),
        "other pixels",
        truth="none",
    ),
    refused("two-series", "IN-05", "two CT series, none chosen", two_series, "2 CT series", "Sharp kernel, 14 images"),
    refused(
        "two-patients",
        "IN-06",
        "two PatientIDs in one series",
        dicom(ct=one_with("PatientID", "SECRET-99", at=9)),
        "2 values of PatientID",
        "(1 slices)",
        truth="none",
    ),
    refused(
        "two-studies",
        "IN-06",
        "two StudyInstanceUIDs in one series",
        dicom(ct=one_with("StudyInstanceUID", generate_uid(), at=9)),
        "2 values of StudyInstanceUID",
        truth="none",
    ),
    refused(
        "two-frames-of-reference",
        "IN-06",
        "two FrameOfReferenceUIDs in one series",
        dicom(ct=one_with("FrameOfReferenceUID", generate_uid(), at=9)),
        "2 values of FrameOfReferenceUID",
        truth="none",
    ),
    refused(
        "slices-turned",
        "IN-07",
        "four slices are oriented unlike the rest",
        dicom(ct=_some_turned),
        "slice-004.dcm",
        faults=("IN-07", "IN-01"),
    ),
    refused(
        "size-changes",
        "IN-08",
        "the last slice has fewer rows",
        dicom(ct=_smaller_last),
        "slice-013.dcm",
        "20 rows × 26 columns",
    ),
    refused(
        "pixel-spacing-changes",
        "IN-08",
        "PixelSpacing changes half-way",
        dicom(ct=_other_pixel_spacing),
        "slice-007.dcm",
        "3.3",
        truth="none",
    ),
    refused("gantry-tilt", "IN-09", "a gantry tilt of 15°", dicom(ct=tilted), "15.0°", truth="none"),
    refused(
        "slice-shifted-sideways",
        "IN-09",
        "one slice lies 5 mm beside the others",
        dicom(ct=lambda ct: move(ct[5], 5.0, 0, 0)),
        "slice-005.dcm",
        "5.00 mm beside",
    ),
    refused(
        "no-position",
        "IN-13",
        "a slice without ImagePositionPatient",
        dicom(ct=without("ImagePositionPatient")),
        "(0020,0032)",
        "slice-003.dcm",
    ),
    refused(
        "no-position-anywhere",
        "IN-13",
        "no slice with ImagePositionPatient",
        dicom(ct=without_all("ImagePositionPatient")),
        "ImagePositionPatient",
        "14 of 14",
    ),
    refused(
        "no-orientation",
        "IN-13",
        "a slice without ImageOrientationPatient",
        dicom(ct=without("ImageOrientationPatient")),
        "ImageOrientationPatient",
        "slice-003.dcm",
    ),
    refused(
        "no-orientation-anywhere",
        "IN-13",
        "no slice with ImageOrientationPatient",
        dicom(ct=without_all("ImageOrientationPatient")),
        "ImageOrientationPatient",
        "14 of 14",
    ),
    refused(
        "no-pixel-spacing",
        "IN-13",
        "a slice without PixelSpacing",
        dicom(ct=without("PixelSpacing")),
        "PixelSpacing",
        "slice-003.dcm",
    ),
    refused(
        "no-pixel-spacing-anywhere",
        "IN-13",
        "no slice with PixelSpacing",
        dicom(ct=without_all("PixelSpacing")),
        "PixelSpacing",
        "14 of 14",
    ),
    refused(
        "zero-pixel-spacing",
        "IN-13",
        "PixelSpacing is 0",
        dicom(ct=all_with("PixelSpacing", [0, 0])),
        "PixelSpacing",
        "14 of 14",
    ),
    refused(
        "no-series-uid",
        "IN-13",
        "a slice without SeriesInstanceUID",
        dicom(ct=without("SeriesInstanceUID")),
        "SeriesInstanceUID",
        "slice-003.dcm",
    ),
    refused(
        "no-series-uid-anywhere",
        "IN-13",
        "no slice with SeriesInstanceUID",
        dicom(ct=without_all("SeriesInstanceUID")),
        "SeriesInstanceUID",
        "14 of 14",
    ),
    refused(
        "one-position",
        "IN-13",
        "all slices at one position",
        dicom(ct=all_with("ImagePositionPatient", [1, 2, 3])),
        "all 14 slices",
        "(1, 2, 3) mm",
    ),
    refused(
        "single-slice",
        "IN-13",
        "a series of one slice",
        dicom(ct=_only_one),
        "single slice",
        "slice-000.dcm",
        truth="none",
    ),
    refused(
        "skewed-orientation",
        "IN-13",
        "rows and columns are not perpendicular",
        dicom(ct=all_with("ImageOrientationPatient", [1, 0, 0, 0.2, 1, 0])),
        "perpendicular",
    ),
    refused(
        "pixel-spacing-in-metres",
        "IN-19",
        "PixelSpacing in metres",
        dicom(ct=all_with("PixelSpacing", [0.003, 0.0025])),
        "0.003 × 0.0025 mm",
    ),
)
