"""People drawn from LLP26: seated, posed, scanned where the field of view says."""

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from femseg.synthetic.anatomy.field_of_view import drawn_field_of_view
from femseg.synthetic.anatomy.llp26 import volume_mm3
from femseg.synthetic.anatomy.people import LEG_BONES, SIDES, fitted_sphere, person
from femseg.synthetic.anatomy.scenes import patient
from femseg.synthetic.settings import FieldOfViewShares, SyntheticSettings

SETTINGS = SyntheticSettings()
MANY = range(16)


def only(field_of_view: str) -> SyntheticSettings:
    shares = {field.name: float(field.name == field_of_view) for field in fields(FieldOfViewShares)}
    return SyntheticSettings(fields_of_view=FieldOfViewShares(**shares))


@pytest.fixture(scope="module")
def people():
    return [person(SETTINGS, index) for index in MANY]


def test_seed_and_number_alone_decide_who_is_drawn(people):
    again = person(SyntheticSettings(people=999), 7)
    for name, bone in people[7].bones.items():
        np.testing.assert_array_equal(bone.vertices_mm, again.bones[name].vertices_mm)
    other = person(replace(SETTINGS, seed=1), 7)
    assert not np.allclose(other.bones["left_femur"].vertices_mm, again.bones["left_femur"].vertices_mm)
    assert not np.allclose(people[8].bones["sacrum"].vertices_mm, again.bones["sacrum"].vertices_mm)


def test_people_are_mixed_from_real_ones_and_differ_in_size(people):
    for who in people:
        assert sum(who.people) == pytest.approx(1.0)
        assert min(who.people) > -0.02
        assert SETTINGS.scale[0] <= who.scale <= SETTINGS.scale[1]
    lengths = [np.linalg.norm(who.legs["left"].head - who.legs["left"].knee) for who in people]
    assert min(lengths) > 290
    assert max(lengths) < 500
    assert np.std(lengths) > 15


def test_left_is_on_the_patients_left_and_both_heads_sit_in_their_sockets(people):
    for who in people:
        assert who.legs["left"].head[0] > 30 > -30 > who.legs["right"].head[0]
        assert (
            who.bones["left_hip_bone"].vertices_mm[:, 0].mean() > who.bones["right_hip_bone"].vertices_mm[:, 0].mean()
        )
        for side in SIDES:
            leg = who.legs[side]
            assert np.linalg.norm(leg.head - leg.hinge) < 6.0
            assert leg.lateral[0] * (1 if side == "left" else -1) > 0.2  # the neck points forwards, and legs turn
            assert leg.forward[1] < -0.2  # forwards is where y falls
            assert leg.knee[2] < leg.head[2] - 150
            assert leg.ankle[2] < leg.knee[2] - 100
            across = (leg.trochanter - leg.head) @ leg.lateral / leg.head_radius_mm
            assert 1.5 < across < 3.5  # the greater trochanter, not the head's own top
            assert abs((leg.trochanter - leg.head) @ leg.up) < 45


def test_a_bone_keeps_its_outside_out_whatever_the_side(people):
    for name, bone in people[3].bones.items():
        assert volume_mm3(bone.vertices_mm, bone.faces) > 1000, name


def test_legs_never_meet(people):
    for who in people:
        left, right = (np.concatenate([who.bones[f"{side}_{n}"].vertices_mm for n in LEG_BONES]) for side in SIDES)
        assert cKDTree(left).query(right, distance_upper_bound=50.0)[0].min() > 4.0


def test_poses_reach_the_ranges_that_were_set():
    settings = replace(SETTINGS, flexion_deg=(40.0, 40.0), abduction_deg=(0.0, 0.0), rotation_deg=(0.0, 0.0))
    bent, straight = person(settings, 2), person(replace(settings, flexion_deg=(0.0, 0.0)), 2)
    for side in SIDES:
        a, b = (who.legs[side].knee - who.legs[side].hinge for who in (bent, straight))
        angle = np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
        assert angle == pytest.approx(40.0, abs=3.0)  # the elastic deformation adds a little
        assert bent.legs[side].knee[1] < straight.legs[side].knee[1] - 150  # the knee comes forwards


