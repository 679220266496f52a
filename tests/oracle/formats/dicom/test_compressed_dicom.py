"""Compressed transfer syntaxes: each voxel equal to the uncompressed twin, or to what another decoder reads."""

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from study_maker import assert_one_line_refusal, ct_hu, ct_slices, write_series

from femseg.cohorts.case import Case
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.intake.single_ct import inspect_study
from femseg.volumes.grid import CtVolume

BODY = np.zeros((13, 36, 40), bool)  # JPEG 2000's encoder wants 32 pixels and more
BODY[2:11, 10:20, 12:22] = True
TRUTH_HU = np.maximum(ct_hu(BODY), -1024)
Change = Callable[[Dataset], None]


def signed_12_bits(dataset: Dataset) -> None:
    """Hounsfield units as they are, in the lower 12 bits, negative ones too."""
    stored = np.frombuffer(dataset.PixelData, "<u2").astype(int) - 1024
    dataset.RescaleIntercept, dataset.PixelRepresentation = 0, 1
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.PixelData = stored.astype("<i2").tobytes()


def study(folder: Path, *changes: Change) -> Path:
    """A CT whose slices were changed one by one after they were written."""
    for path in write_series(folder, ct_slices(TRUTH_HU)):
        dataset = pydicom.dcmread(path)
        for change in changes:
            change(dataset)
        dataset.save_as(path)
    return folder


def inspected(folder: Path, **options: bool) -> tuple[Case, CtVolume]:
    return inspect_study(folder, id_key=b"key", **options)


def refused(folder: Path, *, exit_code: ExitCode = ExitCode.INPUT_REFUSED) -> Refusal:
    with pytest.raises(Refusal) as caught:
        inspected(folder)
    assert caught.value.exit_code == exit_code
    return caught.value


def compressed(syntax: str, **options: object) -> Change:
    return lambda dataset: dataset.compress(syntax, **options)  # type: ignore[arg-type]


def jpeg_lossless(dataset: Dataset) -> None:
    """By GDCM, which alone here writes it; selection value 1."""
    kind = sitk.sitkInt16 if dataset.PixelRepresentation else sitk.sitkUInt16
    folder = Path(dataset.filename).parent.parent
    image = sitk.GetImageFromArray(dataset.pixel_array[None].astype(np.int16 if dataset.PixelRepresentation else "u2"))
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.SetFileName(str(folder / "jpeg.dcm"))
    writer.Execute(sitk.Cast(image, kind))
    written = pydicom.dcmread(folder / "jpeg.dcm")
    assert written.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    dataset.PixelData, dataset.file_meta.TransferSyntaxUID = written.PixelData, JPEGLosslessSV1
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.BitsStored, dataset.HighBit = written.BitsStored, written.HighBit


