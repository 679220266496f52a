"""A DICOM file's elements, walked within bounds; the values are pydicom's own."""

import io
import struct
from pathlib import Path

import pydicom
import pytest
from fuzz.bombs import (
    dicom_of_deep_sequences,
    dicom_of_deep_sequences_behind_its_pixels,
    dicom_of_endless_sequences,
    dicom_that_declares_four_gigabytes,
)
from pydicom.data import get_testdata_files
from study_maker import ct_slices, write_series

from femseg.errors import Refusal
from femseg.formats.dicom.elements import BrokenHeader, walked
from femseg.formats.dicom.headers import read_slice_header

TAGS = ["PatientID", "Rows", "PixelSpacing", "ImagePositionPatient", "SOPClassUID", "SeriesDescription"]
WANTED = frozenset(int(pydicom.tag.Tag(name)) for name in TAGS)
_DEFLATED = "1.2.840.10008.1.2.1.99"


def marked(path: Path) -> bool:
    return path.is_file() and path.read_bytes()[128:132] == b"DICM"


@pytest.mark.parametrize("path", [p for p in map(Path, get_testdata_files()) if marked(p)], ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore")
def test_the_values_are_those_that_pydicom_finds_in_its_own_test_files(path):
    content = path.read_bytes()
    found = walked(io.BytesIO(content), len(content), WANTED)
    expected = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    assert found.syntax == str(expected.file_meta.get("TransferSyntaxUID", ""))
    if found.syntax != _DEFLATED:  # inflated elsewhere
        raw = {tag: expected.get_item(tag).value or b"" for tag in WANTED if tag in expected}
        assert found.values == {tag: value for tag, value in raw.items() if tag in found.values}
        assert found.values.keys() == raw.keys()


@pytest.mark.parametrize(
    ("bomb", "says"),
    [
        (dicom_of_deep_sequences, "more than 64 sequences in one another"),
        (dicom_of_deep_sequences_behind_its_pixels, "more than 64 sequences in one another"),
        (dicom_of_endless_sequences, "more than 64 sequences in one another"),
        (dicom_that_declares_four_gigabytes, "(0018,9999) at byte 776 declares 4294967280 bytes, 1496 follow"),
    ],
)
def test_depth_and_lengths_that_nobody_writes_are_refused_IN_14(tmp_path, bomb, says):
    bomb(tmp_path)
    with pytest.raises(Refusal, match="IN-14") as refused:
        read_slice_header(tmp_path / "slice-005.dcm")
    assert says.partition(" at byte")[0] in str(refused.value)
    assert says.partition("declares")[2].partition(",")[0] in str(refused.value)


def test_a_tag_that_is_there_twice_is_refused_because_readers_differ_on_which_counts(tmp_path):
    path = write_series(tmp_path, ct_slices())[0]
    content = path.read_bytes()
    rows = content.index(b"\x28\0\x10\0US")
    path.write_bytes(content[:rows] + struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 99) + content[rows:])
    with pytest.raises(Refusal, match=r"IN-14.*\(0028,0010\) is there twice"):
        read_slice_header(path)


def test_a_broken_sequence_that_says_where_it_ends_is_passed_over(tmp_path):
    path = write_series(tmp_path, ct_slices())[0]
    content = path.read_bytes()
    at = content.index(b"\x20\0\x0d\0UI")
    broken = struct.pack("<HH2s2xI", 0x0018, 0x9346, b"SQ", 20) + b"no item, just bytes."
    path.write_bytes(content[:at] + broken + content[at:])
    assert read_slice_header(path).rows == 24


@pytest.mark.parametrize(("stored", "highest"), [(0, 15), (12, 15), (17, 16), (16, 14)])
def test_bits_that_do_not_agree_are_refused_IN_14(tmp_path, stored, highest):
    datasets = ct_slices()
    datasets[0].BitsStored, datasets[0].HighBit = stored, highest
    path = write_series(tmp_path, datasets)[0]
    with pytest.raises(Refusal, match=rf"IN-14.*stores {stored} of 16 bits with bit {highest} as the highest"):
        read_slice_header(path)


def test_bits_without_the_highest_are_taken_where_all_are_stored_alone(tmp_path):
    datasets = ct_slices()[:2]
    for one, stored in zip(datasets, (16, 12), strict=True):
        one.BitsStored = stored
        del one.HighBit
    whole, part = write_series(tmp_path, datasets)
    assert read_slice_header(whole).rows == 24
    with pytest.raises(Refusal, match="stores 12 of 16 bits with bit 15"):
        read_slice_header(part)


def test_more_elements_than_anybody_writes_are_not_counted_to_the_end():
    empty = struct.pack("<HH2sH", 0x0019, 0x1000, b"LO", 0)
    content = bytes(128) + b"DICM" + empty * 1_000_001
    with pytest.raises(BrokenHeader, match="more than 1000000 elements"):
        walked(io.BytesIO(content.replace(b"\x19\0", b"\x02\0")), len(content), WANTED)