def test_an_elastic_deformation_moves_no_bone_further_than_it_was_set_to():
    stiff = person(replace(SETTINGS, elastic_mm=(0.0, 0.0), osteophytes=0.0, gap_mm=(9.0, 9.0)), 5)
    soft = person(replace(SETTINGS, elastic_mm=(4.0, 4.0), osteophytes=0.0, gap_mm=(9.0, 9.0)), 5)
    moved = [np.linalg.norm(soft.bones[n].vertices_mm - b.vertices_mm, axis=1).max() for n, b in stiff.bones.items()]
    assert 3.0 < max(moved) < 4.01


def test_a_sphere_is_found_again_from_points_on_a_part_of_it():
    directions = np.random.default_rng(0).normal(size=(200, 3))
    directions = np.abs(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    centre, radius = fitted_sphere(np.array([3.0, -8, 20]) + 23.5 * directions)
    np.testing.assert_allclose(centre, (3, -8, 20), atol=1e-6)
    assert radius == pytest.approx(23.5)


@pytest.mark.parametrize("name", ["abdomen", "calves"])
def test_scans_above_and_below_hold_no_femur(name):
    for index in MANY:
        who = patient(only(name), index)
        heights = np.concatenate([who.person.bones[f"{side}_femur"].vertices_mm[:, 2] for side in SIDES])
        assert who.box[0][2] > heights.max() or who.box[1][2] < heights.min()
        assert (who.box[1] - who.box[0]).min() > 80


def test_half_of_the_hip_scans_end_15_to_70_mm_below_the_heads(people):
    heads = min(people[0].legs[side].head[2] for side in SIDES)
    shares = only("hips").fields_of_view
    boxes = [drawn_field_of_view(np.random.default_rng(seed), shares, people[0])[1] for seed in range(200)]
    below = np.array([heads - low[2] for low, _ in boxes])
    assert below.min() >= 15
    assert below.max() <= 260
    assert 70 < (below <= 70).sum() < 130


@pytest.mark.parametrize("name", ["both_legs", "whole_legs", "one_leg"])
def test_scans_of_legs_show_whole_femora(name):
    for index in MANY:
        who = patient(only(name), index)
        whole = []
        for side in SIDES:
            bone = who.person.bones[f"{side}_femur"].vertices_mm
            whole.append(bool((bone >= who.box[0]).all() and (bone <= who.box[1]).all()))
        assert sum(whole) >= (1 if name == "one_leg" else 2)


def test_fields_of_view_are_drawn_as_often_as_was_set(people):
    shares = SETTINGS.fields_of_view
    names = [drawn_field_of_view(np.random.default_rng(s), shares, people[0])[0] for s in range(2000)]
    for field in fields(shares):
        assert names.count(field.name) / 2000 == pytest.approx(getattr(shares, field.name), abs=0.03)
    assert 0.1 < shares.abdomen + shares.calves < 0.2  # no femur in these


def test_osteophytes_are_small_bumps_about_the_joint():
    plain = person(replace(SETTINGS, osteophytes=0.0), 4).bones
    bumpy = person(replace(SETTINGS, osteophytes=1.0), 4)
    for side in SIDES[:1]:  # what is drawn for the second side differs after the first
        moved = np.linalg.norm(bumpy.bones[f"{side}_femur"].vertices_mm - plain[f"{side}_femur"].vertices_mm, axis=1)
        shift = np.median(moved)
        grown = moved > shift + 0.5
        assert 0 < grown.mean() < 0.2
        assert moved.max() < shift + 12
        head = bumpy.legs[side].head
        away = np.linalg.norm(bumpy.bones[f"{side}_femur"].vertices_mm[grown] - head, axis=1)
        assert away.max() < 60
