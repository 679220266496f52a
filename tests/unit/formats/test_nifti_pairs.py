"""NIfTI pairs: the header in ct.hdr, the voxels in ct.img beside it. Judged and read as one file is."""

import shutil
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from study_maker import affine_ras, assert_one_line_refusal, ct_hu, femur_mask, write_dicom_study, write_nifti

from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.intake.check import check_cohort
from femseg.intake.single_ct import inspect_study
from femseg.layouts.detect import detected_source

FEMUR = femur_mask().astype(np.uint8)


def write_pair(header: Path, array_zyx: np.ndarray, kind: type = nib.Nifti1Pair, order: str = "<") -> Path:
    """As nibabel writes it, with a place in millimetres."""
    header.parent.mkdir(parents=True, exist_ok=True)
    image = kind(array_zyx.transpose(2, 1, 0), affine_ras(), kind.header_class(endianness=order))
    image.set_sform(affine_ras(), 1)
    image.header.set_xyzt_units("mm")
    nib.save(image, header)
    return header


def checked(folder: Path, **settings):
    return check_cohort(folder, CohortSettings(source=detected_source(folder), **settings), id_key=b"key")


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_pair_is_read_as_nibabel_reads_it_on_the_grid_of_the_same_ct_in_one_file(tmp_path, kind, order):
    case, ct = inspect_study(write_pair(tmp_path / "ct.hdr", ct_hu(), kind, order), id_key=b"key")
    np.testing.assert_array_equal(ct.hu_zyx, np.asanyarray(nib.load(tmp_path / "ct.hdr").dataobj).transpose(2, 1, 0))
    one, _ = inspect_study(write_nifti(tmp_path / "one" / "ct.nii", ct_hu()), id_key=b"key")
    assert case.grid == one.grid


def test_a_study_of_pairs_is_a_case_whose_four_files_are_hashed_and_verified(tmp_path):
    write_pair(tmp_path / "study" / "ct.hdr", ct_hu())
    write_pair(tmp_path / "study" / "mask.hdr", FEMUR)
    cohort = checked(tmp_path)
    assert not cohort.faults
    (case,) = cohort.cases
    assert [file.path for file in case.ct.files] == ["study/ct.hdr", "study/ct.img"]
    assert [file.path for file in case.mask.files] == ["study/mask.hdr", "study/mask.img"]
    assert [study.ignored for study in cohort.studies] == [()]
    np.testing.assert_array_equal(read_case_ct(case, tmp_path).hu_zyx, ct_hu())
    np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, femur_mask())
    voxels = tmp_path / "study" / "ct.img"
    voxels.write_bytes(voxels.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(Refusal, match=r"ST-05.*ct\.img"):
        read_case_ct(case, tmp_path)


def test_pairs_in_a_folder_of_many_beside_dicom_and_in_a_zip_are_read_alike(tmp_path):
    many, beside, packed = (tmp_path / name for name in ("many", "beside", "packed"))
    for name in ("a", "b"):
        write_pair(many / f"{name}.hdr", ct_hu(seed=ord(name)))
        write_pair(many / f"{name}_mask.hdr", FEMUR)
    write_dicom_study(beside / "study")
    shutil.rmtree(beside / "study" / "mask")
    write_pair(beside / "study" / "mask.hdr", FEMUR)
    write_pair(tmp_path / "study" / "ct.hdr", ct_hu())
    write_pair(tmp_path / "study" / "mask.hdr", FEMUR)
    packed.mkdir()
    shutil.make_archive(str(packed / "study"), "zip", tmp_path, "study")
    for folder, count in ((many, 2), (beside, 1), (packed, 1)):
        cohort = checked(folder)
        assert not cohort.faults, "\n".join(map(str, cohort.faults))
        assert len(cohort.cases) == count
        for case in cohort.cases:
            np.testing.assert_array_equal(read_case_mask(case, folder).femur_zyx, femur_mask())


def test_structures_in_pairs_are_numbered_by_their_headers(tmp_path):
    study = tmp_path / "s0001"
    write_pair(study / "ct.hdr", ct_hu())
    left, right = FEMUR.copy(), FEMUR.copy()
    middle = FEMUR.shape[2] // 2
    left[..., :middle], right[..., middle:] = 0, 0
    for name, mask in (("left", left), ("right", right)):
        write_pair(study / "segmentations" / f"femur_{name}.hdr", mask)
    cohort = check_cohort(tmp_path, CohortSettings(source="totalsegmentator", femur="all"), id_key=b"key")
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    (case,) = cohort.cases
    assert len(case.mask.files) == 4
    np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, (left | right) > 0)


