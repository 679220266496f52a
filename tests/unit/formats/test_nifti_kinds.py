"""NIfTI files of other kinds, and numbers in their headers on which programs differ."""

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from study_maker import affine_ras, ct_hu, write_nifti

from femseg.errors import Refusal
from femseg.intake.single_ct import inspect_study


def patched(path: Path, offset: int, form: str, *values: float) -> Path:
    raw = bytearray(path.read_bytes())
    struct.pack_into(form, raw, offset, *values)
    path.write_bytes(bytes(raw))
    return path


@pytest.mark.parametrize(
    ("offset", "form", "values", "says"),
    [
        pytest.param(112, "<2f", (float("nan"), 0.0), "scl_slope is nan", id="IN-10 slope NaN"),
        pytest.param(112, "<2f", (float("inf"), 0.0), "scl_slope is inf", id="IN-10 slope infinite"),
        pytest.param(112, "<2f", (1.0, float("nan")), "scl_inter nan", id="IN-10 intercept NaN"),
        pytest.param(112, "<2f", (0.0, -1024.0), "programs differ", id="IN-10 slope 0 with intercept"),
        pytest.param(112, "<2f", (1e-30, 0.0), "scales no CT", id="IN-10 slope tiny"),
        pytest.param(123, "<B", (1,), "xyzt_units says code 1", id="IN-18 metres"),
        pytest.param(123, "<B", (3,), "xyzt_units says code 3", id="IN-18 micrometres"),
        pytest.param(72, "<h", (8,), "bitpix is 8, datatype 4 has 16", id="IN-18 bits unlike type"),
        pytest.param(108, "<f", (352.5,), "vox_offset is 352.5", id="IN-18 half a byte"),
        pytest.param(108, "<f", (1e8,), "vox_offset is 100000000", id="IN-18 voxels far away"),
        pytest.param(108, "<f", (-16.0,), "vox_offset is -16", id="IN-18 voxels before the file"),
        pytest.param(108, "<f", (0.0,), "vox_offset is 0", id="IN-18 voxels in the header"),
        pytest.param(46, "<h", (32767,), "its header says 40893568", id="IN-16 32767 slices in 17 kB"),
        pytest.param(256, "<f", (7.0,), "is no rotation", id="IN-18 quaternion"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused_naming_the_field(tmp_path, capfd, offset, form, values, says):
    path = patched(write_nifti(tmp_path / "ct.nii", ct_hu()), offset, form, *values)
    with pytest.raises(Refusal, match=r"IN-1[068]") as refused:
        inspect_study(path, id_key=b"key")
    assert says in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_simpleitk_and_nibabel_do_differ_on_an_intercept_beside_slope_0(tmp_path):
    path = patched(write_nifti(tmp_path / "ct.nii", ct_hu()), 112, "<2f", 0.0, -1024.0)
    itk = sitk.GetArrayFromImage(sitk.ReadImage(path))
    nibabel = np.asanyarray(nib.load(path).dataobj).transpose(2, 1, 0)
    np.testing.assert_array_equal(itk, ct_hu() - 1024)
    np.testing.assert_array_equal(nibabel, ct_hu())


@pytest.mark.parametrize(("slope", "intercept"), [(0.0, 0.0), (1.0, 0.0), (2.0, -3.0)])
def test_slope_0_means_as_stored_and_any_other_scales(tmp_path, slope, intercept):
    path = patched(write_nifti(tmp_path / "ct.nii", ct_hu()), 112, "<2f", slope, intercept)
    _, ct = inspect_study(path, id_key=b"key", accept_hu=True)
    expected = ct_hu().astype(np.float32) * (slope or 1.0) + intercept
    np.testing.assert_array_equal(ct.hu_zyx, expected)


def test_other_kinds_are_refused_by_name_with_what_to_do_IN_18(tmp_path):
    nib.save(nib.Nifti1Pair(ct_hu().transpose(2, 1, 0), affine_ras()), tmp_path / "pair.hdr")
    nib.save(nib.AnalyzeImage(ct_hu().transpose(2, 1, 0), affine_ras()), tmp_path / "old.hdr")
    (tmp_path / "pair.nii").write_bytes((tmp_path / "pair.hdr").read_bytes())
    (tmp_path / "old.nii").write_bytes((tmp_path / "old.hdr").read_bytes())
    for name, says in (("pair.nii", "NIfTI pair"), ("old.nii", "ANALYZE 7.5"), ("old.hdr", "ANALYZE 7.5")):
        with pytest.raises(Refusal, match=rf"IN-18.*{says}.*Fix: "):
            inspect_study(tmp_path / name, id_key=b"key")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_big_endian_file_is_read_right(tmp_path, suffix):
    image = nib.Nifti1Image(ct_hu().transpose(2, 1, 0), affine_ras(), nib.Nifti1Header(endianness=">"))
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / f"ct{suffix}")
    assert gzip.decompress((tmp_path / "ct.nii.gz").read_bytes())[:4] == b"\0\0\1\x5c" if suffix == ".nii.gz" else True
    np.testing.assert_array_equal(inspect_study(tmp_path / f"ct{suffix}", id_key=b"key")[1].hu_zyx, ct_hu())


def test_extensions_between_header_and_voxels_are_passed_over(tmp_path):
    image = nib.Nifti1Image(ct_hu().transpose(2, 1, 0), affine_ras())
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 4000))
    nib.save(image, tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(inspect_study(tmp_path / "ct.nii.gz", id_key=b"key")[1].hu_zyx, ct_hu())


def test_an_extension_longer_than_the_way_to_the_voxels_is_refused_IN_18(tmp_path):
    image = nib.Nifti1Image(ct_hu().transpose(2, 1, 0), affine_ras())
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 4000))
    nib.save(image, tmp_path / "ct.nii")
    patched(tmp_path / "ct.nii", 352, "<i", 0x7FFFFFF0)
    with pytest.raises(Refusal, match=r"IN-18.*extension at byte 352 of 2147483632 bytes"):
        inspect_study(tmp_path / "ct.nii", id_key=b"key")


