"""Every specimen of the catalogue: what is wrong is refused, what is odd but valid comes back voxel by voxel."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from specimens import independent_reading
from specimens.catalogue import BY_KIND, CATALOGUE
from specimens.independent_reading import Voxels, interpolated, largest_difference, on_grid
from specimens.specimen import Specimen
from study_maker import ORIGIN_XYZ, SPACING_ZYX, ct_hu, femur_mask
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings
from femseg.intake.check import check_cohort
from femseg.layouts.detect import detected_source
from femseg.volumes.grid import VoxelGrid

ALWAYS_SAID = "IN-06: volume files hold no PatientID; each study counts as its own patient"


def of(*expected: str) -> list:
    """Parameters with ids such as "IN-01 missing-slice"."""
    return [
        pytest.param(specimen, id=f"{specimen.matrix_id} {specimen.kind}")
        for specimen in CATALOGUE
        if specimen.expected in expected
    ]


def everything_below(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def index_to_mm(grid: VoxelGrid) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(grid.direction_xyz).reshape(3, 3) * grid.spacing_mm_zyx[::-1]
    affine[:3, 3] = grid.origin_mm_xyz
    return affine


def truth(specimen: Specimen, study: Path) -> tuple[Voxels, Voxels]:
    """CT and mask with their places: of the study that every specimen begins as, or as its own files have them."""
    if specimen.truth == "base":
        return on_grid(ct_hu(), SPACING_ZYX, ORIGIN_XYZ), on_grid(femur_mask(), SPACING_ZYX, ORIGIN_XYZ)
    return independent_reading.read_ct(study), independent_reading.read_mask(study)


@pytest.mark.parametrize("specimen", of("refused"))
def test_what_is_wrong_is_refused_in_one_line_with_file_numbers_and_fix(tmp_path, specimen: Specimen):
    specimen.make(tmp_path)
    if specimen.kind == "no-permission" and os.geteuid() == 0:
        pytest.skip("root may read every file")
    before = everything_below(tmp_path)
    done = CliRunner().invoke(app, ["check", str(tmp_path), "--json"])
    assert done.exit_code == specimen.exit_code, done.output
    faults = json.loads(done.stdout)["faults"]
    lines = done.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error ")]
    assert {fault["id"] for fault in faults} == set(specimen.faults), done.stderr
    assert len(errors) == len(faults)
    assert [line for line in lines if not line.startswith(("error ", "check: "))] == []
    assert any(all(words in line for words in specimen.says) for line in errors), done.stderr
    for fault in faults:
        assert fault["file"].startswith(str(tmp_path)), "the file is named"
        assert len(fault["fix"]) > 10
    assert "Traceback" not in done.output
    assert not {"Doe", "PATIENT-7", "SECRET-99"} & set(re.findall(r"[\w-]+", done.output)), "no name, no PatientID"
    assert everything_below(tmp_path) == before, "a check writes nothing"


@pytest.mark.parametrize("specimen", of("accepted", "remarked"))
def test_what_is_odd_but_valid_comes_back_voxel_by_voxel_as_an_independent_reading_has_it(tmp_path, specimen: Specimen):
    specimen.make(tmp_path)
    before = everything_below(tmp_path)
    settings = CohortSettings(source=detected_source(tmp_path), **specimen.settings)
    cohort = check_cohort(tmp_path, settings, id_key=b"key")
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    if specimen.truth == "base":
        assert len(cohort.cases) == 1
    else:
        assert {tmp_path / Path(case.ct.files[0].path).parts[0] for case in cohort.cases} == set(tmp_path.iterdir())
    for case in cohort.cases:
        hu_truth, drawn = truth(specimen, tmp_path / Path(case.ct.files[0].path).parts[0])
        ct, mask = read_case_ct(case, tmp_path), read_case_mask(case, tmp_path)
        assert ct.grid == case.grid
        hu, apart_mm = largest_difference(hu_truth, ct.hu_zyx, index_to_mm(ct.grid))
        assert hu < 1e-3
        assert apart_mm < (0.04 if specimen.kind == "uneven-within-1-percent" else 2e-3)
        wrong, apart_mm = largest_difference(drawn, mask.femur_zyx.astype(np.int8), index_to_mm(mask.grid))
        assert (wrong, apart_mm < 2e-3) == (0, True)
        remarks = [remark for remark in case.remarks if remark != ALWAYS_SAID]
        if specimen.expected == "accepted":
            assert remarks == []
        else:
            assert {remark.split(":")[0] for remark in remarks} == {specimen.matrix_id}
            assert all(words in " ".join(remarks) for words in specimen.says)
    assert everything_below(tmp_path) == before, "a check writes nothing"


@pytest.mark.parametrize("specimen", of("mended"))
def test_what_is_mended_is_refused_until_the_mend_is_chosen_and_then_says_what_was_done(tmp_path, specimen: Specimen):
    specimen.make(tmp_path)
    source = detected_source(tmp_path)
    unchosen = check_cohort(tmp_path, CohortSettings(source=source), id_key=b"key")
    assert specimen.matrix_id in {fault.id for fault in unchosen.faults}
    cohort = check_cohort(tmp_path, CohortSettings(source=source, **specimen.settings), id_key=b"key")
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    for case in cohort.cases:
        remarks = [remark for remark in case.remarks if remark.startswith(specimen.matrix_id)]
        assert any(all(words in remark for words in specimen.says) for remark in remarks), case.remarks
        study = tmp_path / Path(case.ct.files[0].path).parts[0]
        hu_truth, drawn = truth(specimen, study)
        ct, mask = read_case_ct(case, tmp_path), read_case_mask(case, tmp_path)
        if specimen.truth == "base":
            assert largest_difference(hu_truth, ct.hu_zyx, index_to_mm(ct.grid))[0] < 1e-3
            assert largest_difference(drawn, mask.femur_zyx.astype(np.int8), index_to_mm(mask.grid))[0] == 0
        else:  # the voxels as measured, where their slices' own headers put them, lie on what was interpolated
            off_hu = np.abs(interpolated(ct.hu_zyx, index_to_mm(ct.grid), hu_truth.positions_mm) - hu_truth.values)
            assert np.median(off_hu) < 5
            femur = interpolated(mask.femur_zyx, index_to_mm(mask.grid), drawn.positions_mm)
            np.testing.assert_array_equal(femur > 0.5, drawn.values)


@pytest.mark.parametrize("kind", ["missing-slice", "half-nifti", "torn-slice-oddly-named"])
def test_the_installed_command_says_the_same_and_nothing_more(tmp_path, kind):
    specimen = BY_KIND[kind]
    specimen.make(tmp_path)
    command = [Path(sys.executable).parent / "femseg", "check", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == specimen.exit_code
    assert {line.split(":")[0] for line in done.stderr.splitlines()} == {"check"} | {
        f"error {fault}" for fault in specimen.faults
    }


def test_every_kind_has_a_name_of_its_own_and_says_what_it_is():
    assert [kind for kind, n in Counter(specimen.kind for specimen in CATALOGUE).items() if n > 1] == []
    assert all(0 < len(specimen.about) <= 80 for specimen in CATALOGUE)


def test_there_are_at_least_60_that_are_wrong_and_20_that_are_odd_but_valid_G5():
    counts = Counter(specimen.expected for specimen in CATALOGUE)
    assert counts["refused"] >= 60
    assert counts["accepted"] >= 20
