"""DICOM objects of several frames for tests: enhanced CTs, segmentations by highdicom, structure sets."""

import copy
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from study_maker import ORIGIN_XYZ, SPACING_ZYX, UPRIGHT


def saved(dataset: Dataset, path: Path, *, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set that has no file meta information yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def item(**values: Any) -> Dataset:
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def enhanced_ct(
    slices: Sequence[Dataset], *, order: Sequence[int] | None = None, rescale_each: bool = False
) -> Dataset:
    """One enhanced CT of these slices' pixels; geometry per frame, orientation and spacing shared.

    With `rescale_each`, frame k is stored as (value + k) with an intercept that is k lower.
    """
    order = range(len(slices)) if order is None else order
    made = copy.deepcopy(slices[0])
    made.SOPClassUID, made.SOPInstanceUID = EnhancedCTImageStorage, generate_uid()
    made.NumberOfFrames = len(slices)
    for name in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
        "ImagesInAcquisition",
        "PixelData",
    ):
        delattr(made, name)
    first = slices[0]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=first.ImageOrientationPatient)],
        PixelMeasuresSequence=[item(PixelSpacing=first.PixelSpacing)],
    )
    if not rescale_each:
        shared.PixelValueTransformationSequence = [rescaled(first, 0)]
    frames, pixels = [], []
    for k in order:
        frame = item(PlanePositionSequence=[item(ImagePositionPatient=slices[k].ImagePositionPatient)])
        if rescale_each:
            frame.PixelValueTransformationSequence = [rescaled(slices[k], k)]
        frames.append(frame)
        pixels.append(np.frombuffer(slices[k].PixelData, "<u2") + (k if rescale_each else 0))
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], frames
    made.PixelData = np.concatenate(pixels).astype("<u2").tobytes()
    return made


def rescaled(slice_: Dataset, lower: int) -> Dataset:
    return item(RescaleSlope=slice_.RescaleSlope, RescaleIntercept=slice_.RescaleIntercept - lower, RescaleType="HU")


def segmentation(
    ct: Sequence[Dataset],
    pixels: NDArray[Any],
    labels: Sequence[str],
    *,
    kind: str = "BINARY",
    syntax: str = ExplicitVRLittleEndian,
    **options: Any,
) -> Dataset:
    """A DICOM-SEG written by highdicom, which shares no code with us.

    Args:
        ct: its slices, with file meta information.
        pixels: (Z, Y, X) of segment numbers, or (Z, Y, X, segments).
        labels: of the segments, numbered from 1.
    """
    for slice_ in ct:
        for name, value in {
            "PatientBirthDate": "",
            "SliceThickness": 4.0,
            "StudyID": "1",
            "StudyDate": "",
            "StudyTime": "",
            "AccessionNumber": "",
            "ReferringPhysicianName": "",
        }.items():
            if name not in slice_:
                setattr(slice_, name, value)
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.Bone,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(labels, start=1)
    ]
    written = io.BytesIO()  # and read back, as highdicom's object shares elements with its source images
    hd.seg.Segmentation(
        source_images=list(ct),
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=7,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=syntax,
        **options,
    ).save_as(written)
    return pydicom.dcmread(io.BytesIO(written.getvalue()))


def structure_set(
    ct: Sequence[Dataset], regions: dict[str, list[tuple[int, NDArray[np.float64]]]], *, kind: str = "CLOSED_PLANAR"
) -> Dataset:
    """A structure set: for each region its contours, each as the index of its slice and points (n, 3) in mm."""
    first = ct[0]
    made = item(
        SOPClassUID=RTStructureSetStorage,
        SOPInstanceUID=generate_uid(),
        Modality="RTSTRUCT",
        PatientID=first.PatientID,
        PatientName="Doe^Jane",
        StudyInstanceUID=first.StudyInstanceUID,
        SeriesInstanceUID=generate_uid(),
        StructureSetLabel="test",
    )
    series = item(SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=[image(one) for one in ct])
    study = item(ReferencedSOPInstanceUID=first.StudyInstanceUID, RTReferencedSeriesSequence=[series])
    frame = first.FrameOfReferenceUID
    made.ReferencedFrameOfReferenceSequence = [item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[study])]
    made.StructureSetROISequence = [
        item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=frame)
        for number, name in enumerate(regions, start=1)
    ]
    made.ROIContourSequence = [
        item(
            ReferencedROINumber=number,
            ContourSequence=[
                item(
                    ContourImageSequence=[image(ct[index])],
                    ContourGeometricType=kind,
                    NumberOfContourPoints=len(points_mm),
                    ContourData=[f"{value:.8g}" for value in points_mm.ravel()],
                )
                for index, points_mm in contours
            ],
        )
        for number, contours in enumerate(regions.values(), start=1)
    ]
    return made


def image(slice_: Dataset) -> Dataset:
    return item(ReferencedSOPClassUID=slice_.SOPClassUID, ReferencedSOPInstanceUID=slice_.SOPInstanceUID)


def place_mm(
    index: int,
    points_yx: NDArray[np.float64],
    orientation: tuple[float, ...] = UPRIGHT,
    origin_xyz: tuple[float, ...] = ORIGIN_XYZ,
) -> NDArray[np.float64]:
    """Points (n, 2) in rows and columns of a slice as patient coordinates (n, 3), by PS3.3's equation C.7.6.2.1-1."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    step, down, along = SPACING_ZYX
    return (
        np.array(origin_xyz)
        + index * step * np.cross(row, column)
        + np.outer(points_yx[:, 0] * down, column)
        + np.outer(points_yx[:, 1] * along, row)
    )