def test_gzip_in_several_members_and_zero_padding_is_read_right(tmp_path):
    raw = write_nifti(tmp_path / "plain.nii", ct_hu()).read_bytes()
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(gzip.compress(raw[:400]) + gzip.compress(raw[400:9000]) + gzip.compress(raw[9000:]) + bytes(512))
    np.testing.assert_array_equal(inspect_study(path, id_key=b"key")[1].hu_zyx, ct_hu())


def test_a_fourth_axis_of_size_one_is_no_fourth_axis(tmp_path):
    image = nib.Nifti1Image(ct_hu().transpose(2, 1, 0)[..., None], affine_ras())
    image.set_sform(affine_ras(), 1)
    nib.save(image, tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(inspect_study(tmp_path / "ct.nii.gz", id_key=b"key")[1].hu_zyx, ct_hu())


def test_a_pixdim_that_moves_the_far_corner_is_refused_though_each_step_hardly_differs_IN_18(tmp_path):
    shape = (14, 24, 512)
    hu = np.resize(ct_hu(), shape)
    affine = affine_ras()
    path = write_nifti(tmp_path / "ct.nii", hu, affine, codes=(0, 1))
    patched(path, 80, "<f", 2.5 + 5e-4)
    with pytest.raises(Refusal, match=r"IN-18.*two ways up to 0\.25\d* mm apart"):
        inspect_study(path, id_key=b"key", accept_hu=True)


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("slope", "intercept"), [(None, None), (2.0, -24.0)])
def test_nifti_2_is_read_as_nibabel_writes_it(tmp_path, name, order, slope, intercept):
    stored = ct_hu() if slope is None else ((ct_hu() - intercept) / slope).astype(np.int16)
    image = nib.Nifti2Image(stored.transpose(2, 1, 0), affine_ras(), nib.Nifti2Header(endianness=order))
    image.set_sform(affine_ras(), 1)
    image.header.set_slope_inter(slope, intercept)
    nib.save(image, tmp_path / name)
    case, volume = inspect_study(tmp_path / name, id_key=b"key")
    loaded = nib.load(tmp_path / name)
    np.testing.assert_array_equal(volume.hu_zyx, np.asanyarray(loaded.dataobj).transpose(2, 1, 0))
    assert case.grid == inspect_study(write_nifti(tmp_path / "one" / "ct.nii", ct_hu()), id_key=b"key")[0].grid


def test_a_short_nifti_2_file_is_refused_IN_16(tmp_path):
    nib.save(nib.Nifti2Image(ct_hu().transpose(2, 1, 0), affine_ras()), tmp_path / "ct.nii")
    content = (tmp_path / "ct.nii").read_bytes()
    for length, says in ((500, "ends within its header: 500 of 540 bytes"), (len(content) - 1, "is cut short")):
        (tmp_path / "ct.nii").write_bytes(content[:length])
        with pytest.raises(Refusal, match=f"IN-16.*{says}"):
            inspect_study(tmp_path / "ct.nii", id_key=b"key")
