"""A mask as DICOM Segmentation object (PS3.3 A.51): binary, a segment for each femur, on the slices of its CT."""

import copy
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from femseg import __version__
from femseg.formats.dicom.ct_planes import check_drawn_on
from femseg.formats.dicom.headers import OtherObject, read_slice_header
from femseg.formats.dicom.segmentation import draw_segmentation, misplaced, read_segmentation
from femseg.formats.dicom.writing.reference import MAKER, UTF_8, CtReference, MadeBy, Numbered, write_proven
from femseg.formats.writing import ANATOMY, Structure
from femseg.volumes.grid import LabelVolume

_SERIES_NUMBER = 9101
_OF_THE_SERIES = ("Modality", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_BY_NETWORK = Code("123109", "DCM", "Artificial Intelligence")


def write_segmentation(
    path: Path,
    labels: LabelVolume,
    structures: Sequence[Structure],
    ct: CtReference,
    *,
    made_by: MadeBy,
    before_named: Callable[[Path], None] | None = None,
) -> None:
    """Write the structures that a mask shows as segments, numbered from 1 in their order.

    Frames without a voxel are left out. Our own reader reads the file back before it gets its name: every voxel must
    be equal, and every frame lie on a slice of the CT.

    Args:
        labels: on the CT's grid.
        structures: what the values stand for; other values are left out.
        made_by: stands in the object.
        before_named: called with the file once it is proven, while it still has its temporary name.
    Raises: Refusal IN-22 (exit 3) if the mask is empty, DC-01 (exit 3) if our reader would refuse the object, (exit 5)
        if the disk is full.
    """
    shown = Numbered.of(labels, structures, path)
    content = _object(shown, ct, made_by)

    write_proven(path, content, lambda written: _changed(written, shown, ct), before_named)


def _object(shown: Numbered, ct: CtReference, made_by: MadeBy) -> bytes:
    described = [_described(k, structure, made_by) for k, structure in enumerate(shown.structures, start=1)]
    with warnings.catch_warnings(), io.BytesIO() as written:
        warnings.simplefilter("ignore")  # patient and study are copied as they stand; warnings repeat odd names
        hd.seg.Segmentation(
            source_images=_sources(ct),
            pixel_array=_as_stored(shown.values_zyx, ct),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=described,
            series_instance_uid=generate_uid(prefix=None),
            series_number=_SERIES_NUMBER,
            series_description=made_by.description,
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=MAKER,
            software_versions=__version__,
            device_serial_number=made_by.package_sha256,
            content_label="FEMUR",
            content_description=made_by.description,
            specific_character_set=UTF_8,
        ).save_as(written)
        return written.getvalue()


def _as_stored(values_zyx: NDArray[np.uint8], ct: CtReference) -> NDArray[np.uint8]:
    """Slices in the order in which highdicom meets the CT's: of an enhanced file, that of its frames."""
    if not ct.images[0].frame:
        return values_zyx
    stored = np.empty_like(values_zyx)
    stored[[image.frame - 1 for image in ct.images]] = values_zyx
    return stored


def _sources(ct: CtReference) -> list[Dataset]:
    """The CT as highdicom asks for it: complete, and all slices turned as the first, which intake took them for."""
    grid, first = ct.planes.grid, copy.deepcopy(ct.first)
    thickness_mm = first.get("SliceThickness") or grid.spacing_mm_zyx[0]
    measures = hd.PixelMeasuresSequence(grid.spacing_mm_zyx[1:], float(thickness_mm), grid.spacing_mm_zyx[0])
    positions = [hd.PlanePositionSequence("PATIENT", place) for place in ct.planes.positions_mm_xyz.tolist()]
    orientation = hd.PlaneOrientationSequence("PATIENT", ct.orientation)
    if ct.images[0].frame:
        shared, frames = Dataset(), [Dataset() for _ in ct.images]
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = measures, orientation
        for image, position in zip(ct.images, positions, strict=True):
            frames[image.frame - 1].PlanePositionSequence = position
        first.NumberOfFrames, first.Rows, first.Columns = grid.shape_zyx
        first.SharedFunctionalGroupsSequence, first.PerFrameFunctionalGroupsSequence = [shared], frames
        return [first]
    sources = [first, *(Dataset() for _ in ct.images[1:])]
    for source, image, position in zip(sources, ct.images, positions, strict=True):
        source.SOPClassUID, source.SOPInstanceUID = image.sop_class, image.instance_uid
        source.Rows, source.Columns = grid.shape_zyx[1:]
        for keyword in _OF_THE_SERIES:
            setattr(source, keyword, first[keyword].value)
        source.update(position[0])
        source.update(orientation[0])
        source.update(measures[0])
    return sources


def _described(number: int, structure: Structure, made_by: MadeBy) -> hd.seg.SegmentDescription:
    """A segment with its codes; the side as modifier of its type, where 3D Slicer and dcmqi write and look for it."""
    described = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.name,
        segmented_property_category=_code(ANATOMY),
        segmented_property_type=_code(structure.code),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=MAKER, family=_BY_NETWORK, version=__version__, parameters={"model package": made_by.package_sha256}
        ),
    )
    if structure.modifier:
        side = hd.sr.CodedConcept.from_code(_code(structure.modifier))
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
    return described


def _code(term: tuple[str, str]) -> Code:
    return Code(term[0], "SCT", term[1])


def _changed(path: Path, shown: Numbered, ct: CtReference) -> str:
    """What is not as it was written, in words; "" if nothing is. Raises: Refusal for what our reader refuses."""
    header = read_slice_header(path)
    if isinstance(header, OtherObject):
        return f"read back, it is {header.kind}"
    found = read_segmentation(header)
    check_drawn_on(found.drawn_on, ct.planes, str(path), lambda _: "another", accept_frame=False)
    for frame in found.frames:
        if problem := misplaced(frame, header.rows or 0, header.columns or 0, ct.planes):
            return f"read back, frame {frame.number} {problem}"
    if not np.array_equal(draw_segmentation(header, ct.planes.grid, shown.numbers), shown.values_zyx):
        return "voxels read back differ from the mask"
    return ""
