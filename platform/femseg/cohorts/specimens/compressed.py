"""DICOM slices with compressed pixels, encoded by the GDCM inside SimpleITK."""

import tempfile
from pathlib import Path
from typing import Literal

import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset

from femseg.cohorts.specimens.base import Change, stored_pixels

Codec = Literal["RLE", "JPEG", "JPEG2000"]


def compress(codec: Codec) -> Change:
    """A change that stores every slice's pixels losslessly by `codec` (JPEG: process 14, first-order prediction)."""

    def change(datasets: list[Dataset]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for dataset in datasets:
                _encode(dataset, codec, Path(folder) / "slice.dcm")

    return change


def _encode(dataset: Dataset, codec: Codec, path: Path) -> None:
    """Let GDCM write the same numbers as a file of its own, and take its code stream."""
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.SetImageIO("GDCMImageIO")
    writer.SetCompressor(codec)
    writer.UseCompressionOn()
    writer.Execute(sitk.GetImageFromArray(stored_pixels(dataset)))
    encoded = pydicom.dcmread(path)
    dataset.PixelData = encoded.PixelData
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
