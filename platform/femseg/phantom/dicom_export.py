"""A phantom study as DICOM, the way an annotated clinical study arrives: a CT series and a mask series beside it."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from femseg.files.durable import folder_written_durably
from femseg.phantom.study import PhantomStudy

_INTERCEPT_HU = -1024
_MAKER = "femseg phantom"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """What tells the two series of a study apart."""

    kind: Literal["ct", "mask"]
    number: int
    description: str
    image_type: tuple[str, ...]
    intercept: int


_CT = _Series(
    kind="ct",
    number=2,
    description="Lower limb CTA",
    image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
    intercept=_INTERCEPT_HU,
)
_MASK = _Series(
    kind="mask", number=200, description="Femur mask", image_type=("DERIVED", "SECONDARY", "AXIAL"), intercept=0
)


def write_phantom_study(study: PhantomStudy, folder: Path) -> None:
    """Write `folder/ct/*.dcm` and `folder/mask/*.dcm`, both whole or nothing; the same study gives the same bytes.

    The CT series is plain: signed 16-bit, slope 1, intercept -1024, one file per slice from inferior to superior. The
    mask series looks like what a segmentation workstation (Mimics, for one) exports: a *derived* CT series of the same
    study and frame of reference, slice for slice on the CT's grid, whose values are 1 in the femur and 0 outside.
    There are no dates and no times; an earlier folder of that name is replaced.

    Raises: Refusal (exit 5) if the disk is full or unwritable.
    """
    with folder_written_durably(folder) as unfinished:
        stored = study.ct.hu_zyx.astype(np.int16) - np.int16(_INTERCEPT_HU)
        _write_series(study, _CT, stored, unfinished / "ct")
        _write_series(study, _MASK, study.femur.femur_zyx.astype(np.int16), unfinished / "mask")


def _write_series(study: PhantomStudy, series: _Series, stored_zyx: NDArray[np.int16], folder: Path) -> None:
    # Files are not synced one by one: the folder takes its name when all are written, and intake hashes each of them.
    folder.mkdir()
    dataset = _series_header(study, series)
    for number, stored_yx in enumerate(stored_zyx):
        instance_uid = _uid(study, series.kind, str(number))
        for keyword, value in _geometry(study, number).items():
            setattr(dataset, keyword, value)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = instance_uid
        dataset.set_pixel_data(np.ascontiguousarray(stored_yx), "MONOCHROME2", 16, generate_instance_uid=False)
        dataset.save_as(folder / f"{series.kind}-{number + 1:04d}.dcm", enforce_file_format=True)


def _series_header(study: PhantomStudy, series: _Series) -> Dataset:
    """What all slices of a series have in common."""
    dataset = Dataset()
    for keyword, value in (_about_the_patient(study) | _about_the_series(study, series)).items():
        setattr(dataset, keyword, value)
    dataset.SOPClassUID = CTImageStorage
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = _uid(study, "implementation")
    dataset.file_meta.ImplementationVersionName = "FEMSEG_PHANTOM"
    return dataset


def _uid(study: PhantomStudy, *parts: str) -> UID:
    """A UID under the UUID root (2.25), fixed by what the study is made from."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '/'.join((study.fingerprint, *parts))).int}")


def _about_the_patient(study: PhantomStudy) -> dict[str, object]:
    facts = study.facts
    return {
        "PatientName": study.patient_id.replace("-", "^", 1),
        "PatientID": study.patient_id,
        "PatientBirthDate": "",
        "PatientSex": facts.sex,
        "PatientAge": f"{facts.age_years:03d}Y",
        "PatientPosition": "FFS",
        "BodyPartExamined": "LEG",
        **({} if facts.side == "both" else {"Laterality": "L" if facts.side == "left" else "R"}),
    }


def _about_the_series(study: PhantomStudy, series: _Series) -> dict[str, object]:
    return {
        "ImageType": list(series.image_type),
        "Modality": "CT",
        "Manufacturer": _MAKER,
        "StudyDate": "",
        "StudyTime": "",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "StudyDescription": "Synthetic lower-limb CT angiography",
        "SeriesDescription": series.description,
        "SeriesNumber": series.number,
        "AcquisitionNumber": 1,
        "ImagesInAcquisition": study.ct.grid.shape_zyx[0],
        "KVP": "120",
        "StudyInstanceUID": _uid(study, "study"),
        "SeriesInstanceUID": _uid(study, series.kind),
        "FrameOfReferenceUID": _uid(study, "frame"),
        "PositionReferenceIndicator": "",
        "RescaleIntercept": str(series.intercept),
        "RescaleSlope": "1",
        "RescaleType": "HU" if series.kind == "ct" else "US",
    }


def _geometry(study: PhantomStudy, number: int) -> dict[str, object]:
    grid = study.ct.grid
    thickness, row_mm, column_mm = (_decimal(spacing) for spacing in grid.spacing_mm_zyx)
    position = grid.position_mm_xyz((number, 0, 0)).tolist()
    return {
        "InstanceNumber": number + 1,
        "ImagePositionPatient": [_decimal(value) for value in position],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "SliceLocation": _decimal(position[2]),
        "SliceThickness": thickness,
        "SpacingBetweenSlices": thickness,
        "PixelSpacing": [row_mm, column_mm],
    }


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters, as DICOM's DS asks."""
    return format(value, ".10g")
