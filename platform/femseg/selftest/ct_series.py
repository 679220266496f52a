"""A CT of the phantom as DICOM slices on disk, for what refers to one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from femseg.formats.dicom.headers import SliceHeader, read_slice_header
from femseg.formats.dicom.series import check_series
from femseg.formats.dicom.writing.reference import CtReference, ct_reference
from femseg.selftest.phantom import SIDES, Sample

_BONE_HU, _MUSCLE_HU, _AIR_HU = 700, 40, -1000


def ct_series(sample: Sample, folder: Path) -> tuple[CtReference, Sequence[Dataset]]:
    """Write the slices, and let intake put them in order: what a mask refers to, and the slices as they were written.

    A series has no handedness: of a grid whose z axis runs against its slices' normal, the last slice comes first.
    """
    (folder / "ct").mkdir()
    slices = _slices(sample)
    headers = []
    for number, one in enumerate(slices):
        path = folder / "ct" / f"{number:03d}.dcm"
        one.save_as(path, enforce_file_format=True)
        header = read_slice_header(path)
        if not isinstance(header, SliceHeader):
            raise ValueError(f"a slice of the CT is read as {header.kind}")
        headers.append(header)
    checked = check_series(headers, "ct", lambda _: "")
    source = checked.hashed(folder)
    return ct_reference(source, folder, checked.grid, name="the phantom's CT"), slices


def _slices(sample: Sample) -> list[Dataset]:
    places = sample.places_mm
    hu = np.full(sample.shape_zyx, _MUSCLE_HU)
    hu[:, :2], hu[:, -2:] = _AIR_HU, _AIR_HU
    for label in SIDES:
        hu[sample.distances_mm[label] < 0] = _BONE_HU
    row, column = (sample.lps_of_xyz[:3, axis] / sample.spacing_mm_zyx[2 - axis] for axis in (0, 1))
    study, series, frame = (generate_uid(prefix=None) for _ in range(3))
    made = []
    for number, hu_yx in enumerate(hu):
        one = Dataset()
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, generate_uid(prefix=None)
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.PatientID = one.PatientName = "femseg^selftest"
        one.Modality, one.ImageType, one.InstanceNumber = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], number + 1
        one.ImagesInAcquisition = len(hu)
        one.ImagePositionPatient = [f"{value:.10g}" for value in places[number, 0, 0]]
        one.ImageOrientationPatient = [f"{value:.10g}" for value in (*row, *column)]
        one.PixelSpacing = list(sample.spacing_mm_zyx[1:])
        one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 1, -1024, "HU"
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        stored = (hu_yx + 1024).astype(np.uint16)
        one.set_pixel_data(stored, "MONOCHROME2", 16, generate_instance_uid=False)
        made.append(one)
    return made
