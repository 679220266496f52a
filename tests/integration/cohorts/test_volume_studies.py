"""CTs and masks as volume files: what is accepted, and what is refused by the contract."""

import gzip
import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from study_maker import (
    ORIGIN_XYZ,
    SPACING_ZYX,
    affine_ras,
    assert_one_line_refusal,
    ct_hu,
    femur_mask,
    write_nifti,
    write_volume_study,
)

from femseg.cohorts.check import CheckedCohort, check_cohort, detected_source, inspect_study
from femseg.cohorts.reading import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.errors import ExitCode, Refusal


def check(folder: Path, **settings: object) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source="volumes", **settings), id_key=b"key")  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_pair_comes_back_voxel_by_voxel(tmp_path, suffix):
    study = tmp_path / "study"
    study.mkdir()
    for name, array in (("ct", ct_hu()), ("mask", femur_mask().astype(np.uint8))):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(SPACING_ZYX[::-1])
        image.SetOrigin(ORIGIN_XYZ)
        sitk.WriteImage(image, study / f"{name}{suffix}")
    assert detected_source(tmp_path) == "volumes"
    cohort = check(tmp_path)
    assert not cohort.faults, cohort.faults
    (case,) = cohort.cases
    ct, mask = read_case_ct(case, tmp_path), read_case_mask(case, tmp_path)
    np.testing.assert_array_equal(ct.hu_zyx, ct_hu().astype(np.float32))
    np.testing.assert_array_equal(mask.femur_zyx, femur_mask())
    assert ct.grid == case.grid
    assert case.grid.spacing_mm_zyx == pytest.approx(SPACING_ZYX)
    assert case.grid.origin_mm_xyz == pytest.approx(ORIGIN_XYZ)


def test_without_patient_ids_it_is_said_that_each_study_counts_as_its_own_patient_IN_06(tmp_path):
    for seed, name in enumerate(("anna before", "anna after")):
        write_volume_study(tmp_path / name, seed=seed)
    before, after = check(tmp_path).cases
    assert before.patient_id != after.patient_id
    for case in (before, after):
        assert case.remarks == ("IN-06: volume files hold no PatientID; each study counts as its own patient",)


@pytest.mark.parametrize(
    ("ct", "mask"),
    [
        ("case/image.nii.gz", "case/label.nii.gz"),
        ("case/anything.nii.gz", "case/femur_mask.nii"),
        ("case/ct.nii.gz", "case/masks/x.nii.gz"),
        ("a.nii.gz", "a_mask.nii.gz"),
        ("a.nii", "a-seg.nii.gz"),
        ("a.nii.gz", "labels/a.nii.gz"),
        ("a.nii.gz", "labels/a_label.nii.gz"),
    ],
)
def test_layouts_in_use_are_understood(tmp_path, ct, mask):
    write_nifti(tmp_path / ct, ct_hu())
    write_nifti(tmp_path / mask, femur_mask().astype(np.uint8))
    cohort = check(tmp_path)
    assert not cohort.faults, cohort.faults
    (case,) = cohort.cases
    assert (case.ct.files[0].path, case.mask.files[0].path) == (ct, mask)


def test_many_pairs_in_one_folder_are_many_studies(tmp_path):
    for seed, name in enumerate(("a", "b", "a_2")):
        write_nifti(tmp_path / f"{name}.nii.gz", ct_hu(seed=seed))
        write_nifti(tmp_path / "labels" / f"{name}.nii.gz", femur_mask().astype(np.uint8))
    cohort = check(tmp_path)
    assert not cohort.faults
    pairs = sorted((case.ct.files[0].path, case.mask.files[0].path) for case in cohort.cases)
    assert pairs == [(f"{name}.nii.gz", f"labels/{name}.nii.gz") for name in ("a", "a_2", "b")]


def test_a_turned_volume_agrees_with_an_independent_reader_on_every_corner(tmp_path):
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(SPACING_ZYX[::-1])
    affine[:3, 3] = (5.0, -70.0, 31.0)
    write_nifti(tmp_path / "ct.nii.gz", ct_hu(), affine)
    _, ct = inspect_study(tmp_path / "ct.nii.gz", id_key=b"key")
    for z, y, x in [(0, 0, 0), (13, 23, 25), (7, 0, 3)]:
        ras = affine @ (x, y, z, 1)  # nibabel's world is (right, anterior, superior)
        np.testing.assert_allclose(ct.grid.position_mm_xyz((z, y, x)), ras[:3] * (-1, -1, 1), atol=1e-4)


