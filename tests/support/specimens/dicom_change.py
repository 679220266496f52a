"""Small changes to the data sets of a DICOM series, and makers of studies that carry one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from specimens.base import Change, ct_slices, femur_mask, slices, write_dicom_study, write_series
from specimens.specimen import Make


def dicom(*, ct: Change | None = None, mask: Change | None = None) -> Make:
    """A DICOM study whose CT or mask series is changed before it is written."""
    return lambda folder: write_dicom_study(folder / "study", ct=ct, mask=mask)


def dicom_both(change: Change) -> Make:
    """A DICOM study whose CT and mask series are changed alike."""
    return dicom(ct=change, mask=change)


def dicom_turned(*orientation: float) -> Make:
    """A DICOM study acquired along other axes: direction of a row, then of a column."""

    def make(folder: Path) -> None:
        ct = ct_slices(orientation=orientation, frame="1.2.3")
        mask = slices(femur_mask().astype(int), orientation=orientation, intercept=0.0, modality="OT", frame="1.2.3")
        write_series(folder / "study" / "ct", ct)
        write_series(folder / "study" / "mask", mask)

    return make


def afterwards(change: Callable[[Path], object], make: Make | None = None) -> Make:
    """A DICOM study (or what `make` writes) whose folder is changed once it is written."""

    def made(folder: Path) -> None:
        (make or dicom())(folder)
        change(folder / "study")

    return made


def all_with(tag: str, value: object) -> Change:
    """Every slice says this."""

    def change(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            setattr(dataset, tag, value)

    return change


def one_with(tag: str, value: object, at: int = 3) -> Change:
    """One slice says this."""
    return lambda datasets: setattr(datasets[at], tag, value)


def without(tag: str, at: int = 3) -> Change:
    """One slice lacks a tag."""
    return lambda datasets: delattr(datasets[at], tag)


def without_all(*tags: str) -> Change:
    """No slice has the tags."""

    def change(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            for tag in tags:
                delattr(dataset, tag)

    return change


def item(**values: object) -> Dataset:
    """A data set of these values, for a sequence or on its own."""
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def move(dataset: Dataset, x_mm: float, y_mm: float, z_mm: float) -> None:
    """Shift a slice in the patient."""
    offset = (x_mm, y_mm, z_mm)
    dataset.ImagePositionPatient = [f"{a + b:.10g}" for a, b in zip(dataset.ImagePositionPatient, offset, strict=True)]


def recounted(datasets: Sequence[Dataset]) -> None:
    """ImagesInAcquisition as many as there are."""
    for dataset in datasets:
        dataset.ImagesInAcquisition = len(datasets)


def joined(dataset: Dataset, datasets: Sequence[Dataset]) -> Dataset:
    """A slice made part of another series."""
    for tag in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(dataset, tag, getattr(datasets[0], tag))
    return dataset
