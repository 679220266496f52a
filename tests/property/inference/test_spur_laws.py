"""Bone grown onto a head is seen however the patient lies, and on either side."""

from dataclasses import replace

import numpy as np
from bright_network import bright_ct, leg, leg_with_spur
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from femseg.inference.femora import told_apart
from femseg.inference.shape import shapes_of
from femseg.inference.verdict import SPUR
from femseg.volumes.grid import MaskVolume, VoxelGrid

UPPER_MM, STEP_MM = 150.0, 3.0
LYING = VoxelGrid(shape_zyx=(80, 84, 84), spacing_mm_zyx=(STEP_MM,) * 3)


def spur_ml(mask: MaskVolume) -> float:
    (shape,) = shapes_of(told_apart(mask), bright_ct(mask)).values()
    return shape.spur_ml


def lying(mask: MaskVolume, turned_deg: tuple[float, float, float], *, in_mirror: bool) -> MaskVolume:
    """The upper part of a femur, turned about the axes x, y and z, in the middle of a scan of its own."""
    places = mask.grid.positions_mm_xyz(np.argwhere(mask.femur_zyx))
    middle = places[places[:, 2] > places[:, 2].max() - UPPER_MM].mean(axis=0)
    points = LYING.positions_mm_xyz(np.argwhere(np.ones(LYING.shape_zyx, np.bool_)))
    points -= points.mean(axis=0)
    for (one, other), degrees in zip(((1, 2), (2, 0), (0, 1)), turned_deg, strict=True):
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        points[:, [one, other]] = points[:, [one, other]] @ np.array([[cos, sin], [-sin, cos]])
    points[:, 0] *= -1.0 if in_mirror else 1.0
    points[:, 2] += 20.0  # of the head above
    at = mask.grid.indices_zyx(points + middle)
    femur = ndimage.map_coordinates(mask.femur_zyx.astype(np.float32), at.T, order=1) >= 0.5
    return MaskVolume(femur_zyx=femur.reshape(LYING.shape_zyx), grid=LYING)


@given(
    st.tuples(st.floats(-30.0, 30.0), st.floats(-30.0, 30.0), st.floats(-180.0, 180.0)),
    st.booleans(),
    st.sampled_from([10.0, 12.0, 16.0]),
)
@settings(max_examples=12, deadline=None)
def test_bone_on_a_head_is_told_from_none_however_the_patient_lies(turned_deg, in_mirror, radius_mm):
    """From 4 ml on."""
    assert spur_ml(lying(leg(), turned_deg, in_mirror=in_mirror)) < SPUR.review / 4
    assert spur_ml(lying(leg_with_spur(radius_mm), turned_deg, in_mirror=in_mirror)) > SPUR.review


@given(st.sampled_from([0.0, 8.0, 14.0]))
@settings(max_examples=3, deadline=None)
def test_a_femur_and_its_image_in_a_mirror_have_the_same_spur(radius_mm):
    mask = leg_with_spur(radius_mm)
    mirrored = replace(mask, femur_zyx=mask.femur_zyx[:, :, ::-1].copy())
    assert abs(spur_ml(mirrored) - spur_ml(mask)) <= 0.1
