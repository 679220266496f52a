"""DICOM slices with losslessly compressed pixels: run lengths by pydicom, JPEG by the GDCM inside SimpleITK."""

import tempfile
from pathlib import Path
from typing import Literal

import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from femseg.cohorts.specimens.base import Change, stored_pixels

_SYNTAXES = {"JPEG": JPEGLosslessSV1, "JPEG2000": JPEG2000Lossless}


def run_lengths(datasets: list[Dataset]) -> None:
    """A change that stores every slice's pixels as run lengths."""
    for dataset in datasets:
        dataset.file_meta = FileMetaDataset()
        dataset.compress(RLELossless, stored_pixels(dataset), encoding_plugin="pydicom", generate_instance_uid=False)


def jpeg(codec: Literal["JPEG", "JPEG2000"]) -> Change:
    """A change that stores every slice's pixels by lossless JPEG (process 14, first-order prediction) or JPEG 2000."""

    def change(datasets: list[Dataset]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for dataset in datasets:
                _encode(dataset, codec, Path(folder) / "slice.dcm")

    return change


def _encode(dataset: Dataset, codec: str, path: Path) -> None:
    """Let GDCM write the same numbers as a file of its own, and take its code stream."""
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.SetImageIO("GDCMImageIO")
    writer.SetCompressor(codec)
    writer.UseCompressionOn()
    writer.Execute(sitk.GetImageFromArray(stored_pixels(dataset)))
    encoded = pydicom.dcmread(path)
    if encoded.file_meta.TransferSyntaxUID != _SYNTAXES[codec]:
        raise ValueError(f"expected {_SYNTAXES[codec].name}, got {encoded.file_meta.TransferSyntaxUID.name}")
    dataset.PixelData = encoded.PixelData
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
