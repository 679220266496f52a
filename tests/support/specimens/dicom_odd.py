"""DICOM studies that look odd and are right: each voxel has one place and one value, and the headers say which."""

import math
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, generate_uid

from specimens.base import (
    ORIGIN_XYZ,
    SHAPE_ZYX,
    Change,
    ct_hu,
    ct_slices,
    femur_mask,
    slices,
    stored_pixels,
    write_dicom_study,
    write_nifti,
    write_series,
)
from specimens.compressed import jpeg, run_lengths
from specimens.dicom_change import afterwards, all_with, dicom, dicom_both, dicom_turned, joined, move
from specimens.planted_text import PLANTED, planted
from specimens.specimen import Make, Specimen, accepted, remarked


def _shuffled(datasets: list[Dataset]) -> None:
    np.random.default_rng(3).shuffle(datasets)


def _numbers_reversed(datasets: list[Dataset]) -> None:
    for number, dataset in enumerate(reversed(datasets)):
        dataset.InstanceNumber = number


def _without_numbers(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        del dataset.InstanceNumber


def _jitter(datasets: list[Dataset]) -> None:
    for k, dataset in enumerate(datasets):
        move(dataset, 0, 0, 0.001 * (k % 2))


def _head_first(datasets: list[Dataset]) -> None:
    for k, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = [*ORIGIN_XYZ[:2], ORIGIN_XYZ[2] - 4.0 * k]


def _rescaled_slice_by_slice(datasets: list[Dataset]) -> None:
    """As PET-CT scanners store: each slice fills its range, so slopes differ; the Hounsfield units stay."""
    for k, (dataset, hu) in enumerate(zip(datasets, ct_hu(), strict=True)):
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 + k / 16, -1024 - 2 * k
        stored = (hu - dataset.RescaleIntercept) / dataset.RescaleSlope
        dataset.PixelData = np.maximum(stored.round(), 0).astype("<u2").tobytes()


def _signed(datasets: list[Dataset]) -> None:
    """Signed numbers, two HU apart."""
    for dataset, hu in zip(datasets, ct_hu(), strict=True):
        dataset.PixelRepresentation, dataset.RescaleSlope, dataset.RescaleIntercept = 1, 2.0, -24
        dataset.PixelData = ((hu + 24) // 2).astype("<i2").tobytes()


def _twelve_bits(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.BitsStored, dataset.HighBit = 12, 11


def _padded(stored_value: int, intercept: float) -> Change:
    """Outside the scanner's circle no air but a number that stands for nothing."""

    def change(datasets: list[Dataset]) -> None:
        y, x = np.indices(SHAPE_ZYX[1:])
        outside = np.hypot((y - 11.5) / 12, (x - 12.5) / 13) > 1
        for dataset, hu in zip(datasets, ct_hu(), strict=True):
            stored = np.where(outside, stored_value, hu - intercept)
            dataset.PixelRepresentation, dataset.RescaleIntercept = 1, intercept
            dataset.PixelData = stored.astype("<i2").tobytes()
            dataset.add_new("PixelPaddingValue", "SS", stored_value)

    return change


def _metal(datasets: list[Dataset]) -> None:
    for dataset in datasets[3:9]:
        stored = stored_pixels(dataset)
        stored[9:12, 6:9] = 4095
        dataset.PixelData = stored.tobytes()


def _big_endian(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()


def _eight_bits(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype("u1").tobytes()


def _bare_mask(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.PatientID, dataset.FrameOfReferenceUID


def _padding_behind_pixels(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.add_new(Tag(0xFFFC, 0xFFFC), "OB", bytes(64))


def _private_tags(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        block = dataset.private_block(0x0009, "SOME VENDOR", create=True)
        block.add_new(0x01, "OB", bytes(5000))
        block.add_new(0x02, "LO", "of no concern")
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientComments = "Größe 1,83 m · 身長"


def _wrong_thickness(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.SliceThickness, dataset.SpacingBetweenSlices, dataset.SliceLocation = 1.0, 1.0, 0.0


def _rounded_cosines(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.ImageOrientationPatient = ["0.996195", "0.087156", "0", "-0.087156", "0.996195", "0"]


def _scout(datasets: list[Dataset]) -> Dataset:
    scout = ct_slices()[0]
    joined(scout, datasets)
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    scout.Rows, scout.PixelData = 40, bytes(40 * 26 * 2)
    return scout


def _with_scout_inside(datasets: list[Dataset]) -> None:
    datasets.append(_scout(datasets))


def _with_scout_series(folder: Path) -> None:
    def beside(datasets: list[Dataset]) -> None:
        scout = _scout(datasets)
        scout.SeriesInstanceUID = generate_uid()
        write_series(folder / "study" / "ct", [scout], name="scout-{}.dcm")

    write_dicom_study(folder / "study", ct=beside)


def _copy(study: Path) -> None:
    (study / "ct" / "slice-005 (1).dcm").write_bytes((study / "ct" / "slice-005.dcm").read_bytes())


def _uncounted(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        del dataset.ImagesInAcquisition


def _slightly_uneven(datasets: list[Dataset]) -> None:
    move(datasets[5], 0, 0, 0.03)


def _renamed(suffix: str) -> Make:
    def change(study: Path) -> None:
        for path in sorted(study.rglob("*.dcm")):
            path.rename(path.with_suffix(suffix))

    return afterwards(change)


def _nested(study: Path) -> None:
    inner = study / "ct" / "ST000001" / "SE000002"
    for k, path in enumerate(sorted((study / "ct").iterdir())):
        (inner / str(k // 5)).mkdir(parents=True, exist_ok=True)
        path.rename(inner / str(k // 5) / f"I{k}")


def _files_beside(study: Path) -> None:
    for name in ("README", "ct/Thumbs.db", "ct/notes.txt", "DICOMDIR", ".DS_Store"):
        (study / name).write_bytes(b"nothing of interest")


def _mask_file(folder: Path) -> None:
    write_series(folder / "study" / "ct", ct_slices())
    write_nifti(folder / "study" / "mask.nii.gz", femur_mask().astype("u1"))


def _oblique_with_mask_file(folder: Path) -> None:
    """The CT's place in decimal text, the mask's in NIfTI's single precision: the same but for rounding."""
    orientation = OBLIQUE
    write_series(folder / "study" / "ct", ct_slices(orientation=orientation))
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    affine = np.eye(4)
    affine[:3, :3] = np.stack([2.5 * row, 3.0 * column, 4.0 * np.cross(row, column)], axis=1)
    affine[:3, 3] = ORIGIN_XYZ
    write_nifti(folder / "study" / "mask.nii.gz", femur_mask().astype("u1"), np.diag([-1.0, -1, 1, 1]) @ affine)


def _mask_by_description(folder: Path) -> None:
    frame = generate_uid()
    mask = slices(femur_mask().astype(int), intercept=0.0, frame=frame, modality="OT")
    for dataset in mask:
        dataset.SeriesDescription = "Femur segmentation"
    write_series(folder / "study", ct_slices(frame=frame), name="ct-{:03d}.dcm")
    write_series(folder / "study", mask, name="other-{:03d}.dcm")


def _in(syntax: str) -> Make:
    def make(folder: Path) -> None:
        frame = generate_uid()
        ct = ct_slices(frame=frame)
        mask = slices(femur_mask().astype(int), intercept=0.0, frame=frame, modality="OT")
        if syntax == ExplicitVRBigEndian:
            _big_endian(ct)
            _big_endian(mask)
        write_series(folder / "study" / "ct", ct, syntax=syntax)
        write_series(folder / "study" / "mask", mask, syntax=syntax)

    return make


def _turned(degrees_z: float, degrees_x: float) -> tuple[float, ...]:
    """Row and column of an axial slice turned about the body axis, then about the left-right axis."""
    (cz, sz), (cx, sx) = ((math.cos(a), math.sin(a)) for a in map(math.radians, (degrees_z, degrees_x)))
    return (cz, sz * cx, sz * sx, -sz, cz * cx, cz * sx)


OBLIQUE = _turned(17.0, 23.0)

SPECIMENS: tuple[Specimen, ...] = (
    accepted("dicom", "IN-15", "a plain DICOM study, nothing odd", dicom()),
    accepted("jitter", "IN-02", "positions that jitter by 0.001 mm", dicom(ct=_jitter)),
    accepted("shuffled", "IN-15", "file names in no order", dicom_both(_shuffled)),
    accepted("files-reversed", "IN-15", "file names from top to bottom", dicom(ct=list.reverse)),
    accepted("numbers-reversed", "IN-15", "InstanceNumber from top to bottom", dicom(ct=_numbers_reversed)),
    accepted("no-numbers", "IN-15", "no InstanceNumber", dicom_both(_without_numbers)),
    accepted("head-first", "IN-15", "a series stored from head to feet", dicom_both(_head_first)),
    accepted("rows-and-columns-reversed", "IN-15", "IOP (-1, 0, 0, 0, -1, 0)", dicom_turned(-1, 0, 0, 0, -1, 0)),
    accepted("prone", "IN-15", "feet first, prone", dicom_turned(1, 0, 0, 0, -1, 0)),
    accepted("sagittal", "IN-15", "a sagittal acquisition", dicom_turned(0, 1, 0, 0, 0, -1)),
    accepted("coronal", "IN-15", "a coronal acquisition", dicom_turned(1, 0, 0, 0, 0, -1)),
    accepted("turned", "IN-15", "slices turned by 5° in their plane", dicom_turned(*_turned(5.0, 0.0))),
    accepted("oblique", "IN-15", "slices turned by 17° and 23°", dicom_turned(*OBLIQUE)),
    accepted("rounded-cosines", "IN-13", "cosines of six digits", dicom_both(_rounded_cosines)),
    accepted("non-square-pixels", "IN-19", "pixels of 2.2 × 5 mm", dicom_both(all_with("PixelSpacing", [2.2, 5.0]))),
    accepted("wrong-thickness", "IN-01", "thickness and location that mean nothing", dicom_both(_wrong_thickness)),
    remarked(
        "rescaled-by-slice",
        "IN-10",
        "another slope and intercept in each slice",
        dicom(ct=_rescaled_slice_by_slice),
        "applied slice by slice",
    ),
    accepted("signed", "IN-10", "signed numbers with slope 2", dicom(ct=_signed)),
    accepted("twelve-bits", "IN-12", "12 of 16 bits in use", dicom(ct=_twelve_bits)),
    accepted("padding-3024", "IN-11", "-3024 HU outside of the circle", dicom(ct=_padded(-2000, -1024))),
    accepted("padding-2000", "IN-11", "-2000 HU outside of the circle", dicom(ct=_padded(-2000, 0))),
    remarked("metal", "FACT", "an implant of 3071 HU", dicom(ct=_metal), "ml of metal"),
    accepted("implicit", "IN-12", "implicit VR", _in(ImplicitVRLittleEndian)),
    accepted("big-endian", "IN-12", "big-endian", _in(ExplicitVRBigEndian)),
    accepted("run-lengths", "IN-12", "pixels as run lengths", dicom_both(run_lengths)),
    accepted("jpeg-lossless", "IN-12", "pixels as lossless JPEG", dicom_both(jpeg("JPEG"))),
    accepted("jpeg-2000", "IN-12", "pixels as lossless JPEG 2000", dicom_both(jpeg("JPEG2000"))),
    accepted("no-suffix", "IN-14", "file names without suffix", _renamed("")),
    accepted("suffix-ima", "IN-14", "file names that end with .IMA", _renamed(".IMA")),
    accepted("nested", "IN-14", "slices in folders of folders, as a PACS sends them", afterwards(_nested)),
    accepted("files-beside", "IN-14", "README, Thumbs.db, DICOMDIR beside the slices", afterwards(_files_beside)),
    accepted("private-tags", "IN-14", "private tags and text in UTF-8", dicom_both(_private_tags)),
    accepted("planted-text", "SC-10", f"{len(PLANTED)} header texts that tell of a person", dicom_both(planted)),
    accepted(
        "padding-behind-pixels", "IN-14", "trailing padding behind the pixels", dicom_both(_padding_behind_pixels)
    ),
    accepted("mask-of-8-bits", "IN-22", "a mask series of 8 bits", dicom(mask=_eight_bits)),
    accepted("bare-mask", "IN-06", "a mask series without rescaling, patient and frame", dicom(mask=_bare_mask)),
    accepted("mask-by-description", "IN-05", "a mask series known by its description alone", _mask_by_description),
    accepted("mask-file", "IN-20", "a DICOM CT with its mask as NIfTI", _mask_file),
    accepted("oblique-mask-file", "IN-20", "the same, oblique: single precision", _oblique_with_mask_file),
    remarked("uneven-within-1-percent", "IN-02", "a step of 4.03 mm", dicom(ct=_slightly_uneven), "3.97 to 4.03 mm"),
    remarked("uncounted", "IN-03", "no ImagesInAcquisition", dicom(ct=_uncounted), "count of slices not verifiable"),
    remarked("copied-slice", "IN-04", "a slice twice, byte for byte", afterwards(_copy), "slice-005.dcm repeats"),
    remarked("no-patient-id", "IN-06", "no PatientID", dicom_both(all_with("PatientID", "")), "no PatientID"),
    remarked("scout-in-series", "IN-07", "a localizer in the series", dicom(ct=_with_scout_inside), "slice-014.dcm"),
    remarked("scout-series", "IN-07", "a localizer series in the folder", _with_scout_series, "localizer series"),
)
