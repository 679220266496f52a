"""The study that every specimen begins as: a CT with a block of bone and its mask, small enough to write in no time."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from specimens.nifti_file import nifti_bytes, packed

SHAPE_ZYX = (14, 24, 26)
SPACING_ZYX = (4.0, 3.0, 2.5)
ORIGIN_XYZ = (-30.0, -40.0, 100.0)
UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PATIENT = "PATIENT-7"
STUDY = "1.2.826.0.1.3680043.8.498.1"

Change = Callable[[list[Dataset]], object]


def femur_mask(shape_zyx: tuple[int, int, int] = SHAPE_ZYX) -> NDArray[np.bool_]:
    """A block of 10 × 6 × 7 voxels (12.6 ml), clear of all borders, off the middle on every axis."""
    mask = np.zeros(shape_zyx, bool)
    mask[2:12, 8:14, 5:12] = True
    return mask


def ct_hu(mask: NDArray[np.bool_] | None = None, seed: int = 0) -> NDArray[np.int16]:
    """Air round a body of muscle and fat, bone where the mask is; every voxel differs a little, none below -1024 HU."""
    mask = femur_mask() if mask is None else mask
    hu = np.full(mask.shape, -1000.0)
    hu[:, 2:-2, 2:-2] = 40.0
    hu[:, 2:4, 2:-2] = -100.0
    hu[mask] = 700.0
    noisy = hu + np.random.default_rng(seed).normal(0, 8, mask.shape)
    return np.maximum(noisy.round(), -1024).astype(np.int16)


def slices(
    stored_zyx: NDArray[np.integer],
    *,
    orientation: Sequence[float] = UPRIGHT,
    origin_xyz: Sequence[float] = ORIGIN_XYZ,
    slope: float = 1.0,
    intercept: float = -1024.0,
    patient: str = PATIENT,
    frame: str | None = None,
    modality: str = "CT",
) -> list[Dataset]:
    """One data set for each slice, in stack order, of a series of its own in the one study."""
    series, frame = generate_uid(), frame or generate_uid()
    normal = np.cross(orientation[:3], orientation[3:])
    made = []
    for k, pixels in enumerate(stored_zyx):
        one = Dataset()
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, generate_uid()
        one.PatientID, one.PatientName, one.PatientSex, one.PatientAge = patient, "Doe^Jane", "F", "071Y"
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = STUDY, series, frame
        one.Modality, one.ImageType = modality, ["ORIGINAL", "PRIMARY", "AXIAL"]
        one.InstanceNumber = k + 1
        one.ImagesInAcquisition = len(stored_zyx)
        position = np.array(origin_xyz) + k * SPACING_ZYX[0] * normal
        one.ImagePositionPatient = [f"{value:.10g}" for value in position]
        one.ImageOrientationPatient = [f"{value:.10g}" for value in orientation]
        one.PixelSpacing = list(SPACING_ZYX[1:])
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.Rows, one.Columns = pixels.shape
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, 0
        one.RescaleSlope, one.RescaleIntercept = slope, intercept
        one.PixelData = pixels.astype("<u2").tobytes()
        made.append(one)
    return made


def ct_slices(hu_zyx: NDArray[np.integer] | None = None, **kwargs: object) -> list[Dataset]:
    """CT slices of Hounsfield units, stored with slope 1 and intercept -1024."""
    hu = ct_hu() if hu_zyx is None else hu_zyx
    return slices(np.clip(hu.astype(int) + 1024, 0, None), **kwargs)  # type: ignore[arg-type]


def stored_pixels(dataset: Dataset) -> NDArray[np.uint16]:
    """A base slice's stored numbers, shape (Y, X); to be changed and put back."""
    return np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns).copy()


def write_series(
    folder: Path, datasets: Sequence[Dataset], *, syntax: str = ExplicitVRLittleEndian, name: str = "slice-{:03d}.dcm"
) -> list[Path]:
    """Write data sets as slice-000.dcm … in list order; one that carries file_meta keeps its transfer syntax."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k, one in enumerate(datasets):
        if not hasattr(one, "file_meta"):
            one.file_meta = FileMetaDataset()
            one.file_meta.TransferSyntaxUID = UID(syntax)
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        paths.append(folder / name.format(k))
        dcmwrite(paths[-1], one, enforce_file_format=True)
    return paths


def write_dicom_study(
    folder: Path,
    *,
    ct: Change | None = None,
    mask: Change | None = None,
    mask_zyx: NDArray[np.integer] | None = None,
    patient: str = PATIENT,
    seed: int = 0,
) -> Path:
    """`folder/ct/*.dcm` and `folder/mask/*.dcm`; `ct` and `mask` change the data sets before they are written."""
    frame = generate_uid()
    ct_datasets = ct_slices(ct_hu(seed=seed), frame=frame, patient=patient)
    values = femur_mask().astype(np.uint16) if mask_zyx is None else mask_zyx
    mask_datasets = slices(values, intercept=0.0, frame=frame, patient=patient, modality="OT")
    for change, datasets in ((ct, ct_datasets), (mask, mask_datasets)):
        if change is not None:
            change(datasets)
    write_series(folder / "ct", ct_datasets)
    write_series(folder / "mask", mask_datasets)
    return folder


def affine_ras() -> NDArray[np.float64]:
    """Index (x, y, z) to RAS millimetres, of the same grid as the DICOM study's."""
    affine = np.diag([-SPACING_ZYX[2], -SPACING_ZYX[1], SPACING_ZYX[0], 1.0])
    affine[:3, 3] = (-ORIGIN_XYZ[0], -ORIGIN_XYZ[1], ORIGIN_XYZ[2])
    return affine


def write_nifti(
    path: Path,
    array_zyx: NDArray[np.generic],
    affine: NDArray[np.float64] | None = None,
    *,
    codes: tuple[int, int] = (1, 1),
) -> Path:
    """A NIfTI-1 file on the base study's grid unless told otherwise; `codes` are qform and sform code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = nifti_bytes(array_zyx, affine_ras() if affine is None else affine, codes=codes)
    path.write_bytes(packed(content) if path.name.endswith(".gz") else content)
    return path


def write_volume_study(folder: Path, *, suffix: str = ".nii.gz", seed: int = 0) -> Path:
    """`folder/ct.nii.gz` and `folder/mask.nii.gz`."""
    write_nifti(folder / f"ct{suffix}", ct_hu(seed=seed))
    write_nifti(folder / f"mask{suffix}", femur_mask().astype(np.uint8))
    return folder