def patched(offset: int, kind: str, *values: float) -> Callable[[bytes], bytes]:
    def patch(content: bytes) -> bytes:
        raw = bytearray(content)
        struct.pack_into(kind, raw, offset, *values)
        return bytes(raw)

    return patch


def with_voxel(value: float) -> Callable[[bytes], bytes]:
    """Two voxels of a float32 file, the first at (x, y, z) = (3, 2, 1)."""

    def patch(content: bytes) -> bytes:
        raw = bytearray(content)
        for index in (3 + 26 * (2 + 24 * 1), 5000):
            struct.pack_into("<f", raw, 352 + 4 * index, value)
        return bytes(raw)

    return patch


FULL = 352 + 14 * 24 * 26 * 4
WRONG_NIFTIS = [
    pytest.param(lambda b: b[: FULL // 2], "IN-16", [str(FULL // 2), f"says {FULL}"], id="IN-16 half a file"),
    pytest.param(lambda b: b[:-1], "IN-16", [f"{FULL - 1} bytes", f"says {FULL}"], id="IN-16 one byte short"),
    pytest.param(lambda b: b + b"xyz", "IN-16", ["trailing", f"{FULL + 3} bytes"], id="IN-16 trailing bytes"),
    pytest.param(lambda b: b[:200], "IN-16", ["200 of 348"], id="IN-16 cut in the header"),
    pytest.param(lambda b: b"", "IN-16", ["0 of 348"], id="IN-16 zero bytes"),
    pytest.param(with_voxel(float("nan")), "IN-17", ["2 voxels", "(3, 2, 1) (x, y, z)"], id="IN-17 NaN"),
    pytest.param(with_voxel(float("-inf")), "IN-17", ["2 voxels", "(3, 2, 1) (x, y, z)"], id="IN-17 -Inf"),
    pytest.param(patched(280, "<f", 9.0), "IN-18", ["sform"], id="IN-18 sform unlike pixdim"),
    pytest.param(
        patched(268, "<f", 33.0), "IN-18", ["sform and qform differ by up to 3"], id="IN-18 sform unlike qform"
    ),
    pytest.param(patched(252, "<2h", 0, 0), "IN-18", ["neither qform_code nor sform_code"], id="IN-18 neither"),
    pytest.param(patched(80, "<f", -2.5), "IN-18", ["pixdim[1..3] is (-2.5"], id="IN-18 negative pixdim"),
    pytest.param(patched(80, "<f", float("nan")), "IN-18", ["pixdim[1..3] is (nan"], id="IN-18 NaN pixdim"),
    pytest.param(patched(284, "<f", 0.05), "IN-18", ["sheared"], id="IN-18 shear"),
    pytest.param(patched(40, "<5h", 4, 26, 24, 7, 2), "IN-18", ["dim is (4, 26, 24, 7, 2"], id="IN-18 4-D"),
    pytest.param(patched(70, "<h", 128), "IN-18", ["datatype is 128 (RGB)"], id="IN-18 RGB"),
    pytest.param(patched(344, "<4s", b"ni1\0"), "IN-18", ["magic"], id="IN-18 header of a pair"),
]


def damaged(path: Path, change: Callable[[bytes], bytes]) -> None:
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))
    else:
        path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("change", "fault_id", "says"), WRONG_NIFTIS)