@pytest.mark.parametrize(("there", "missing"), [("ct.hdr", "ct.img"), ("ct.img", "ct.hdr"), ("CT.HDR", "CT.IMG")])
def test_a_lone_half_is_refused_by_name_wherever_it_lies_IN_16(tmp_path, there, missing):
    header = write_pair(tmp_path / "made" / "ct.hdr", ct_hu())
    study, many = tmp_path / "cohort" / "study" / there, tmp_path / "many" / there.lower().replace("ct", "a")
    for path in (study, many):
        path.parent.mkdir(parents=True)
        shutil.copy(header.with_suffix(Path(there).suffix.lower()), path)
    for found, other in ((study, missing), (many, missing.lower().replace("ct", "a"))):
        with pytest.raises(Refusal) as refused:
            inspect_study(found, id_key=b"key")
        says = (f"{found}: ", f"half of a pair (.hdr with .img): {other} is not beside it")
        assert_one_line_refusal(refused.value.faults, "IN-16", *says, exit_code=ExitCode.INTEGRITY)
        top = found.parent.parent if found == study else found.parent
        faults = [fault for fault in checked(top).faults if fault.id != "IN-22"]  # no mask either
        assert_one_line_refusal(tuple(faults), "IN-16", *says, exit_code=ExitCode.INTEGRITY)


def test_the_voxels_of_a_whole_pair_are_refused_naming_their_header_IN_12(tmp_path):
    write_pair(tmp_path / "ct.hdr", ct_hu())
    with pytest.raises(Refusal, match=r"IN-12.*ct\.img.*name its header, ct\.hdr"):
        inspect_study(tmp_path / "ct.img", id_key=b"key")


@pytest.mark.parametrize(
    ("offset", "form", "values", "says"),
    [
        pytest.param(112, "<2f", (float("nan"), 0.0), "scl_slope is nan", id="IN-10 slope NaN"),
        pytest.param(123, "<B", (1,), "xyzt_units says code 1", id="IN-18 metres"),
        pytest.param(108, "<f", (-16.0,), "vox_offset is -16", id="IN-18 voxels before the file"),
        pytest.param(252, "<2h", (0, 0), "neither qform_code nor sform_code", id="IN-18 no place"),
        pytest.param(284, "<f", (1.0,), "sform is sheared", id="IN-18 sheared"),
        pytest.param(344, "4s", (b"n+1\0",), "another kind than its name says (nii)", id="IN-12 magic of one file"),
        pytest.param(344, "4s", (b"\0\0\0\0",), "ANALYZE 7.5", id="IN-18 ANALYZE says no left from right"),
        pytest.param(108, "<f", (16.0,), "is cut short", id="IN-16 voxels further back than there are"),
    ],
)
def test_a_pair_is_judged_by_its_header_as_one_file_is(tmp_path, offset, form, values, says):
    header = write_pair(tmp_path / "ct.hdr", ct_hu())
    raw = bytearray(header.read_bytes())
    struct.pack_into(form, raw, offset, *values)
    header.write_bytes(bytes(raw))
    with pytest.raises(Refusal, match=r"IN-1[0268]") as refused:
        inspect_study(header, id_key=b"key")
    assert says in str(refused.value)


def test_a_pair_is_judged_by_its_voxels_as_one_file_is(tmp_path):
    hu = ct_hu().astype(np.float32)
    hu[3, 2, 1] = np.nan
    header = write_pair(tmp_path / "ct.hdr", hu)
    with pytest.raises(Refusal, match=r"IN-17.*ct\.img.*1 voxels are NaN or infinite, the first at \(1, 2, 3\)"):
        inspect_study(header, id_key=b"key")
    whole = header.with_suffix(".img").read_bytes()
    for content, says in ((whole[:-1], "is cut short"), (whole + b"\0", "has trailing bytes")):
        header.with_suffix(".img").write_bytes(content)
        with pytest.raises(Refusal, match=rf"IN-16.*ct\.img.*{says}"):
            inspect_study(header, id_key=b"key")


def test_dicom_slices_that_are_named_img_stay_dicom(tmp_path):
    write_dicom_study(tmp_path / "study")
    for path in sorted((tmp_path / "study").rglob("*.dcm")):
        path.rename(path.with_suffix(".img"))
    cohort = checked(tmp_path)
    assert not cohort.faults
    assert {case.ct.kind for case in cohort.cases} == {"dicom"}
