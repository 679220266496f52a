"""DICOM slices with compressed pixels: run lengths by pydicom, lossless JPEG by the GDCM inside SimpleITK."""

import tempfile
from pathlib import Path
from typing import Literal

import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import JPEG2000, DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from specimens.base import Change, stored_pixels
from specimens.dicom_change import dicom, dicom_both
from specimens.specimen import Specimen, accepted, refused, remarked

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


def _deflated(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian


def _with_loss(datasets: list[Dataset]) -> None:
    """JPEG 2000 in the syntax that allows loss, said to have lost; what is left is encoded without more of it."""
    jpeg("JPEG2000")(datasets)
    for dataset in datasets:
        dataset.file_meta.TransferSyntaxUID = JPEG2000
        dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", 4.0


def _of_another_size(datasets: list[Dataset]) -> None:
    """One code stream begins by saying 65535 rows and columns: what a decoder would reserve."""
    jpeg("JPEG")(datasets)
    stream = datasets[3].PixelData
    at = stream.index(b"\xff\xc3") + 5  # behind the start of frame's marker, length and precision
    datasets[3].PixelData = stream[:at] + b"\xff\xff\xff\xff" + stream[at + 4 :]


SPECIMENS: tuple[Specimen, ...] = (
    accepted("deflated", "IN-12", "files deflated as a whole", dicom_both(_deflated)),
    remarked(
        "lossy",
        "IN-12",
        "pixels said to be compressed with loss",
        dicom(ct=_with_loss),
        "14 of 14 slices compressed with loss",
        "ratio 4.0",
    ),
    refused(
        "codestream-of-another-size",
        "IN-14",
        "a JPEG that says 65535 × 65535 in a slice of 24 × 26",
        dicom(ct=_of_another_size),
        "slice-003.dcm",
        "65535 rows × 65535 columns",
        faults=("IN-14", "IN-01", "IN-03"),
    ),
)
