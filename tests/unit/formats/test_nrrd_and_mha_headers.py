"""NRRD and MetaImage: what a header may say, and where SimpleITK would have guessed."""

import bz2
import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from study_maker import ORIGIN_XYZ, SPACING_ZYX, ct_hu

from femseg.errors import Refusal
from femseg.intake.single_ct import inspect_study


def written(path: Path, dtype: str = "int16", *, packed: bool = False) -> Path:
    image = sitk.GetImageFromArray(ct_hu().astype(dtype))
    image.SetSpacing(SPACING_ZYX[::-1])
    image.SetOrigin(ORIGIN_XYZ)
    sitk.WriteImage(image, path, useCompression=packed)
    return path


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


WRONG_NRRDS = [
    pytest.param(b"type: short", b"type: block", "IN-18", "type is 'block'", id="IN-18 block"),
    pytest.param(b"encoding: raw", b"encoding: bzip2", "IN-18", "raw and gzip are read", id="IN-18 bzip2"),
    pytest.param(b"encoding: raw", b"encoding: hex", "IN-18", "encoding is 'hex'", id="IN-18 hex"),
    pytest.param(b"encoding: raw", b"encoding: ascii", "IN-18", "encoding is 'ascii'", id="IN-18 ascii"),
    pytest.param(b"endian: little\n", b"", "IN-18", "endian is missing", id="IN-18 no byte order"),
    pytest.param(b"sizes: 26 24 14", b"sizes: 26 24 14 1", "IN-18", "sizes is", id="IN-18 four sizes"),
    pytest.param(b"sizes: 26 24 14", b"sizes: 26 24 -14", "IN-18", "sizes is", id="IN-18 negative size"),
    pytest.param(b"sizes: 26 24 14", b"sizes: 26 24 99999999", "IN-24", "voxels", id="IN-24 absurd size"),
    pytest.param(b"sizes: 26 24 14", b"sizes: 26 24 15", "IN-16", "is cut short", id="IN-16 size too large"),
    pytest.param(b"sizes: 26 24 14", b"sizes: 26 24 13", "IN-16", "trailing bytes", id="IN-16 size too small"),
    pytest.param(b"type: short", b"type: short\ntype: float", "IN-18", "states its type twice", id="IN-18 twice"),
    pytest.param(b"space: left", b"#\nspace: right-up", "IN-18", "is unknown", id="IN-18 unknown space"),
    pytest.param(b"space origin", b"byte skip: 7\nspace origin", "IN-18", "byte skip is 7", id="IN-18 byte skip"),
    pytest.param(b"(2.5,0,0)", b"(nan,0,0)", "IN-18", "no place in millimetres", id="IN-18 NaN direction"),
    pytest.param(b"(2.5,0,0)", b"none", "IN-18", "unusable", id="IN-18 no direction"),
    pytest.param(b"(2.5,0,0)", b"(2.5,1,0)", "IN-18", "orthonormal", id="IN-18 shear"),
    pytest.param(b"\n\n", b"\nx", "IN-18", "no field", id="IN-18 no end"),
    pytest.param(b"space origin", b'space units: "m" "m" "m"\nspace origin', "IN-18", "expected mm", id="IN-18 metres"),
]
WRONG_MHAS = [
    pytest.param(b"BinaryData = True", b"BinaryData = False", "IN-18", "BinaryData is 'False'", id="IN-18 as text"),
    pytest.param(b"ElementSpacing", b"elementSpacing", "IN-18", "spelt ElementSpacing", id="IN-18 misspelt"),
    pytest.param(b"MET_SHORT", b"MET_LONG", "IN-18", "ElementType is 'MET_LONG'", id="IN-18 type of no fixed size"),
    pytest.param(b"NDims = 3", b"NDims = 4", "IN-18", "NDims is '4'", id="IN-18 4-D"),
    pytest.param(b"DimSize = 26 24 14", b"DimSize = 26 24 1e9", "IN-18", "DimSize is", id="IN-18 no size"),
    pytest.param(b"DimSize = 26 24 14", b"DimSize = 26 24 99999999", "IN-24", "voxels", id="IN-24 absurd size"),
    pytest.param(b"DimSize = 26 24 14", b"DimSize = 26 24 15", "IN-16", "is cut short", id="IN-16 size too large"),
    pytest.param(b"DimSize = 26 24 14", b"DimSize = 26 24 13", "IN-16", "trailing bytes", id="IN-16 size too small"),
    pytest.param(b"ElementSpacing = 2.5", b"ElementSpacing = -2.5", "IN-18", "positive", id="IN-18 negative spacing"),
    pytest.param(b"Offset = -30", b"Offset = nan", "IN-18", "expected 3 numbers", id="IN-18 NaN origin"),
    pytest.param(b"Offset =", b"Origin = 1 2 3\nOffset =", "IN-18", "two of one kind", id="IN-18 two origins"),
    pytest.param(b"NDims", b"HeaderSize = -1\nNDims", "IN-18", "HeaderSize is '-1'", id="IN-18 header size"),
    pytest.param(b"ElementDataFile = LOCAL", b"", "IN-18", "no ElementDataFile", id="IN-18 no end"),
]


@pytest.mark.parametrize(("old", "new", "fault_id", "says"), WRONG_NRRDS)
def test_a_nrrd_that_says_what_is_not_read_is_refused_naming_the_field(tmp_path, capfd, old, new, fault_id, says):
    path = replaced(written(tmp_path / "ct.nrrd"), old, new)
    with pytest.raises(Refusal, match=fault_id) as refused:
        inspect_study(path, id_key=b"key")
    assert says in str(refused.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("old", "new", "fault_id", "says"), WRONG_MHAS)
