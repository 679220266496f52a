"""Masks drawn on a CT's slices: DICOM segmentations (PS3.3 A.51) and structure sets (A.19), right and wrong."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage, SegmentationStorage, generate_uid

from femseg.cohorts.settings import StructureNames
from specimens.base import PATIENT, SHAPE_ZYX, ct_slices, femur_mask, write_series
from specimens.dicom_change import item, move
from specimens.specimen import Make, Specimen, accepted, mended, refused

SLICES = range(2, 12)  # of the base study's femur
ROUND_THE_FEMUR = ((7.5, 4.5), (7.5, 11.5), (13.5, 11.5), (13.5, 4.5))  # row and column, between the pixels' centres
ELSEWHERE = ((16.5, 15.5), (16.5, 20.5), (20.5, 20.5), (20.5, 15.5))
FEMUR = StructureNames(femur=("femur",))


def segmentation(ct: Sequence[Dataset], segments: dict[str, NDArray[np.bool_]]) -> Dataset:
    """A binary DICOM-SEG of named segments, shape (Z, Y, X) each: a frame for each slice on which one is drawn."""
    made = item(SOPClassUID=SegmentationStorage, SOPInstanceUID=generate_uid(), Modality="SEG", PatientID=PATIENT)
    made.StudyInstanceUID, made.SeriesInstanceUID = ct[0].StudyInstanceUID, generate_uid()
    made.FrameOfReferenceUID, made.SegmentationType = ct[0].FrameOfReferenceUID, "BINARY"
    made.SegmentSequence = [item(SegmentNumber=n, SegmentLabel=name) for n, name in enumerate(segments, start=1)]
    shown = [(n, k, mask[k]) for n, mask in enumerate(segments.values(), start=1) for k in SLICES if mask[k].any()]
    made.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=ct[k].ImagePositionPatient)],
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=n)],
        )
        for n, k, _ in shown
    ]
    made.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=ct[0].ImageOrientationPatient)],
            PixelMeasuresSequence=[item(PixelSpacing=ct[0].PixelSpacing)],
        )
    ]
    made.NumberOfFrames, made.Rows, made.Columns = len(shown), *SHAPE_ZYX[1:]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 1, 1, 0
    packed = np.packbits(np.stack([pixels for _, _, pixels in shown]).ravel(), bitorder="little").tobytes()
    made.PixelData = packed + bytes(len(packed) % 2)
    return made


def structure_set(ct: Sequence[Dataset], regions: dict[str, tuple[tuple[float, float], ...]]) -> Dataset:
    """An RTSTRUCT of named regions, each the same closed contour (row, column) on every slice of the femur."""
    frame = ct[0].FrameOfReferenceUID
    made = item(
        SOPClassUID=RTStructureSetStorage, SOPInstanceUID=generate_uid(), Modality="RTSTRUCT", PatientID=PATIENT
    )
    made.StudyInstanceUID, made.SeriesInstanceUID = ct[0].StudyInstanceUID, generate_uid()
    made.StructureSetLabel = "femora"
    series = item(SeriesInstanceUID=ct[0].SeriesInstanceUID, ContourImageSequence=[_named(one) for one in ct])
    study = item(ReferencedSOPInstanceUID=ct[0].StudyInstanceUID, RTReferencedSeriesSequence=[series])
    made.ReferencedFrameOfReferenceSequence = [item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[study])]
    made.StructureSetROISequence = [
        item(ROINumber=n, ROIName=name, ReferencedFrameOfReferenceUID=frame) for n, name in enumerate(regions, start=1)
    ]
    made.ROIContourSequence = [
        item(ReferencedROINumber=n, ContourSequence=[_contour(ct[k], outline) for k in SLICES])
        for n, outline in enumerate(regions.values(), start=1)
    ]
    return made


def _named(one: Dataset) -> Dataset:
    return item(ReferencedSOPClassUID=one.SOPClassUID, ReferencedSOPInstanceUID=one.SOPInstanceUID)


def _contour(one: Dataset, outline: tuple[tuple[float, float], ...]) -> Dataset:
    """On an upright slice: rows lead along y, columns along x."""
    (x, y, z), (down, along) = map(float, one.ImagePositionPatient), map(float, one.PixelSpacing)
    points = [f"{value:.8g}" for row, column in outline for value in (x + column * along, y + row * down, z)]
    kind = {"ContourGeometricType": "CLOSED_PLANAR", "NumberOfContourPoints": len(outline)}
    return item(ContourImageSequence=[_named(one)], ContourData=points, **kind)


def _with(draw: Callable[[list[Dataset]], Dataset], change: Callable[[Dataset], object] | None) -> Make:
    def make(folder: Path) -> None:
        ct = ct_slices()
        drawn = draw(ct)
        if change is not None:
            change(drawn)
        write_series(folder / "study" / "ct", ct)
        write_series(folder / "study", [drawn], name="drawn.dcm")

    return make


def seg(change: Callable[[Dataset], object] | None = None, **others: NDArray[np.bool_]) -> Make:
    """A CT series and the segmentation of its femur, changed before it is written; other segments come first."""
    return _with(lambda ct: segmentation(ct, {**others, "Femur": femur_mask()}), change)


def contours(change: Callable[[Dataset], object] | None = None, **others: tuple[tuple[float, float], ...]) -> Make:
    """The same as a structure set."""
    return _with(lambda ct: structure_set(ct, {**others, "Femur": ROUND_THE_FEMUR}), change)


def _beside() -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE_ZYX, bool)
    mask[2:12, 17:21, 16:21] = True
    return mask


def _between_slices(drawn: Dataset) -> None:
    for group in drawn.PerFrameFunctionalGroupsSequence:
        move(group.PlanePositionSequence[0], 0, 0, 0.5)


def _of_another_patient(drawn: Dataset) -> None:
    drawn.PatientID = "SECRET-99"


def _of_another_frame(drawn: Dataset) -> None:
    drawn.FrameOfReferenceUID = generate_uid()


def _contours_of_another_frame(drawn: Dataset) -> None:
    frame = generate_uid()
    drawn.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = frame
    drawn.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = frame


def _every_second(drawn: Dataset) -> None:
    region = drawn.ROIContourSequence[0]
    region.ContourSequence = list(region.ContourSequence)[::2]


_STRUCTURES = {"structures": FEMUR}
SPECIMENS: tuple[Specimen, ...] = (
    accepted("seg", "IN-20", "a mask as DICOM-SEG", seg(), truth="base"),
    accepted(
        "seg-chosen",
        "IN-22",
        "two segments, one chosen by its name",
        seg(Tibia=_beside()),
        settings=_STRUCTURES,
        truth="base",
    ),
    refused(
        "seg-not-chosen",
        "IN-22",
        "two segments, none chosen",
        seg(Tibia=_beside()),
        "drawn.dcm",
        "Tibia",
        "Femur",
        faulty="mask",
    ),
    refused(
        "seg-between-slices",
        "IN-20",
        "a DICOM-SEG whose frames lie between the CT's slices",
        seg(_between_slices),
        "frame 1 lies 0.5 mm from the nearest slice",
        faulty="mask",
    ),
    refused(
        "seg-of-another-patient",
        "IN-06",
        "a DICOM-SEG of another patient",
        seg(_of_another_patient),
        "its PatientID is",
        "(hashed)",
        faulty="mask",
    ),
    mended(
        "seg-of-another-frame",
        "IN-06",
        "a DICOM-SEG of another frame of reference, taken by choice",
        seg(_of_another_frame),
        "its FrameOfReferenceUID is",
        "accepted as chosen",
        settings={"accept_frame": True},
        faulty="mask",
    ),
    accepted("rtstruct", "IN-20", "a mask as RTSTRUCT", contours(), truth="base"),
    accepted(
        "rtstruct-chosen",
        "IN-22",
        "two regions, one chosen by its name",
        contours(Tibia=ELSEWHERE),
        settings=_STRUCTURES,
        truth="base",
    ),
    refused(
        "rtstruct-not-chosen",
        "IN-22",
        "two regions, none chosen",
        contours(Tibia=ELSEWHERE),
        "drawn.dcm",
        "Tibia",
        "Femur",
        faulty="mask",
    ),
    refused(
        "rtstruct-of-another-frame",
        "IN-06",
        "an RTSTRUCT of another frame of reference",
        contours(_contours_of_another_frame),
        "its FrameOfReferenceUID is",
        "(hashed)",
        faulty="mask",
    ),
    refused(
        "rtstruct-skipped-slices",
        "IN-22",
        "an RTSTRUCT drawn on every second slice",
        contours(_every_second),
        "on 5 of the 9 slices",
        faulty="mask",
    ),
)
