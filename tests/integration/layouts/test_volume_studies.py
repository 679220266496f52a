"""CTs and masks as volume files: layouts, settings and what follows; single faults are in the catalogue."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from specimens.catalogue import BY_KIND
from study_maker import SPACING_ZYX, assert_one_line_refusal, ct_hu, femur_mask, write_nifti, write_volume_study

from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort
from femseg.intake.single_ct import inspect_study
from femseg.layouts.detect import detected_source


def check(folder: Path, **settings: object) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source="volumes", **settings), id_key=b"key")  # type: ignore[arg-type]


def test_without_patient_ids_it_is_said_that_each_study_counts_as_its_own_patient_IN_06(tmp_path):
    for seed, name in enumerate(("anna", "berta")):
        write_volume_study(tmp_path / name, seed=seed)
    anna, berta = check(tmp_path).cases
    assert anna.patient_id != berta.patient_id
    for case in (anna, berta):
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


@pytest.mark.parametrize(
    "kind", ["nifti-a-byte-short", "nifti-trailing-bytes", "nan", "sform-unlike-qform", "shear", "four-d", "gzip-bomb"]
)
def test_a_nifti_is_judged_alike_packed_and_unpacked(tmp_path, kind):
    specimen = BY_KIND[kind]
    specimen.make(tmp_path)
    path = tmp_path / "study" / "ct.nii.gz"
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    expected, exit_code = (("IN-16",), 4) if kind == "gzip-bomb" else (specimen.faults, specimen.exit_code)
    faults = check(tmp_path).faults
    assert [(fault.id, fault.file, fault.exit_code) for fault in faults] == [
        (expected[0], str(path.with_suffix("")), exit_code)
    ]


@pytest.mark.parametrize("kind", ["hu-offset", "hu-in-thousands", "raw-numbers", "no-bone", "wrong-air"])
def test_implausible_hounsfield_units_may_be_accepted_IN_11(tmp_path, kind):
    BY_KIND[kind].make(tmp_path)
    settings = CohortSettings(source=detected_source(tmp_path), accept_hu=True)
    cohort = check_cohort(tmp_path, settings, id_key=b"key")
    assert not cohort.faults
    unjudged = "IN-21: not compared with other places of the mask: the CT is not in Hounsfield units"
    assert unjudged in cohort.cases[0].remarks


@pytest.mark.parametrize("name", ["ct.mgz", "ct.mhd", "ct.hdr.gz"])
def test_other_kinds_of_file_are_refused_by_name_IN_12(tmp_path, name):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / name).write_bytes(b"x" * 400)
    assert_one_line_refusal(check(tmp_path).faults, "IN-12", name, ".nii.gz")
    with pytest.raises(Refusal, match="IN-12"):
        inspect_study(tmp_path / "study" / name, id_key=b"key")


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
