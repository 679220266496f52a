"""Headers of foreign DICOM files, and what is never shown of them."""

from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from study_maker import ct_slices, write_series

from femseg.errors import Refusal
from femseg.formats.dicom.headers import OtherObject, SliceHeader, pixel_digest, read_slice_header


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm"])
def test_values_agree_with_pydicoms_own_conversion(name):
    path = Path(get_testdata_file(name, download=False))
    header, expected = read_slice_header(path), pydicom.dcmread(path)
    assert isinstance(header, SliceHeader)
    assert header.position_mm_xyz == tuple(expected.ImagePositionPatient)
    assert header.orientation == tuple(expected.ImageOrientationPatient)
    assert header.spacing_mm_yx == tuple(expected.PixelSpacing)
    assert (header.rows, header.columns) == (expected.Rows, expected.Columns)
    assert header.patient_id == expected.PatientID
    assert header.slope == expected.get("RescaleSlope")
    content = path.read_bytes()[header.pixel_offset :]
    assert content.startswith(expected.PixelData)


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"])
def test_compressed_pixels_are_walked_to_their_end(name):
    assert isinstance(read_slice_header(Path(get_testdata_file(name, download=False))), SliceHeader)


def test_objects_without_image_are_told_from_torn_slices():
    found = read_slice_header(Path(get_testdata_file("rtplan.dcm", download=False)))
    assert isinstance(found, OtherObject)
    assert found.kind == "RT Plan Storage"
    with pytest.raises(Refusal, match="IN-14"):
        read_slice_header(Path(get_testdata_file("MR_truncated.dcm", download=False)))


def test_a_header_never_shows_the_patient_when_printed(tmp_path):
    (path, *_) = write_series(tmp_path, ct_slices(patient="SECRET-1"))
    assert "SECRET" not in repr(read_slice_header(path))


def test_the_digest_of_pixels_depends_on_their_values_alone(tmp_path):
    one, two = ct_slices()[:2]
    twin = ct_slices()[0]
    twin.PatientID = "somebody else"
    a, b, c = (read_slice_header(path) for path in write_series(tmp_path, [one, two, twin]))
    assert pixel_digest(a) == pixel_digest(c) != pixel_digest(b)
