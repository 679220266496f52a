"""What a scene says lies where, held against the meshes that it was made from."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from femseg.synthetic.anatomy import scene
from femseg.synthetic.anatomy.metal import drawn_implant
from femseg.synthetic.anatomy.scenes import patient, scene_of
from femseg.synthetic.anatomy.surfaces import distance_to_triangles_mm
from femseg.synthetic.scene import ALONG, BONE_MM, FEMUR_MM, NEUTRAL, TISSUE, TRABECULAE, Tissue, distances_mm
from femseg.synthetic.settings import FieldOfViewShares, SyntheticSettings

HIPS = FieldOfViewShares(pelvis=0, hips=1, knees=0, one_leg=0, both_legs=0, whole_legs=0, box=0, abdomen=0, calves=0)
SETTINGS = SyntheticSettings(fields_of_view=HIPS, metal=0.0)
COARSE = (5.0, 5.0, 5.0)
BONES = {Tissue.FEMUR, Tissue.PELVIS, Tissue.SACRUM, Tissue.SPINE, Tissue.TIBIA, Tissue.FIBULA, Tissue.PATELLA}


def about_hip(settings: SyntheticSettings, index: int, reach_mm: float):
    """A patient of whom a box about the left hip is scanned."""
    who = patient(settings, index)
    head = who.person.legs["left"].head
    return replace(who, box=(head - reach_mm, head + reach_mm))


@pytest.fixture(scope="module")
def hips():
    return scene(SETTINGS, 2, COARSE)


def test_seed_and_number_alone_decide_a_scene(hips):
    again = scene(replace(SETTINGS, people=5000), 2, COARSE)
    assert again.grid == hips.grid
    assert again.facts == hips.facts
    np.testing.assert_array_equal(again.fields_czyx, hips.fields_czyx)
    np.testing.assert_array_equal(again.femora_zyx, hips.femora_zyx)


def test_another_spacing_shows_the_same_person(hips):
    finer = scene(SETTINGS, 2, (5.0, 3.0, 3.0))
    assert finer.facts == hips.facts
    np.testing.assert_allclose(finer.grid.extent_mm_zyx, hips.grid.extent_mm_zyx, atol=5.0)
    for value, tolerance in ((1, 0.06), (2, 0.06)):
        volumes = [(s.femora_zyx == value).sum() * s.grid.voxel_volume_mm3 for s in (hips, finer)]
        assert volumes[0] == pytest.approx(volumes[1], rel=tolerance)
    for tissue in (Tissue.AIR, Tissue.FAT, Tissue.MUSCLE):
        shares = [(s.fields_czyx[TISSUE] == tissue).mean() for s in (hips, finer)]
        assert shares[0] == pytest.approx(shares[1], abs=0.02)


def test_left_is_on_the_patients_left(hips):
    x = hips.grid.origin_mm_xyz[0] + hips.grid.spacing_mm_zyx[2] * np.arange(hips.grid.shape_zyx[2])
    assert hips.sides == ("left", "right")
    left, right = ((hips.femora_zyx == value).any(axis=(0, 1)) for value in (1, 2))
    assert x[left].min() > 0 > x[right].max()


def test_distances_labels_and_tissue_agree(hips):
    tissue, femur, bone = (hips.fields_czyx[channel] for channel in (TISSUE, FEMUR_MM, BONE_MM))
    np.testing.assert_array_equal(femur >= NEUTRAL, hips.femora_zyx > 0)
    np.testing.assert_array_equal(tissue == Tissue.FEMUR, hips.femora_zyx > 0)
    assert not np.any((femur >= NEUTRAL) & (bone >= NEUTRAL))  # femora and other bones never overlap
    np.testing.assert_array_equal(
        np.isin(tissue, [*BONES, Tissue.RIB, Tissue.HAND]), (femur >= NEUTRAL) | (bone >= NEUTRAL)
    )


def test_along_rises_from_knee_to_head_and_spongiosa_is_drawn_in_the_head(hips):
    inside = hips.femora_zyx > 0
    heights = np.nonzero(inside)[0]
    along = hips.fields_czyx[ALONG][inside].astype(float)
    assert np.corrcoef(heights, along)[0, 1] > 0.95
    assert along.max() > 245
    trabeculae = hips.fields_czyx[TRABECULAE][inside]
    assert trabeculae.max() > 220  # the compressive band
    assert trabeculae.min() < 80  # Ward's triangle
    assert np.mean(trabeculae[along > 0.85 * 255] < 80) > 0.1  # the greater trochanter, beside the head


def test_a_signed_distance_is_that_to_the_nearest_of_all_triangles():
    who = about_hip(SETTINGS, 6, 42.0)
    made = scene_of(who, SETTINGS.seed, (3.0, 3.0, 3.0))
    bone = who.person.bones["left_femur"]
    triangles = bone.vertices_mm[bone.faces]
    found = distances_mm(made.fields_czyx[FEMUR_MM])
    rng = np.random.default_rng(0)
    chosen = np.argwhere(np.abs(found) < 4.0)
    chosen = chosen[rng.choice(len(chosen), 120, replace=False)]
    errors = []
    for index, point in zip(chosen, made.grid.positions_mm_xyz(chosen), strict=True):
        truth = distance_to_triangles_mm(np.broadcast_to(point, (len(triangles), 3)), triangles).min()
        errors.append(abs(abs(found[tuple(index)]) - truth))
    assert max(errors) < 0.2


@pytest.mark.parametrize(("index", "gap_mm"), [(1, 0.6), (4, 2.0), (9, 4.0)])
def test_the_joints_gap_is_the_one_drawn(index, gap_mm):
    settings = replace(SETTINGS, gap_mm=(gap_mm, gap_mm), touching=0.0)
    who = about_hip(settings, index, 30.0)
    made = scene_of(who, settings.seed, (1.2, 1.2, 1.2))
    pelvis = np.argwhere(made.fields_czyx[TISSUE] == Tissue.PELVIS)
    femur = who.person.bones["left_femur"]
    points = made.grid.positions_mm_xyz(pelvis)
    near = points[cKDTree(femur.vertices_mm).query(points, distance_upper_bound=gap_mm + 4)[0] < np.inf]
    triangles = femur.vertices_mm[femur.faces]
    centres = cKDTree(triangles.mean(axis=1))
    candidates = centres.query(near, k=24)[1]
    least = min(distance_to_triangles_mm(near, triangles[candidates[:, k]]).min() for k in range(candidates.shape[1]))
    assert gap_mm - 0.03 <= least < gap_mm + 0.7  # as finely as voxels of 1.2 mm can tell


def test_a_joint_without_a_gap_touches():
    settings = replace(SETTINGS, touching=1.0)
    made = scene_of(about_hip(settings, 1, 30.0), settings.seed, (1.5, 1.5, 1.5))
    femur, pelvis = made.femora_zyx > 0, made.fields_czyx[TISSUE] == Tissue.PELVIS
    assert any(np.any(np.roll(femur, 1, axis) & pelvis) for axis in range(3))


def test_a_scan_ends_where_its_box_does():
    who = patient(SETTINGS, 3)
    head = who.person.legs["left"].head
    box = head - (60, 60, 50), head + np.array([60, 60, 20])
    made = scene_of(replace(who, box=box), SETTINGS.seed, (4.0, 4.0, 4.0))
    first = np.array(made.grid.origin_mm_xyz) - 2.0
    np.testing.assert_allclose(first, box[0])
    np.testing.assert_allclose(first + np.array(made.grid.extent_mm_zyx[::-1]), box[1], atol=2.0)
    assert (made.femora_zyx[0] == 1).any()  # the shaft goes on below


def test_air_is_outside_skin_about_the_body_and_bones_lie_deep(hips):
    tissue = hips.fields_czyx[TISSUE]
    counts = np.bincount(tissue.ravel(), minlength=len(Tissue)) / tissue.size
    assert counts[Tissue.AIR] > 0.05
    assert counts[Tissue.FAT] > 0.05
    assert counts[Tissue.MUSCLE] > 0.1
    outside = np.isin(tissue, [Tissue.AIR, Tissue.CLOTHES, Tissue.TABLE, Tissue.MATTRESS])
    femur = hips.femora_zyx > 0
    for axis in (1, 2):
        assert not np.any(np.roll(outside, 1, axis) & femur)


@pytest.mark.parametrize("kind", ["nail", "plate", "screws", "arthroplasty"])
def test_metal_lies_where_its_kind_belongs(kind):
    bare_patient = about_hip(SETTINGS, 5, 70.0)
    drawn = (drawn_implant(np.random.default_rng(seed), 1.0, bare_patient.person) for seed in range(500))
    low = bare_patient.box[0][2]
    implant = next(
        i for i in drawn if (i.kind, i.side) == (kind, "left") and max(s.box[1][2] for s in i.metal) > low + 60
    )
    made, bare = (scene_of(replace(bare_patient, implant=i), SETTINGS.seed, (4.0, 4.0, 4.0)) for i in (implant, None))
    assert made.facts.metal == (kind, "left")
    metal = made.fields_czyx[TISSUE] == Tissue.METAL
    assert metal.sum() * 64 > 1000
    if kind == "arthroplasty":
        lost = (bare.femora_zyx == 1) & (made.femora_zyx == 0)
        assert lost.sum() * 64 > 15_000  # the head is gone
        centre = np.rint((bare_patient.person.legs["left"].head - made.grid.origin_mm_xyz) / 4.0).astype(int)[::-1]
        assert metal[tuple(centre)]
    else:
        np.testing.assert_array_equal(bare.femora_zyx, made.femora_zyx)  # metal inside of a femur counts as femur
    np.testing.assert_array_equal(made.fields_czyx[FEMUR_MM] >= NEUTRAL, made.femora_zyx > 0)
