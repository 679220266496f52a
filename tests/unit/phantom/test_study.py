import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from femseg.files.durable import sha256_of_json
from femseg.phantom import PhantomSettings, anatomy, phantom_bytes, phantom_study
from femseg.phantom.anatomy import painted_leg
from femseg.phantom.patient import draw_patient
from femseg.phantom.texture import Texture
from femseg.settings import as_plain
from femseg.volumes.grid import VoxelGrid

COARSE = PhantomSettings(spacing_mm_zyx=(5.0, 3.0, 3.0), cut_off_fraction=0.0)


@pytest.fixture(scope="module")
def whole_femora():
    return [phantom_study(COARSE, index) for index in range(12)]


@pytest.fixture(scope="module")
def default_study():
    return phantom_study(PhantomSettings(cut_off_fraction=0.0), 1)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def largest_component(mask):
    labels, _ = ndimage.label(mask)
    return labels == 1 + np.bincount(labels.ravel())[1:].argmax()


def test_femora_are_as_long_and_as_large_as_femora_are(whole_femora):
    for study in whole_femora:
        slices = np.flatnonzero(study.femur.femur_zyx.any(axis=(1, 2)))
        length_mm = (slices[-1] - slices[0] + 1) * study.ct.grid.spacing_mm_zyx[0]
        assert length_mm == pytest.approx(study.patient.femur_length_mm, abs=10.0)
        assert 250.0 < study.facts.femur_ml < 850.0


def test_volume_differs_between_patients_and_is_larger_in_men(whole_femora):
    volumes_ml = {sex: [study.facts.femur_ml for study in whole_femora if study.facts.sex == sex] for sex in ("F", "M")}
    assert np.mean(volumes_ml["M"]) > 1.15 * np.mean(volumes_ml["F"])
    assert np.std(volumes_ml["F"]) > 20.0


def test_two_patients_of_a_cohort_are_two_patients(whole_femora):
    assert len({study.fingerprint for study in whole_femora}) == len({s.patient_id for s in whole_femora}) == 12
    assert len({study.facts.femur_ml for study in whole_femora}) == 12


def test_the_head_is_medial_and_the_shaft_bows_forward_on_either_side(whole_femora):
    for study in whole_femora:
        femur, grid = study.femur.femur_zyx, study.ct.grid
        filled = np.flatnonzero(femur.any(axis=(1, 2)))
        slices = [filled[round(share * (len(filled) - 1))] for share in (0.25, 0.5, 0.75, 0.96)]
        low, middle, high, head = (grid.position_mm_xyz((z, *ndimage.center_of_mass(femur[z]))) for z in slices)
        outward = 1.0 if study.facts.side == "left" else -1.0  # +x is the patient's left, +y the back
        assert outward * high[0] > 50.0
        assert outward * (high[0] - head[0]) > 10.0
        assert middle[1] < (low[1] + high[1]) / 2 - 2.0


def test_a_right_leg_is_the_mirror_image_of_a_left_leg():
    patient = replace(draw_patient(3, 0), side="left")
    left_grid = VoxelGrid(shape_zyx=(110, 50, 50), spacing_mm_zyx=(5.0, 4.0, 4.0), origin_mm_xyz=(2.0, -90.0, -500.0))
    right_grid = replace(left_grid, origin_mm_xyz=(-198.0, -90.0, -500.0))
    texture = Texture.drawn(np.random.default_rng(0), left_grid)
    mirrored = Texture(grain=texture.grain[:, :, ::-1], waves=tuple(w[:, :, ::-1] for w in texture.waves))
    left = painted_leg(
        patient, "left", left_grid, table_mm=95.0, with_nail=True, texture=texture, rng=np.random.default_rng(1)
    )
    right = painted_leg(
        patient, "right", right_grid, table_mm=95.0, with_nail=True, texture=mirrored, rng=np.random.default_rng(1)
    )
    np.testing.assert_array_equal(right.femur_zyx, left.femur_zyx[:, :, ::-1])
    np.testing.assert_allclose(right.hu_zyx, left.hu_zyx[:, :, ::-1], atol=0.1)


def test_tissues_have_the_hu_that_a_radiologist_expects(default_study):
    hu, femur = default_study.ct.hu_zyx, default_study.femur.femur_zyx
    filled = np.flatnonzero(femur.any(axis=(1, 2)))
    middle = slice(filled[0] + int(0.48 * len(filled)), filled[0] + int(0.52 * len(filled)))
    depth = ndimage.distance_transform_edt(femur[middle], sampling=(100.0, 1.8, 1.8))
    marrow, cortex = hu[middle][depth > depth.max() - 2.0], hu[middle][(depth > 2.0) & (depth < 5.0)]
    assert -150.0 < np.median(marrow) < 150.0
    assert 900.0 < np.median(cortex) < 1700.0
    condyles = slice(filled[0] + 6, filled[0] + 10)
    deep = ndimage.binary_erosion(femur[condyles], np.ones((1, 3, 3)), iterations=3)
    assert 100.0 < np.median(hu[condyles][deep]) < 350.0
    soft = hu[middle][(hu[middle] > -200.0) & (hu[middle] < 200.0)]
    assert 30.0 < np.median(soft) < 80.0
    assert np.median(hu[hu < -500.0]) == pytest.approx(-1000.0, abs=20.0)


