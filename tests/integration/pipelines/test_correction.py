"""A corrected reference in a real project: DVC sees the change, and the next `dvc repro` trains on it."""

import sys

import numpy as np
import pytest
import yaml
from study_maker import femur_mask, write_nifti, write_volume_study
from tiny_project import TINY, copy_of_the_working_tree, run

from femseg.cohorts.manifest import read_manifest
from femseg.files.durable import sha256_of_file

pytestmark = pytest.mark.slow


def test_dvc_sees_a_corrected_reference_and_the_cohort_takes_it(tmp_path):
    project = copy_of_the_working_tree(tmp_path / "project", {**TINY, "cohort": {"source": "volumes"}})
    for seed in range(6):
        write_volume_study(project / f"data/source/s{seed}", seed=seed)
    run(project, "dvc", "repro", "cohort")
    assert yaml.safe_load(run(project, "dvc", "status", "--json", "cohort").stdout) == {}
    before = {case.case_id: case for case in read_manifest(project / "data/cohort/manifest.json").cases}
    case_id = next(iter(before))
    better = femur_mask()
    better[2] = False
    mask = write_nifti(tmp_path / "fixed.nii.gz", better.astype(np.uint8))
    words = ["--who", "Ann Lee", "--why", "the head was cut off"]
    femseg = [sys.executable, "-c", "from femseg.cli.main import main; main()"]
    said = run(project, *femseg, "correct", case_id, str(mask), *words).stdout
    assert "next: dvc repro" in said
    assert run(project, "dvc", "status", "--json", "cohort").stdout.count("data/source") == 1
    run(project, sys.executable, "-m", "pipelines.cohort")
    after = {case.case_id: case for case in read_manifest(project / "data/cohort/manifest.json").cases}
    assert before.keys() == after.keys()
    assert [key for key in before if before[key] != after[key]] == [case_id]
    (file,) = after[case_id].mask.files
    assert file.sha256 == sha256_of_file(project / "data/source" / file.path)
    assert file.sha256 != before[case_id].mask.files[0].sha256
    run(project, "dvc", "repro", "cohort")
    assert yaml.safe_load(run(project, "dvc", "status", "--json", "cohort").stdout) == {}
