"""A mask as RT Structure Set (PS3.3 A.19): outlines of each femur along its voxels' edges, on the slices of its CT."""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from femseg import __version__
from femseg.formats.dicom.ct_planes import check_drawn_on
from femseg.formats.dicom.rtstruct import StructureSet, contours_of, draw_structure_set, read_structure_set
from femseg.formats.dicom.writing.outlines import outlines
from femseg.formats.dicom.writing.reference import (
    IDENTITY,
    MAKER,
    UTF_8,
    CtReference,
    Image,
    MadeBy,
    Numbered,
    write_proven,
)
from femseg.formats.writing import ANATOMY, Structure
from femseg.volumes.grid import LabelVolume

SAME_PLACE_MM = 1e-3
_SERIES_NUMBER = 9102
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # detached study management: retired, and the one that is named here
_COLOURS = ([220, 160, 60], [60, 160, 220], [160, 160, 160])
_ALSO_COPIED = ("IssuerOfPatientID", "PatientAge", "StudyDescription")


def write_structure_set(
    path: Path,
    labels: LabelVolume,
    structures: Sequence[Structure],
    ct: CtReference,
    *,
    made_by: MadeBy,
    before_named: Callable[[Path], None] | None = None,
) -> None:
    """Write the structures that a mask shows as regions of interest, numbered from 1 in their order.

    Contours run along the edges of voxels, so they enclose the mask's own area on every slice; a hole is reached by a
    keyhole. Our own reader reads the file back before it gets its name: every voxel must be equal, and every point lie
    in the plane of a slice to 1e-3 mm.

    Args:
        labels: on the CT's grid.
        structures: what the values stand for; other values are left out.
        made_by: stands in the object.
        before_named: called with the file once it is proven, while it still has its temporary name.
    Raises: Refusal IN-22 (exit 3) if the mask is empty, DC-01 (exit 3) if our reader would refuse the object, (exit 5)
        if the disk is full.
    """
    shown = Numbered.of(labels, structures, path)
    dataset = _object(shown, ct, made_by)
    with warnings.catch_warnings(), io.BytesIO() as written:
        warnings.simplefilter("ignore")  # patient and study are copied as they stand, also where they stand oddly
        dcmwrite(written, dataset, enforce_file_format=True)
        content = written.getvalue()

    write_proven(path, content, lambda written: _changed(written, shown, ct), before_named)


def _object(shown: Numbered, ct: CtReference, made_by: MadeBy) -> Dataset:
    now = datetime.now()
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    made = _item(
        SpecificCharacterSet=UTF_8,
        InstanceCreationDate=date,
        InstanceCreationTime=time,
        SOPClassUID=RTStructureSetStorage,
        SOPInstanceUID=generate_uid(prefix=None),
        StudyInstanceUID=ct.first.StudyInstanceUID,
        SeriesInstanceUID=generate_uid(prefix=None),
        Modality="RTSTRUCT",
        SeriesNumber=_SERIES_NUMBER,
        SeriesDescription=made_by.description,
        SeriesDate=date,
        SeriesTime=time,
        OperatorsName="",
        Manufacturer=MAKER,
        ManufacturerModelName=MAKER,
        SoftwareVersions=__version__,
        DeviceSerialNumber=made_by.package_sha256,
        InstanceNumber=1,
        FrameOfReferenceUID=ct.planes.frame_of_reference_uid,
        PositionReferenceIndicator="",
        StructureSetLabel="FEMUR",
        StructureSetName=made_by.description,
        StructureSetDate=date,
        StructureSetTime=time,
        ApprovalStatus="UNAPPROVED",
    )
    for keyword in (*IDENTITY, *_ALSO_COPIED):
        if keyword in ct.first:
            made[keyword] = ct.first[keyword]
    made.ReferencedFrameOfReferenceSequence = [_referenced(ct)]
    numbered = list(enumerate(shown.structures, start=1))
    made.StructureSetROISequence = [_region(number, one, ct, made_by) for number, one in numbered]
    made.ROIContourSequence = [
        _item(
            ROIDisplayColor=_COLOURS[(number - 1) % len(_COLOURS)],
            ReferencedROINumber=number,
            ContourSequence=list(_contours(shown.values_zyx == number, ct)),
        )
        for number, _ in numbered
    ]
    made.RTROIObservationsSequence = [_observed(number, one) for number, one in numbered]
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def _item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def _named(image: Image) -> Dataset:
    named = _item(ReferencedSOPClassUID=image.sop_class, ReferencedSOPInstanceUID=image.instance_uid)
    if image.frame:
        named.ReferencedFrameNumber = image.frame
    return named