def test_an_mha_that_says_what_is_not_read_is_refused_naming_the_field(tmp_path, capfd, old, new, fault_id, says):
    path = replaced(written(tmp_path / "ct.mha"), old, new)
    with pytest.raises(Refusal, match=fault_id) as refused:
        inspect_study(path, id_key=b"key")
    assert says in str(refused.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("packed", [False, True], ids=["raw", "packed"])
@pytest.mark.parametrize("left", [0.2, 0.9, 0.999])
def test_a_file_cut_short_is_refused_without_a_word_of_somebody_elses_IN_16(tmp_path, capfd, suffix, packed, left):
    path = written(tmp_path / f"ct{suffix}", packed=packed)
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    with pytest.raises(Refusal, match=r"IN-16.*(cut short|broken|CompressedDataSize)"):
        inspect_study(path, id_key=b"key")
    assert capfd.readouterr() == ("", "")


def test_a_nrrd_in_bzip2_is_refused_though_its_voxels_are_right(tmp_path):
    path = written(tmp_path / "ct.nrrd")
    head, _, voxels = path.read_bytes().partition(b"\n\n")
    path.write_bytes(head.replace(b"raw", b"bzip2") + b"\n\n" + bz2.compress(voxels))
    with pytest.raises(Refusal, match=r"IN-18.*bzip2"):
        inspect_study(path, id_key=b"key")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_found_in_the_raw_bytes_IN_17(tmp_path, suffix, value):
    hu = ct_hu().astype(np.float64)
    hu[1, 2, 3] = value
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(SPACING_ZYX[::-1])
    sitk.WriteImage(image, tmp_path / f"ct{suffix}", useCompression=True)
    with pytest.raises(Refusal, match=r"IN-17.*1 voxels.*\(3, 2, 1\) \(x, y, z\)"):
        inspect_study(tmp_path / f"ct{suffix}", id_key=b"key")


@pytest.mark.parametrize(("space", "signs"), [("right-anterior-superior", (-1, -1, 1)), ("LAS", (1, -1, 1))])
def test_other_spaces_are_turned_as_an_independent_reading_turns_them(tmp_path, space, signs):
    path = replaced(written(tmp_path / "ct.nrrd"), b"left-posterior-superior", space.encode())
    _, ct = inspect_study(path, id_key=b"key")
    image = sitk.ReadImage(path)
    assert ct.grid.origin_mm_xyz == tuple(s * o for s, o in zip(signs, ORIGIN_XYZ, strict=True)) == image.GetOrigin()
    assert ct.grid.direction_xyz == image.GetDirection()


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float32", "float64"])
def test_big_endian_files_are_read_right(tmp_path, suffix, dtype):
    hu = np.maximum(ct_hu(), 0) if dtype == "uint16" else ct_hu()
    path = written(tmp_path / f"ct{suffix}", dtype)
    content = path.read_bytes()
    voxels = ct_hu().astype(dtype)
    head = content[: len(content) - voxels.nbytes]
    head = head.replace(b"endian: little", b"endian: big").replace(b"OrderMSB = False", b"OrderMSB = True")
    path.write_bytes(head + hu.astype(np.dtype(dtype).newbyteorder(">")).tobytes())
    _, ct = inspect_study(path, id_key=b"key", accept_hu=True)
    np.testing.assert_array_equal(ct.hu_zyx, hu.astype(np.float32))


def test_a_gzipped_nrrd_of_several_members_and_an_mha_in_gzip_are_read_right(tmp_path):
    raw = ct_hu().tobytes()
    nrrd = written(tmp_path / "ct.nrrd")
    head = nrrd.read_bytes().partition(b"\n\n")[0].replace(b"encoding: raw", b"encoding: gzip")
    nrrd.write_bytes(head + b"\n\n" + gzip.compress(raw[:5000]) + gzip.compress(raw[5000:]))
    np.testing.assert_array_equal(inspect_study(nrrd, id_key=b"key")[1].hu_zyx, ct_hu())
    mha = written(tmp_path / "ct.mha", packed=True)
    voxels = gzip.compress(raw)
    assert zlib.decompress(voxels, wbits=47) == raw
    content = mha.read_bytes()
    head = content[: content.index(b"LOCAL\n") + 6]
    said = head[head.index(b"CompressedDataSize") :].splitlines()[0]
    mha.write_bytes(head.replace(said, b"CompressedDataSize = %d" % len(voxels)) + voxels)
    np.testing.assert_array_equal(inspect_study(mha, id_key=b"key")[1].hu_zyx, ct_hu())


def test_text_of_any_language_in_comments_and_pairs_is_let_be(tmp_path):
    path = replaced(written(tmp_path / "ct.nrrd"), b"space origin", "# Größe\nname:=膝 🦴\nspace origin".encode())
    np.testing.assert_array_equal(inspect_study(path, id_key=b"key")[1].hu_zyx, ct_hu())


def test_a_file_that_is_also_dicom_by_its_bytes_is_read_as_what_its_name_says(tmp_path):
    path = written(tmp_path / "ct.nrrd")
    content = path.read_bytes()
    magic = content.index(b"\n") + 1
    path.write_bytes(content[:magic] + b"#" + b"x" * (127 - magic) + b"DICM\n" + content[magic:])
    assert path.read_bytes()[128:132] == b"DICM"
    with pytest.raises(Refusal):  # a DICOM file by its mark, and refused as one
        inspect_study(path, id_key=b"key")