def named(syntax: str) -> Change:
    def change(dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax

    return change


def fragmented(count: int, *, table: bool = True) -> Change:
    """The same codestream in several fragments, with a basic offset table or an empty one."""

    def change(dataset: Dataset) -> None:
        frames = list(generate_frames(dataset.PixelData, number_of_frames=1))
        dataset.PixelData = encapsulate(frames, fragments_per_frame=count, has_bot=table)

    return change


def extended_table(dataset: Dataset) -> None:
    frames = list(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(frames)


LOSSLESS = {
    "RLE": [compressed(RLELossless)],
    "JPEG 57": [jpeg_lossless, named(JPEGLossless)],
    "JPEG 70": [jpeg_lossless],
    "JPEG-LS 80": [compressed(JPEGLSLossless)],
    "JPEG 2000 90": [compressed(JPEG2000Lossless)],
    "deflated": [named(DeflatedExplicitVRLittleEndian)],
}


@pytest.mark.parametrize("pixels", [[], [signed_12_bits]], ids=["16 bits unsigned", "12 bits signed"])
@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_pixels_equal_their_uncompressed_twin_voxel_by_voxel(tmp_path, kind, pixels):
    case, ct = inspected(study(tmp_path / "ct", *pixels, *LOSSLESS[kind]))
    np.testing.assert_array_equal(ct.hu_zyx, TRUTH_HU)
    assert not [remark for remark in case.remarks if remark.startswith("IN-")]


@pytest.mark.parametrize(
    "split",
    [
        pytest.param(fragmented(2), id="two fragments"),
        pytest.param(fragmented(5), id="five fragments"),
        pytest.param(fragmented(1, table=False), id="empty offset table"),
        pytest.param(fragmented(3, table=False), id="three fragments, empty offset table"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG 70", "JPEG-LS 80", "JPEG 2000 90"])
def test_fragments_and_offset_tables_change_nothing(tmp_path, kind, split):
    _, ct = inspected(study(tmp_path / "ct", *LOSSLESS[kind], split))
    np.testing.assert_array_equal(ct.hu_zyx, TRUTH_HU)


@pytest.mark.parametrize(
    ("change", "named_so", "off_by"),
    [
        pytest.param(compressed(JPEGLSNearLossless, jls_error=3), "JPEG-LS Lossy", 3, id="JPEG-LS 81"),
        pytest.param(compressed(JPEG2000, j2k_cr=[4]), "JPEG 2000 Image Compression", 60, id="JPEG 2000 91"),
    ],
)
def test_lossy_pixels_are_read_as_another_decoder_does_and_remarked_IN_12(tmp_path, change, named_so, off_by):
    def with_ratio(dataset: Dataset) -> None:
        dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", 4.0

    folder = study(tmp_path / "ct", change, with_ratio)
    case, ct = inspected(folder)
    decoded = np.stack([pydicom.dcmread(path).pixel_array for path in sorted(folder.iterdir())]) - 1024.0
    np.testing.assert_array_equal(ct.hu_zyx, decoded)
    assert 0 < np.abs(ct.hu_zyx - TRUTH_HU).max() <= off_by
    (remark,) = (remark for remark in case.remarks if remark.startswith("IN-12"))
    assert remark.startswith(f"IN-12: 13 of 13 slices compressed with loss ({named_so}")
    assert remark.endswith("; ratio 4.0 stated)")


def test_eight_bit_jpeg_is_read_as_pillow_does_IN_12(tmp_path):
    def baseline(dataset: Dataset) -> None:
        grey = np.clip(dataset.pixel_array / 8, 0, 255).astype(np.uint8)
        written = io.BytesIO()
        Image.fromarray(grey).save(written, "JPEG", quality=90)
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.RescaleSlope = 8, 8, 7, 8
        dataset.PixelData, dataset.file_meta.TransferSyntaxUID = encapsulate([written.getvalue()]), JPEGBaseline8Bit
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True

    folder = study(tmp_path / "ct", baseline)
    case, ct = inspected(folder)
    paths = sorted(folder.iterdir())
    frames = [next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1)) for path in paths]
    decoded = np.stack([np.asarray(Image.open(io.BytesIO(frame))) for frame in frames]) * 8.0 - 1024
    assert np.abs(ct.hu_zyx - decoded).max() <= 8  # two inverse cosine transforms may round differently
    assert "IN-12: 13 of 13 slices compressed with loss (JPEG Baseline (Process 1); no ratio stated)" in case.remarks


def test_twelve_bit_jpeg_is_read_as_libjpeg_does_IN_12(tmp_path):
    """Nothing here writes JPEG Extended; the codestream is that of pydicom's test file."""
    source = pydicom.dcmread(get_testdata_file("JPGExtended.dcm"))

    def extended(dataset: Dataset) -> None:
        dataset.PixelSpacing = [1.0, 1.0]
        dataset.Rows, dataset.Columns = source.Rows, source.Columns
        dataset.BitsStored, dataset.HighBit = source.BitsStored, source.HighBit
        dataset.PixelData, dataset.file_meta.TransferSyntaxUID = source.PixelData, JPEGExtended12Bit
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True

    _, ct = inspected(study(tmp_path / "ct", extended), accept_hu=True)
    source.pixel_array_options(decoding_plugin="pylibjpeg")
    assert np.abs(ct.hu_zyx - (source.pixel_array - 1024.0)).max() <= 1
    assert len(np.unique(ct.hu_zyx)) > 100


def frame_changed(change: Callable[[bytes], bytes]) -> Change:
    def changed(dataset: Dataset) -> None:
        frames = [change(frame) for frame in generate_frames(dataset.PixelData, number_of_frames=1)]
        dataset.PixelData = encapsulate(frames)

    return changed


def at(marker: bytes, offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Other bytes at a distance from a marker."""

    def change(frame: bytes) -> bytes:
        place = frame.index(marker) + offset
        return frame[:place] + value + frame[place + len(value) :]

    return change


SOF3, SOF55, SIZ, COD = b"\xff\xc3", b"\xff\xf7", b"\xff\x4f\xff\x51", b"\xff\x52"
HUGE = b"\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("JPEG 70", at(SOF3, 5, HUGE), "65535 rows × 65535 columns"),
        ("JPEG 70", at(SOF3, 4, b"\x08"), "8-bit samples, BitsAllocated says 16"),
        ("JPEG 70", at(SOF3, 1, b"\xc0"), "another kind of JPEG (FFC0, expected FFC3)"),
        ("JPEG-LS 80", at(SOF55, 5, HUGE), "65535 rows × 65535 columns"),
        ("JPEG-LS 80", at(SOF55, 9, b"\x03"), "3 sample(s)"),
        ("JPEG-LS 80", lambda frame: frame[:-60], "no end mark"),
        ("JPEG 2000 90", at(SIZ, 8, b"\x7f\xff\xff\xff"), "columns"),
        ("JPEG 2000 90", at(SIZ, 42, b"\x8f"), "signed samples, PixelRepresentation says unsigned"),
        ("JPEG 2000 90", at(SIZ, 24, b"\0\0\0\1\0\0\0\1"), "1440 tiles"),
        ("JPEG 2000 90", at(SIZ, 6, b"\x40\0"), "High-Throughput"),
        ("JPEG 2000 90", at(COD, 10, b"\0\0"), "blocks too small"),
        ("JPEG 2000 90", lambda frame: frame[: len(frame) // 2], "no end mark"),
        ("RLE", at(b"", 0, b"\x0f"), "says 15 segments"),
        ("RLE", at(b"", 8, HUGE), "segments begin at"),
    ],
)
def test_a_codestream_of_another_size_or_kind_never_reaches_a_decoder_IN_14_IN_24(tmp_path, kind, change, says):
    folder = study(tmp_path / "ct", *LOSSLESS[kind])
    path = folder / "slice-004.dcm"
    dataset = pydicom.dcmread(path)
    frame_changed(change)(dataset)
    dataset.save_as(path)
    assert_one_line_refusal(refused(folder).faults[:1], "IN-14", str(path), says)


def test_more_frames_than_the_header_says_are_refused_IN_14(tmp_path):
    folder = study(tmp_path / "ct", compressed(JPEGLSLossless))
    path = folder / "slice-004.dcm"
    dataset = pydicom.dcmread(path)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame, frame])
    dataset.save_as(path)
    assert_one_line_refusal(refused(folder).faults[:1], "IN-14", str(path), "2 compressed frame(s)")


def test_an_extended_offset_table_in_a_single_slice_is_refused_by_name_IN_12(tmp_path):
    """GDCM stops at its type, OV; multi-frame objects, where it is of use, are read."""
    folder = study(tmp_path / "ct", compressed(JPEGLSLossless), extended_table)
    assert_one_line_refusal(refused(folder).faults[:1], "IN-12", "slice-000.dcm", "ExtendedOffsetTable (7FE0,0001)")


def test_what_is_not_read_is_refused_by_name_IN_12(tmp_path):
    folder = study(tmp_path / "ct", compressed(JPEG2000Lossless), named(HTJ2K))
    assert_one_line_refusal(refused(folder).faults, "IN-12", "High-Throughput JPEG 2000 Image Compression", "13 of 13")


def test_a_deflated_file_that_grows_beyond_bounds_is_refused_IN_24(tmp_path):
    folder = study(tmp_path / "ct", named(DeflatedExplicitVRLittleEndian))
    path = folder / "slice-004.dcm"
    data = path.read_bytes()
    meta_end = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    path.write_bytes(data[:meta_end] + b"".join(packer.compress(zeros) for _ in range(310)) + packer.flush())
    refusal = refused(folder, exit_code=ExitCode.RESOURCE)
    assert_one_line_refusal(refusal.faults[:1], "IN-24", str(path), "more than 128 MiB", exit_code=ExitCode.RESOURCE)


def test_a_deflated_series_that_unpacks_two_hundredfold_is_refused_IN_24(tmp_path):
    """Its files are small each, and have more than 2²⁴ voxels together."""

    def black(dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = 1200
        dataset.PixelSpacing = [0.2, 0.2]
        dataset.PixelData = bytes(1200 * 1200 * 2)

    folder = study(tmp_path / "ct", black, named(DeflatedExplicitVRLittleEndian))
    refusal = refused(folder, exit_code=ExitCode.RESOURCE)
    assert_one_line_refusal(refusal.faults, "IN-24", str(folder), "unpack to 37440000", exit_code=ExitCode.RESOURCE)


def test_deflated_slices_of_more_than_two_mebibytes_are_their_uncompressed_twins_IN_12(tmp_path):
    noise = np.random.default_rng(0)

    def large(dataset: Dataset) -> None:
        pixels = np.pad(np.frombuffer(dataset.PixelData, "<u2").reshape(36, 40), ((500, 500), (500, 500)))
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelSpacing = [0.3, 0.3]
        dataset.PixelData = (pixels + noise.integers(0, 4, pixels.shape, "<u2")).tobytes()

    plain = study(tmp_path / "plain", large)
    (tmp_path / "ct").mkdir()
    unpadded = []
    for path in sorted(plain.iterdir()):
        dataset = pydicom.dcmread(path)
        named(DeflatedExplicitVRLittleEndian)(dataset)
        dataset.save_as(tmp_path / "ct" / path.name)
        content = (tmp_path / "ct" / path.name).read_bytes()
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        assert len(unpacker.decompress(content[144 + int.from_bytes(content[140:144], "little") :])) > 2 << 20
        unpadded.append(unpacker.unused_data == b"")
    assert len(set(unpadded)) == 2
    np.testing.assert_array_equal(inspected(tmp_path / "ct")[1].hu_zyx, inspected(plain)[1].hu_zyx)


def test_a_deflated_file_that_breaks_off_is_refused_IN_14(tmp_path):
    folder = study(tmp_path / "ct", named(DeflatedExplicitVRLittleEndian))
    path = folder / "slice-004.dcm"
    path.write_bytes(path.read_bytes()[:-200])
    assert_one_line_refusal(refused(folder).faults[:1], "IN-14", str(path), "ends too early")


def test_a_series_that_unpacks_two_hundredfold_is_refused_before_it_is_unpacked_IN_24(tmp_path):
    """A black slice of 4096 × 4096 in some hundred bytes of JPEG-LS, fourteen times."""

    def black(dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = 4096
        dataset.PixelSpacing = [0.2, 0.2]
        dataset.PixelData, dataset.file_meta.TransferSyntaxUID = codestream, JPEGLSLossless
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True

    one = ct_slices(TRUTH_HU)[0]
    one.Rows = one.Columns = 4096
    one.PixelData = bytes(4096 * 4096 * 2)
    (path,) = write_series(tmp_path / "one", [one])
    encoded = pydicom.dcmread(path)
    encoded.compress(JPEGLSLossless)
    codestream = encoded.PixelData
    folder = study(tmp_path / "ct", black)
    refusal = refused(folder, exit_code=ExitCode.RESOURCE)
    assert_one_line_refusal(refusal.faults, "IN-24", str(folder), "unpack to 436207616", exit_code=ExitCode.RESOURCE)
