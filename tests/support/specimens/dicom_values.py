"""DICOM CTs whose numbers are no Hounsfield units, or whose files are no slices."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, UID, RLELossless, SecondaryCaptureImageStorage

from specimens.base import Change, stored_pixels
from specimens.compressed import run_lengths
from specimens.dicom_change import afterwards, all_with, dicom, one_with, without, without_all
from specimens.specimen import Make, Specimen, refused


def with_pixels(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Every slice's stored numbers go through `change`."""

    def changed(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            dataset.PixelData = change(stored_pixels(dataset)).astype("<u2").tobytes()

    return changed


def cut(name: str, keep: float) -> Callable[[Path], object]:
    """A file of the study keeps this part of its bytes alone."""

    def change(study: Path) -> None:
        path = study / name
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])

    return change


def replaced(name: str, old: bytes, new: bytes) -> Callable[[Path], object]:
    """Bytes of a file are replaced once."""

    def change(study: Path) -> None:
        content = (study / name).read_bytes()
        if old not in content:
            raise ValueError(f"{name} does not hold {old!r}")
        (study / name).write_bytes(content.replace(old, new, 1))

    return change


def _halves(slope: float | None) -> Change:
    """Stored numbers that are half a Hounsfield unit each, with another slope than that or none."""

    def change(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            dataset.PixelData = (stored_pixels(dataset) * 2).tobytes()
            dataset.RescaleSlope = slope
            if slope is None:
                del dataset.RescaleSlope

    return change


def _three_samples(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.PixelData = dataset.PixelData * 3


def _encapsulated_as(syntax: str) -> Change:
    """The stored numbers as they are, said to be compressed."""

    def change(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            dataset.PixelData = encapsulate([dataset.PixelData])
            dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = UID(syntax)

    return change


def _without_delimiter(study: Path) -> None:
    torn = study / "ct" / "slice-013.dcm"
    torn.write_bytes(torn.read_bytes()[:-8])  # eight bytes end the fragments


def _without_suffix(study: Path) -> None:
    for path in sorted((study / "ct").iterdir()):
        path.rename(path.with_suffix(""))
    (study / "ct" / "slice-014").write_bytes(b"")


def _torn(name: str, keep: float) -> Make:
    return afterwards(cut(name, keep))


SPECIMENS: tuple[Specimen, ...] = (
    refused(
        "no-slope",
        "IN-10",
        "a slice without RescaleSlope",
        dicom(ct=without("RescaleSlope")),
        "RescaleSlope",
        "slice-003.dcm",
        "missing",
    ),
    refused(
        "no-intercept",
        "IN-10",
        "a slice without RescaleIntercept",
        dicom(ct=without("RescaleIntercept")),
        "RescaleIntercept",
        "slice-003.dcm",
    ),
    refused(
        "no-slope-anywhere",
        "IN-10",
        "no slice with RescaleSlope, which was 0.5",
        dicom(ct=_halves(None)),
        "RescaleSlope",
        "14 of 14",
    ),
    refused(
        "no-rescaling-anywhere",
        "IN-10",
        "no slice with RescaleSlope or RescaleIntercept",
        dicom(ct=without_all("RescaleSlope", "RescaleIntercept")),
        "RescaleIntercept",
        "14 of 14",
    ),
    refused("zero-slope", "IN-10", "RescaleSlope is 0 where it was 0.5", dicom(ct=_halves(0.0)), "is 0", "14 of 14"),
    refused(
        "no-number-as-slope",
        "IN-10",
        "a RescaleSlope that is no number",
        afterwards(replaced("ct/slice-003.dcm", b"DS\x04\x001.0 ", b"DS\x04\x00none")),
        "RescaleSlope",
        "slice-003.dcm",
    ),
    refused(
        "one-slice-of-other-numbers",
        "IN-10",
        "one slice with an intercept of its own that its numbers do not follow",
        dicom(ct=one_with("RescaleIntercept", -2048, at=5)),
        "slice-005.dcm: rescales by slope 1 and intercept -2048",
    ),
    refused(
        "raw-numbers",
        "IN-11",
        "scanner numbers where Hounsfield units are meant (intercept 0)",
        dicom(ct=all_with("RescaleIntercept", 0)),
        "lie below",
    ),
    refused(
        "no-bone",
        "IN-11",
        "values that end at 250 HU",
        dicom(ct=with_pixels(lambda stored: np.minimum(stored, 1274))),
        "bone reaches 300",
        truth="none",
    ),
    refused(
        "wrong-air",
        "IN-11",
        "air at -600 HU",
        dicom(ct=with_pixels(lambda stored: np.where(stored < 500, stored + 400, stored))),
        "air lies at",
        truth="none",
    ),
    refused(
        "inverted",
        "IN-12",
        "MONOCHROME1: dark is dense",
        dicom(ct=all_with("PhotometricInterpretation", "MONOCHROME1")),
        "MONOCHROME1",
        "slice-000.dcm",
        truth="none",
    ),
    refused("mr", "IN-12", "Modality is MR", dicom(ct=all_with("Modality", "MR")), "Modality", "MR", truth="none"),
    refused("colour", "IN-12", "three samples a pixel", dicom(ct=_three_samples), "RGB"),
    refused("video", "IN-12", "pixels as MPEG-2 video", dicom(ct=_encapsulated_as(MPEG2MPML)), "MPEG2", "14 of 14"),
    refused(
        "zero-byte-slice",
        "IN-14",
        "an empty file among good slices",
        _torn("ct/slice-013.dcm", 0),
        "is empty",
        faults=("IN-14", "IN-03"),
    ),
    refused(
        "slice-cut-in-header",
        "IN-14",
        "a slice that ends within its header",
        _torn("ct/slice-013.dcm", 0.2),
        "ct/slice-013.dcm: ends after",
        faults=("IN-14", "IN-03"),
    ),
    refused(
        "slice-cut-in-pixels",
        "IN-14",
        "half of a slice's pixels are missing",
        _torn("ct/slice-013.dcm", 0.7),
        "ct/slice-013.dcm: is cut short",
        faults=("IN-14", "IN-03"),
    ),
    refused(
        "slice-cut-by-bytes",
        "IN-14",
        "a slice lacks its last bytes",
        _torn("ct/slice-013.dcm", 0.999),
        "ct/slice-013.dcm: is cut short",
        faults=("IN-14", "IN-03"),
    ),
    refused(
        "torn-slice-within",
        "IN-14",
        "a slice in the middle is cut short, so that a gap shows too",
        _torn("ct/slice-006.dcm", 0.7),
        "ct/slice-006.dcm: is cut short",
        faults=("IN-14", "IN-01", "IN-03"),
    ),
    refused(
        "torn-mask-slice",
        "IN-14",
        "a slice of the mask is cut short",
        _torn("mask/slice-000.dcm", 0.7),
        "mask/slice-000.dcm: is cut short",
        faulty="mask",
    ),
    refused(
        "no-dicom",
        "IN-14",
        "a text file under a slice's name",
        afterwards(lambda study: (study / "ct" / "slice-014.dcm").write_bytes(b"not found\n" * 40)),
        "slice-014.dcm: is no DICOM file (400 bytes",
    ),
    refused(
        "torn-slice-without-suffix",
        "IN-14",
        "an empty file among slices whose names have no suffix",
        afterwards(_without_suffix),
        "ct/slice-014: is empty",
    ),
    refused(
        "rows-that-lie",
        "IN-14",
        "Rows says 65535",
        dicom(ct=one_with("Rows", 65535)),
        "ct/slice-003.dcm: has 1248 bytes of pixel data; 65535 rows × 26 columns",
        faults=("IN-14", "IN-01", "IN-03"),
    ),
    refused(
        "compressed-pixels-cut",
        "IN-14",
        "compressed pixels that do not end",
        afterwards(_without_delimiter, dicom(ct=run_lengths)),
        "slice-013.dcm",
        "compressed pixel data do not end",
        faults=("IN-14", "IN-03"),
    ),
    refused(
        "pixels-said-to-be-run-lengths",
        "IN-14",
        "plain numbers whose header says run lengths",
        dicom(ct=_encapsulated_as(RLELossless)),
        "slice-000.dcm",
        "segments, 16 bits need 2",
    ),
    refused(
        "unknown-value-type",
        "IN-14",
        "a value representation that does not exist",
        afterwards(replaced("ct/slice-003.dcm", b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00QQ")),
        "ct/slice-003.dcm: has a broken header",
        faults=("IN-14", "IN-01", "IN-03"),
    ),
    refused(
        "unknown-transfer-syntax",
        "IN-14",
        "a TransferSyntaxUID that does not exist",
        afterwards(replaced("ct/slice-003.dcm", b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.1.2.1\0")),
        "ct/slice-003.dcm: has no TransferSyntaxUID of the standard",
        faults=("IN-14", "IN-01", "IN-03"),
    ),
    refused(
        "burned-in-text",
        "SC-13",
        "text burned into the pixels",
        dicom(ct=one_with("BurnedInAnnotation", "YES")),
        "burned",
        truth="none",
    ),
    refused(
        "screenshots",
        "SC-13",
        "secondary captures",
        dicom(ct=all_with("SOPClassUID", SecondaryCaptureImageStorage)),
        "screenshot",
        truth="none",
    ),
)