def _referenced(ct: CtReference) -> Dataset:
    objects = dict.fromkeys(image._replace(frame=0) for image in ct.images)  # an enhanced file once
    series = _item(SeriesInstanceUID=ct.planes.series_uid, ContourImageSequence=list(map(_named, objects)))
    study = _item(
        ReferencedSOPClassUID=_STUDY_CLASS,
        ReferencedSOPInstanceUID=ct.first.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    frame = ct.planes.frame_of_reference_uid
    return _item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[study])


def _region(number: int, structure: Structure, ct: CtReference, made_by: MadeBy) -> Dataset:
    return _item(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=ct.planes.frame_of_reference_uid,
        ROIName=structure.name,
        ROIGenerationAlgorithm="AUTOMATIC",
        ROIGenerationDescription=f"{MAKER} {__version__}, model {made_by.package_sha256[:12]}",
    )


def _observed(number: int, structure: Structure) -> Dataset:
    """What a region is, by code (PS3.3 C.8.8.8)."""
    femur = _coded(structure.code)
    if structure.modifier:
        femur.SegmentedPropertyTypeModifierCodeSequence = [_coded(structure.modifier)]
    return _item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        RTROIInterpretedType="ORGAN",
        ROIInterpreter="",
        SegmentedPropertyCategoryCodeSequence=[_coded(ANATOMY)],
        RTROIIdentificationCodeSequence=[femur],
    )


def _coded(term: tuple[str, str]) -> Dataset:
    return _item(CodeValue=term[0], CodingSchemeDesignator="SCT", CodeMeaning=term[1])


def _contours(mask_zyx: NDArray[np.bool_], ct: CtReference) -> Iterator[Dataset]:
    for index in np.flatnonzero(mask_zyx.any(axis=(1, 2))).tolist():
        for points_xy in outlines(mask_zyx[index]):
            points_mm = _placed(points_xy, index, ct)
            yield _item(
                ContourImageSequence=[_named(ct.images[index])],
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(points_mm),
                ContourData=[f"{value:.5f}" for value in points_mm.ravel().tolist()],
            )


def _placed(points_xy: NDArray[np.float64], index: int, ct: CtReference) -> NDArray[np.float64]:
    """Points (n, 2) in pixels of a slice as patient coordinates (n, 3), from where the slice's own header puts it."""
    grid = ct.planes.grid
    steps_xy = np.array(grid.spacing_mm_zyx[:0:-1])
    in_plane = np.array(grid.direction_xyz).reshape(3, 3)[:, :2]
    return np.asarray(ct.planes.positions_mm_xyz[index] + (points_xy * steps_xy) @ in_plane.T)


def _changed(path: Path, shown: Numbered, ct: CtReference) -> str:
    """What is not as it was written, in words; "" if nothing is. Raises: Refusal for what our reader refuses."""
    found = read_structure_set(path)
    check_drawn_on(found.drawn_on, ct.planes, str(path), lambda _: "another", accept_frame=False)
    off_mm = max(_off_plane_mm(found, number, ct) for (number,) in shown.numbers)
    if off_mm > SAME_PLACE_MM:
        return f"read back, a point lies {off_mm:.2g} mm off its slice"
    if not np.array_equal(draw_structure_set(path, ct.planes.grid, shown.numbers), shown.values_zyx):
        return "voxels read back differ from the mask"
    return ""


def _off_plane_mm(found: StructureSet, number: int, ct: CtReference) -> float:
    heights_mm = ct.planes.heights_mm(ct.planes.positions_mm_xyz)
    points = [contour.points_mm_xyz for contour in contours_of(found, number)[0]]
    off_mm = [np.abs(ct.planes.heights_mm(one)[:, None] - heights_mm).min(axis=1).max() for one in points]
    return float(max(off_mm, default=0.0))
