"""Deflated DICOM files hold their undeflated twins, whatever the parity of their length (PS3.5 A.5)."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from study_maker import ct_slices, write_series

from femseg.errors import Refusal
from femseg.formats.dicom.deflated import dicom_stream
from femseg.formats.dicom.headers import SliceHeader, pixel_digest, read_slice_header

SIDE = 1100  # 1100² pixels of 16 bits are 2.3 MiB
pytestmark = pytest.mark.timeout(60)  # what stands behind the end mark is not to be read for ever


def twins(folder: Path, *, odd: bool) -> tuple[Path, bytes]:
    """An undeflated slice, and its deflated twin's bytes, of an odd or even length before any is padded."""
    (dataset,) = ct_slices()[:1]
    dataset.Rows = dataset.Columns = SIDE
    for seed in range(40):
        dataset.PixelData = np.random.default_rng(seed).integers(0, 9, SIDE**2).astype("<u2").tobytes()
        (path,) = write_series(folder, [dataset])
        content = path.read_bytes()
        end = 144 + int.from_bytes(content[140:144], "little")
        meta = content[:end].replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.1.99")
        meta = meta[:140] + (end - 144 + 2).to_bytes(4, "little") + meta[144:]
        packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
        packed = packer.compress(content[end:]) + packer.flush()
        if len(packed) % 2 == odd:
            return path, meta + packed
    raise AssertionError("no seed of that parity")


@pytest.mark.parametrize(("odd", "padding"), [(False, b""), (True, b"\0"), (True, b""), (False, b"\0")])
def test_a_large_deflated_slice_is_its_undeflated_twin(tmp_path, odd, padding):
    plain, content = twins(tmp_path, odd=odd)
    path = tmp_path / "deflated.dcm"
    path.write_bytes(content + padding)
    data_set = plain.read_bytes()[144 + int.from_bytes(plain.read_bytes()[140:144], "little") :]
    with dicom_stream(path) as (stream, size):
        inflated = stream.read()
    assert size == len(inflated)
    assert inflated.endswith(data_set)
    header, expected = read_slice_header(path), read_slice_header(plain)
    assert isinstance(header, SliceHeader)
    assert isinstance(expected, SliceHeader)
    assert pixel_digest(header) == pixel_digest(expected)
    assert header.stored_bytes == path.stat().st_size < expected.stored_bytes == SIDE**2 * 2


@pytest.mark.parametrize("behind", [b"\0\0", b"x", bytes(3 << 20)], ids=["two zeros", "a letter", "three mebibytes"])
def test_more_than_one_zero_byte_behind_the_end_mark_is_refused_IN_14(tmp_path, behind):
    _, content = twins(tmp_path, odd=False)
    path = tmp_path / "deflated.dcm"
    path.write_bytes(content + behind)
    with pytest.raises(Refusal, match=r"IN-14.*bytes follow the end mark"):
        read_slice_header(path)