def test_a_threshold_scores_badly_on_every_case():
    scores = []
    for index in range(4):
        study = phantom_study(PhantomSettings(), index)
        scores.append(max(dice(largest_component(study.ct.hu_zyx > hu), study.femur.femur_zyx) for hu in (200, 250)))
    assert max(scores) < 0.8
    assert 0.35 < np.mean(scores) < 0.7


def test_a_threshold_fuses_femur_and_pelvis_where_the_head_meets_the_socket(default_study):
    bright, femur = default_study.ct.hu_zyx > 250.0, default_study.femur.femur_zyx
    leaked = largest_component(bright) & ~ndimage.binary_dilation(femur, iterations=3)
    top = np.flatnonzero(femur.any(axis=(1, 2)))[-1]
    assert np.count_nonzero(leaked[top - 15 :]) > 1000


def test_vessels_and_other_bones_are_as_bright_as_bone_beside_the_femur(default_study):
    hu, femur = default_study.ct.hu_zyx, default_study.femur.femur_zyx
    near = ndimage.binary_dilation(femur, iterations=8) & ~ndimage.binary_dilation(femur, iterations=2)
    assert np.count_nonzero(hu[near] > 250.0) > 1000


def test_cut_off_femora_end_at_the_volumes_end_and_say_so():
    cut = [phantom_study(replace(COARSE, cut_off_fraction=1.0), index) for index in range(8)]
    assert {study.facts.cut_off for study in cut} == {("superior",), ("inferior",)}
    for study in cut:
        assert study.femur.femur_zyx[-1 if study.facts.cut_off == ("superior",) else 0].any()


def test_without_implants_there_is_no_metal_and_with_one_the_scale_overflows():
    plain = phantom_study(COARSE, 0)
    nailed = phantom_study(replace(COARSE, implant_fraction=1.0), 0)
    assert plain.facts.metal_ml == 0.0
    assert plain.ct.hu_zyx.max() < 2500.0
    assert nailed.facts.metal_ml > 10.0
    assert nailed.ct.hu_zyx.max() == 3071.0
    np.testing.assert_array_equal(nailed.femur.femur_zyx, plain.femur.femur_zyx)
    away = ~ndimage.binary_dilation(plain.femur.femur_zyx, iterations=3) & (plain.ct.hu_zyx > -200.0)
    assert np.std((nailed.ct.hu_zyx - plain.ct.hu_zyx)[away]) > 20.0  # streaks reach the soft tissue


def test_both_legs_show_two_femora_one_on_either_side_of_the_body():
    study = phantom_study(replace(COARSE, legs="both"), 0)
    labels, count = ndimage.label(study.femur.femur_zyx, np.ones((3, 3, 3)))
    assert study.facts.side == "both"
    assert count == 2
    centres = [study.ct.grid.position_mm_xyz(c)[0] for c in ndimage.center_of_mass(labels > 0, labels, [1, 2])]
    assert min(centres) < -50.0 < 50.0 < max(centres)


def test_a_scan_painted_slab_by_slab_is_the_one_painted_at_once(monkeypatch):
    settings = replace(COARSE, legs="both", implant_fraction=0.5, scans="varied")
    for index in (0, 1, 2):
        monkeypatch.setattr(anatomy, "_SLAB_SLICES", 1000)
        at_once = phantom_study(settings, index)
        monkeypatch.setattr(anatomy, "_SLAB_SLICES", 7)
        in_slabs = phantom_study(settings, index)
        assert np.array_equal(in_slabs.ct.hu_zyx, at_once.ct.hu_zyx)
        assert np.array_equal(in_slabs.femur.femur_zyx, at_once.femur.femur_zyx)


def test_a_phantom_is_made_in_the_memory_of_six_of_its_scans(monkeypatch):
    monkeypatch.setattr(anatomy, "_SLAB_SLICES", 8)  # as much of this short scan as 32 slices are of one at 1 mm
    tracemalloc.start()
    settings = PhantomSettings(legs="both", spacing_mm_zyx=(4.0, 5.0, 5.0), cut_off_fraction=0.0)
    study = phantom_study(settings, 0)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 6 * study.ct.hu_zyx.nbytes
    assert study.ct.hu_zyx.nbytes * 6 < phantom_bytes(settings)
    assert phantom_bytes(PhantomSettings(legs="both", spacing_mm_zyx=(1.0, 1.0, 1.0))) < 1.5 * 2**30


def test_a_case_beyond_the_cohort_is_refused():
    with pytest.raises(ValueError, match="expected 0 to 23"):
        phantom_study(PhantomSettings(), 24)


def test_a_later_setting_leaves_the_fingerprint_as_it_was_where_it_changes_nothing():
    """The settings of before `scans` was one give the same case ids, and so the same split."""
    settings = PhantomSettings(spacing_mm_zyx=(8.0, 6.0, 6.0))
    plain = {key: value for key, value in as_plain(replace(settings, patients=3)).items() if key != "scans"}
    assert phantom_study(settings, 1).fingerprint == sha256_of_json([plain, 1])
    varied = replace(settings, scans="varied")
    assert phantom_study(varied, 0).fingerprint != phantom_study(settings, 0).fingerprint
    assert (
        phantom_study(varied, 1).ct.grid.extent_mm_zyx[0] < 0.75 * phantom_study(settings, 1).ct.grid.extent_mm_zyx[0]
    )
