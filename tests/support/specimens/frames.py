"""Enhanced multi-frame CTs: the base CT as one file, its frames in any order, each placed by a group of its own."""

import copy
from collections.abc import Callable
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, generate_uid

from specimens.base import ct_slices, femur_mask, slices, write_series
from specimens.dicom_change import item, move
from specimens.specimen import Make, Specimen, accepted, refused

_OF_A_SLICE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept")


def multiframe(datasets: list[Dataset]) -> Dataset:
    """One enhanced CT of these slices, in their order."""
    first = datasets[0]
    made = copy.deepcopy(first)
    for tag in (*_OF_A_SLICE, "ImagesInAcquisition", "PixelData"):
        delattr(made, tag)
    made.SOPClassUID, made.SOPInstanceUID, made.NumberOfFrames = EnhancedCTImageStorage, generate_uid(), len(datasets)
    made.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=first.ImageOrientationPatient)],
            PixelMeasuresSequence=[item(PixelSpacing=first.PixelSpacing)],
            PixelValueTransformationSequence=[
                item(RescaleSlope=first.RescaleSlope, RescaleIntercept=first.RescaleIntercept, RescaleType="HU")
            ],
        )
    ]
    made.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=[item(ImagePositionPatient=one.ImagePositionPatient)]) for one in datasets
    ]
    made.PixelData = b"".join(one.PixelData for one in datasets)
    return made


def enhanced(change: Callable[[list[Dataset]], object]) -> Make:
    """A study of an enhanced CT, whose slices are changed before they become frames, with its mask series."""

    def make(folder: Path) -> None:
        frame = generate_uid()
        datasets = ct_slices(frame=frame)
        change(datasets)
        write_series(folder / "study" / "ct", [multiframe(datasets)], name="enhanced.dcm")
        mask = slices(femur_mask().astype(int), intercept=0.0, frame=frame, modality="OT")
        write_series(folder / "study" / "mask", mask)

    return make


def _from_the_middle(datasets: list[Dataset]) -> None:
    datasets[:] = datasets[7:] + datasets[6::-1]


def _without_one(datasets: list[Dataset]) -> None:
    del datasets[6]


SPECIMENS: tuple[Specimen, ...] = (
    accepted("enhanced", "IN-12", "an enhanced multi-frame CT", enhanced(lambda _: None), truth="base"),
    accepted(
        "enhanced-unordered", "IN-15", "the same, frames in another order", enhanced(_from_the_middle), truth="base"
    ),
    refused(
        "enhanced-uneven",
        "IN-02",
        "an enhanced CT, one frame 1 mm too high",
        enhanced(lambda datasets: move(datasets[5], 0, 0, 1.0)),
        "3 to 5 mm",
        "frame-0000",
    ),
    refused(
        "enhanced-gap",
        "IN-01",
        "an enhanced CT without one of its frames",
        enhanced(_without_one),
        "8.00 mm between frame-00006 and frame-00007",
    ),
)