def test_a_nifti_with_a_fault_is_refused_in_one_line(tmp_path, suffix, change, fault_id, says):
    study = write_volume_study(tmp_path / "study", suffix=suffix)
    ct = write_nifti(study / f"ct{suffix}", ct_hu().astype(np.float32))
    damaged(ct, change)
    exit_code = ExitCode.INTEGRITY if fault_id == "IN-16" else ExitCode.INPUT_REFUSED
    assert_one_line_refusal(check(tmp_path).faults, fault_id, str(ct), *says, exit_code=exit_code)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda b: b[: len(b) // 2], id="IN-16 gzip cut"),
        pytest.param(lambda b: b[:-8] + b"\0\0\0\0" + b[-4:], id="IN-16 gzip CRC wrong"),
        pytest.param(lambda b: b[:-1] + b"\7", id="IN-16 gzip length wrong"),
        pytest.param(lambda b: b + b"garbage", id="IN-16 bytes after gzip"),
        pytest.param(lambda b: b[:300] + bytes([b[300] ^ 255]) + b[301:], id="IN-16 gzip byte flipped"),
    ],
)
def test_a_broken_gzip_stream_is_refused_with_exit_4(tmp_path, change):
    study = write_volume_study(tmp_path / "study")
    mask = study / "ct.nii.gz"
    mask.write_bytes(change(mask.read_bytes()))
    assert_one_line_refusal(check(tmp_path).faults, "IN-16", str(mask), "gzip", exit_code=ExitCode.INTEGRITY)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_short_nrrd_or_mha_is_refused_with_exit_4_IN_16(tmp_path, suffix):
    image = sitk.GetImageFromArray(ct_hu())
    image.SetSpacing(SPACING_ZYX[::-1])
    sitk.WriteImage(image, tmp_path / f"ct{suffix}")
    path = tmp_path / f"ct{suffix}"
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(Refusal) as refusal:
        inspect_study(path, id_key=b"key")
    assert_one_line_refusal(refusal.value.faults, "IN-16", str(path), exit_code=ExitCode.INTEGRITY)


@pytest.mark.parametrize(
    ("suffix", "field"), [(".nrrd", b"space directions"), (".mha", b"ElementSpacing"), (".mha", b"TransformMatrix")]
)
def test_a_header_silent_about_its_geometry_is_refused_naming_the_field_IN_18(tmp_path, suffix, field):
    image = sitk.GetImageFromArray(ct_hu())
    image.SetSpacing(SPACING_ZYX[::-1])
    path = tmp_path / f"ct{suffix}"
    sitk.WriteImage(image, path)
    head, _, rest = path.read_bytes().partition(field)
    path.write_bytes(head + rest.partition(b"\n")[2])
    with pytest.raises(Refusal) as refusal:
        inspect_study(path, id_key=b"key")
    assert_one_line_refusal(refusal.value.faults, "IN-18", str(path), field.decode())


def test_a_header_that_points_to_another_file_is_refused_IN_18(tmp_path):
    path = tmp_path / "ct.mha"
    path.write_bytes(
        b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\nElementDataFile = /etc/x\n"
    )
    with pytest.raises(Refusal) as refusal:
        inspect_study(path, id_key=b"key")
    assert_one_line_refusal(refusal.value.faults, "IN-18", "/etc/x")


def test_nan_in_an_mha_is_found_before_reading_IN_17(tmp_path):
    hu = ct_hu().astype(np.float32)
    hu[1, 2, 3] = np.nan
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(SPACING_ZYX[::-1])
    sitk.WriteImage(image, tmp_path / "ct.mha")
    with pytest.raises(Refusal) as refusal:
        inspect_study(tmp_path / "ct.mha", id_key=b"key")
    assert_one_line_refusal(refusal.value.faults, "IN-17", "1 voxels", "(3, 2, 1) (x, y, z)")


def test_a_bomb_is_refused_before_memory_is_taken_IN_24(tmp_path):
    path = write_nifti(tmp_path / "ct.nii", ct_hu())
    damaged(path, patched(42, "<3h", 32767, 32767, 2))
    with pytest.raises(Refusal) as refusal:
        inspect_study(path, id_key=b"key")
    assert_one_line_refusal(refusal.value.faults, "IN-24", "2147352578 voxels", exit_code=ExitCode.RESOURCE)


def test_a_ct_that_unpacks_to_far_more_than_it_weighs_is_refused_IN_24(tmp_path):
    path = write_nifti(tmp_path / "ct.nii.gz", ct_hu())
    head = patched(42, "<3h", 1000, 1000, 200)(gzip.decompress(path.read_bytes())[:352])
    path.write_bytes(gzip.compress(head + bytes(2_000_000)))
    with pytest.raises(Refusal) as refusal:
        inspect_study(path, id_key=b"key")
    assert_one_line_refusal(refusal.value.faults, "IN-24", "times as many", exit_code=ExitCode.RESOURCE)


@pytest.mark.parametrize("scale", [0.001, 20.0], ids=["IN-19 metres", "IN-19 too large"])
def test_implausible_sizes_are_refused(tmp_path, scale):
    affine = affine_ras() @ np.diag([scale, scale, scale, 1.0])
    write_nifti(tmp_path / "ct.nii.gz", ct_hu(), affine)
    with pytest.raises(Refusal) as refusal:
        inspect_study(tmp_path / "ct.nii.gz", id_key=b"key")
    assert {fault.id for fault in refusal.value.faults} == {"IN-19"}
    assert "mm (z, y, x) is outside" in str(refusal.value)


