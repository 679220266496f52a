"""The test cases say something only if the network never met their patients, and each counts once."""

from dataclasses import replace

import pytest
from tiny_model import TINY_NETWORK, described
from tiny_registry import CASES, write_cohort

from femseg.cohorts.manifest import read_manifest, write_manifest
from femseg.gate.origin_checks import lineage_checks
from femseg.lineage.provenance import Lineage
from femseg.networks.package_files import ScaleDescription, UsedSettings
from femseg.networks.vnet import VNet


def leaks(cohort) -> bool:
    """Whether the gate's check finds test cases that do not stand apart."""
    checks = lineage_checks(Lineage(), described(VNet(TINY_NETWORK, 1)), cohort.test_set, clean_commit=False)
    return not next(check.passed for check in checks if check.name == "test cases apart from the others")


def changed(cohort, number: int, **changes) -> None:
    manifest = read_manifest(cohort.manifest)
    cases = [replace(case, **changes) if case.case_id == CASES[number] else case for case in manifest.cases]
    write_manifest(replace(manifest, cases=tuple(cases)), cohort.manifest)


@pytest.fixture
def cohort(tmp_path):
    return write_cohort(tmp_path / "cohort")


def test_cases_of_patients_of_their_own_stand_apart(cohort):
    assert cohort.test_set.not_apart == ()
    assert not leaks(cohort)


@pytest.mark.parametrize("other", [0, 3])
def test_a_test_patient_in_training_or_validation_is_found_RG_04(cohort, other):
    changed(cohort, 7, patient_id=read_manifest(cohort.manifest).cases[other].patient_id)
    assert cohort.test_set.not_apart == (CASES[7],)
    assert leaks(cohort)


@pytest.mark.parametrize("other", [0, 8])
def test_a_test_ct_that_stands_twice_under_two_names_is_found_RG_04(cohort, other):
    changed(cohort, 7, ct=read_manifest(cohort.manifest).cases[other].ct)
    assert CASES[7] in cohort.test_set.not_apart
    assert leaks(cohort)


def test_another_annotation_makes_another_test_set(cohort):
    before = cohort.test_set.sha256
    changed(cohort, 7, mask=read_manifest(cohort.manifest).cases[8].mask)
    assert cohort.test_set.sha256 != before


def test_a_cascade_names_what_its_finer_network_learnt_from(cohort):
    one = described(VNet(TINY_NETWORK, 1))
    finer = ScaleDescription(architecture=one.architecture, input_mode="raw", input_recipe=one.input_recipe)
    sha256 = dict.fromkeys(("inputs", "masks", "split", "manifest", "code"), "0" * 64)
    of_both = sha256 | dict.fromkeys(("refine_inputs", "refine_masks", "refine_places", "refine_code"), "1" * 64)
    cascade, painted = replace(one, refine=finer), replace(one, refine=finer, cohort_source="synthetic")
    of_scenes = of_both | dict.fromkeys(("fields", "painting", "refine_fields", "refine_painting"), "2" * 64)
    for model, hashes, passed in (
        (one, sha256, True),
        (cascade, sha256, False),
        (cascade, of_both, True),
        (painted, of_both, False),
        (painted, of_scenes, True),
    ):
        checks = lineage_checks(Lineage(sha256=hashes), model, cohort.test_set, clean_commit=False)
        assert next(check.passed for check in checks if check.name == "hashes of data and code") is passed


def test_a_model_of_painted_scenes_names_these_too(cohort):
    md5 = dict.fromkeys(("data/cohort", "data/arrays/raw", "data/arrays/mask", "data/split.json"), "0" * 32)
    sha256 = dict.fromkeys(("inputs", "masks", "split", "manifest", "code"), "0" * 64)
    painted = described(VNet(TINY_NETWORK, 1), cohort_source="synthetic")
    share = described(VNet(TINY_NETWORK, 1), cohort_source="dicom", training=UsedSettings(painted_share=0.25))
    for model, lacking in ((described(VNet(TINY_NETWORK, 1)), False), (painted, True), (share, True)):
        checks = lineage_checks(Lineage(sha256=sha256, dvc_md5=md5), model, cohort.test_set, clean_commit=False)
        found = {check.name: check.found for check in checks}
        assert ("fields, painting" in found["hashes of data and code"]) == lacking
        assert ("data/arrays/tissue" in found["DVC's hashes"]) == lacking
