"""A synthetic person as a study on disk and as fields on a network's grid."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_scene import tiny_scene

from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.intake.check import check_one
from femseg.layouts.detect import studies_of
from femseg.synthetic.cohort import LEFT, RIGHT, index_of_study, on_grid, study_name, write_study
from femseg.synthetic.painting_settings import PaintingSettings, ScannerSettings
from femseg.synthetic.scene import Tissue

SETTINGS = CohortSettings(source="synthetic", labels=LabelMap(left=(LEFT,), right=(RIGHT,)), accept_hu=True)
PAINTING = PaintingSettings(scanner=ScannerSettings(circle=1.0))


def studied(scene, folder: Path, settings=SETTINGS, seed=1):
    write_study(scene, PAINTING, seed, folder / study_name(scene.facts.index))
    (study,) = studies_of(folder, settings)
    return check_one(study, settings, root=folder, id_key=b"k" * 32)


def test_a_person_becomes_an_ordinary_case_whose_mask_is_the_scenes(tmp_path):
    scene = tiny_scene()
    checked = studied(scene, tmp_path)
    assert checked.faults == ()
    case = checked.case
    assert (case.grid.shape_zyx, case.facts.side) == (scene.grid.shape_zyx, "left")
    assert np.array_equal(read_case_mask(case, tmp_path).femur_zyx, scene.femora_zyx > 0)
    hu = read_case_ct(case, tmp_path).hu_zyx
    assert hu[scene.fields_czyx[0] == Tissue.FEMUR].mean() > hu[scene.fields_czyx[0] == Tissue.MUSCLE].mean() + 150
    assert hu.min() >= -1024  # evaluation sees all of it, whatever the share of circles
    assert index_of_study(case.ct.files[0].path) == 0


def test_a_person_without_a_femur_in_view_is_a_case_too(tmp_path):
    scene = tiny_scene()
    muscle = scene.fields_czyx.copy()
    muscle[0][muscle[0] == Tissue.FEMUR], muscle[1] = Tissue.MUSCLE, 0
    none = replace(scene, fields_czyx=muscle, femora_zyx=np.zeros_like(scene.femora_zyx))
    checked = studied(none, tmp_path)
    assert (checked.faults, checked.case.facts.side, checked.case.facts.femur_ml) == ((), None, 0.0)
    assert not read_case_mask(checked.case, tmp_path).femur_zyx.any()


def test_the_same_person_is_written_with_the_same_bytes_and_another_seed_looks_otherwise(tmp_path):
    scene = tiny_scene((60.0, 90.0, 90.0))
    files = []
    for number, seed in enumerate((1, 1, 2)):
        write_study(scene, PAINTING, seed, tmp_path / str(number))
        files.append([(tmp_path / str(number) / name).read_bytes() for name in ("ct.nii.gz", "mask.nii.gz")])
    assert files[0] == files[1]
    assert files[0][0] != files[2][0]
    assert files[0][1] == files[2][1]


def test_fields_on_a_grid_of_the_same_corner_are_the_scenes_own_and_its_edge_goes_on():
    scene = tiny_scene((60.0, 60.0, 60.0))
    z, y, x = scene.grid.shape_zyx
    grid = replace(scene.grid, shape_zyx=(z + 1, y, x - 1))
    fields, femora = on_grid(scene, grid)
    assert np.array_equal(fields[:, :z], scene.fields_czyx[..., :-1])
    assert np.array_equal(fields[:, z], scene.fields_czyx[:, -1, :, :-1])
    assert np.array_equal(femora[:z], scene.femora_zyx[..., :-1])
    with pytest.raises(ValueError, match="spacing"):
        on_grid(scene, replace(grid, spacing_mm_zyx=(2.0, 3.0, 3.0)))


def test_a_file_of_no_person_names_none():
    assert index_of_study("person-00012/ct.nii.gz") == 12
    with pytest.raises(ValueError, match="person-00000"):
        index_of_study("phantom-001/ct.nii.gz")