def scaled(hu: NDArray[np.int16]) -> dict[str, NDArray[np.int16]]:
    return {
        "no bone": np.minimum(hu, 250).astype(np.int16),
        "raw numbers": (hu + 1024).astype(np.int16),
        "air at -600": np.where(hu < -500, hu + 400, hu).astype(np.int16),
    }


@pytest.mark.parametrize("wrong", ["no bone", "raw numbers", "air at -600"])
def test_implausible_hounsfield_units_are_refused_unless_accepted_IN_11(tmp_path, wrong):
    write_nifti(tmp_path / "ct.nii.gz", scaled(ct_hu())[wrong])
    with pytest.raises(Refusal) as refusal:
        inspect_study(tmp_path / "ct.nii.gz", id_key=b"key")
    assert_one_line_refusal(refusal.value.faults, "IN-11", "HU", "cohort.accept_hu")
    inspect_study(tmp_path / "ct.nii.gz", id_key=b"key", accept_hu=True)


@pytest.mark.parametrize("name", ["ct.mgz", "ct.mhd", "ct.hdr"])
def test_other_kinds_of_file_are_refused_by_name_IN_12(tmp_path, name):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / name).write_bytes(b"x" * 400)
    assert_one_line_refusal(check(tmp_path).faults, "IN-12", name, ".nii.gz")
    with pytest.raises(Refusal, match="IN-12"):
        inspect_study(tmp_path / "study" / name, id_key=b"key")


def test_several_possible_cts_are_listed_IN_05(tmp_path):
    study = write_volume_study(tmp_path / "study")
    (study / "ct.nii.gz").rename(study / "a.nii.gz")
    write_nifti(study / "b.nii.gz", ct_hu())
    assert_one_line_refusal(check(tmp_path).faults, "IN-05", "a.nii.gz; b.nii.gz")


def test_an_empty_study_folder_is_not_passed_over_IN_05(tmp_path):
    write_volume_study(tmp_path / "a")
    (tmp_path / "b").mkdir()
    cohort = check(tmp_path)
    assert_one_line_refusal(cohort.faults, "IN-05", str(tmp_path / "b"), "empty")
    assert len(cohort.cases) == 1


def test_a_mask_on_another_grid_is_refused_with_both_IN_20(tmp_path):
    study = write_volume_study(tmp_path / "study")
    write_nifti(study / "mask.nii.gz", femur_mask().astype(np.uint8), affine_ras() @ np.diag([-1, 1, 1, 1]))
    assert_one_line_refusal(
        check(tmp_path).faults, "IN-20", "direction (-1, 0, 0, 0, 1, 0, 0, 0, 1), CT (1, 0, 0, 0, 1, 0, 0, 0, 1)"
    )


def test_a_changed_file_is_refused_by_name_before_use_with_exit_4(tmp_path):
    write_volume_study(tmp_path / "study")
    (case,) = check(tmp_path).cases
    path = tmp_path / case.ct.files[0].path
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(Refusal) as refusal:
        read_case_ct(case, tmp_path)
    assert_one_line_refusal(refusal.value.faults, "ST-05", str(path), exit_code=ExitCode.INTEGRITY)
    path.unlink()
    with pytest.raises(Refusal, match="No such file"):
        read_case_ct(case, tmp_path)
    assert read_case_mask(case, tmp_path).femur_zyx.any()


def test_a_displaced_fragment_stays_where_the_value_tells_the_side_and_goes_where_only_its_place_does(tmp_path):
    femur = femur_mask((14, 24, 60))
    fragment = np.zeros_like(femur)
    fragment[4:10, 8:14, 50:54] = True
    write_nifti(tmp_path / "study" / "ct.nii.gz", ct_hu(femur | fragment))
    write_nifti(tmp_path / "study" / "mask.nii.gz", (femur | fragment).astype(np.uint8))
    for labels, expected in ((LabelMap(right=(1,), left=(2,)), femur | fragment), (LabelMap(femur=(1,)), femur)):
        (case,) = check(tmp_path, femur="right", labels=labels).cases
        np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, expected)
        assert case.facts.femur_ml == pytest.approx(expected.sum() * math.prod(SPACING_ZYX) / 1000)
        assert case.facts.side == "right"
