"""A real CT, abdomen to hips, with a nail in the left femur."""

import os
import shutil
from pathlib import Path

import pytest

from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings
from femseg.intake.check import check_cohort
from femseg.intake.single_ct import inspect_study

REAL_DATA = Path(os.environ.get("FEMSEG_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
PELVIS = REAL_DATA / "pelvis_ct"
pytestmark = pytest.mark.skipif(not PELVIS.is_dir(), reason=f"no real data: {PELVIS} is absent (FEMSEG_REAL_DATA)")


def test_the_ct_alone_is_accepted_with_its_metal_and_cut_off_bone():
    case, ct = inspect_study(PELVIS / "ct.nii.gz", id_key=b"key")
    assert case.grid.shape_zyx == ct.hu_zyx.shape == (112, 101, 122)
    assert case.facts.metal_ml > 5
    assert any("metal" in remark for remark in case.remarks)
    assert any("inferior" in remark for remark in case.remarks)


@pytest.mark.parametrize("side", ["left", "right"])
def test_its_femora_are_told_apart_and_found_cut_off(tmp_path, side):
    (tmp_path / "pelvis").mkdir()
    shutil.copy(PELVIS / "ct.nii.gz", tmp_path / "pelvis" / "ct.nii.gz")
    shutil.copy(PELVIS / "labels" / f"example_seg_femur_{side}.nii.gz", tmp_path / "pelvis" / "mask.nii.gz")
    cohort = check_cohort(tmp_path, CohortSettings(source="volumes"), id_key=b"key")
    assert not cohort.faults
    (case,) = cohort.cases
    assert case.facts.side == side
    assert case.facts.cut_off == ("inferior",)
    assert case.facts.metal_ml > 5
    assert not [remark for remark in case.remarks if remark.startswith("IN-21")]
    mask = read_case_mask(case, tmp_path)
    assert mask.femur_zyx.sum() * mask.grid.voxel_volume_mm3 / 1000 == pytest.approx(case.facts.femur_ml)
    assert read_case_ct(case, tmp_path).hu_zyx.max() > 3000


def test_a_label_in_a_folder_of_many_can_be_named():
    settings = CohortSettings(source="volumes", mask="labels/example_seg_femur_right.nii.gz", femur="right")
    cohort = check_cohort(PELVIS, settings, id_key=b"key")
    assert not cohort.faults
    assert cohort.cases[0].facts.side == "right"
