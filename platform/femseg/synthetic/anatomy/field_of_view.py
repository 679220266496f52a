"""What of a person is scanned: a box in mm, drawn before anything is made of voxels."""

from dataclasses import fields

import numpy as np

from femseg.synthetic.anatomy.axes import Box
from femseg.synthetic.anatomy.people import SIDES, Floats, Person
from femseg.synthetic.scene import FieldOfView
from femseg.synthetic.settings import FieldOfViewShares


def drawn_field_of_view(rng: np.random.Generator, shares: FieldOfViewShares, person: Person) -> tuple[FieldOfView, Box]:
    """What is scanned, and the box whose edges the outermost voxels touch."""
    names = [field.name for field in fields(shares)]
    share = np.array([getattr(shares, name) for name in names])
    name: FieldOfView = names[int(rng.choice(len(names), p=share / share.sum()))]  # type: ignore[assignment]
    if name == "box":
        return name, _box(rng, person)
    low_z, high_z = _heights(rng, name, person)
    around = np.concatenate([_between(bone.vertices_mm, low_z, high_z) for bone in person.bones.values()])
    if not len(around):  # above all bones of LLP26
        around = person.bones["sacrum"].vertices_mm
    middle_y = (around[:, 1].min() + around[:, 1].max()) / 2
    half_y = max(rng.uniform(105, 165), (around[:, 1].max() - around[:, 1].min()) / 2 + 15)
    half_x = max(rng.uniform(150, 230), np.abs(around[:, 0]).max() + 12)
    if name in ("knees", "calves"):
        half_x = max(rng.uniform(110, 200), np.abs(around[:, 0]).max() + 10)
    low_x, high_x = -half_x, half_x
    if name == "one_leg":
        left = rng.random() < 0.5
        bone = person.bones["left_femur" if left else "right_femur"].vertices_mm[:, 0] * (1 if left else -1)
        inner = min(rng.uniform(-60, 30), bone.min() - 8)
        low_x, high_x = (inner, half_x) if left else (-half_x, -inner)
    shift = rng.uniform(-12, 12)
    return name, (
        np.array([low_x, middle_y - half_y + shift, low_z]),
        np.array([high_x, middle_y + half_y + shift, high_z]),
    )


def _between(points: Floats, low_z: float, high_z: float) -> Floats:
    return points[(points[:, 2] >= low_z) & (points[:, 2] <= high_z)]


def _heights(rng: np.random.Generator, name: FieldOfView, person: Person) -> tuple[float, float]:
    """Lower and upper end of the scan."""
    legs = [person.legs[side] for side in SIDES]
    heads = [leg.head[2] for leg in legs]
    femora = np.concatenate([person.bones[f"{side}_femur"].vertices_mm[:, 2] for side in SIDES])
    knee, ankle = min(leg.knee[2] for leg in legs), min(leg.ankle[2] for leg in legs)
    match name:
        case "pelvis":
            return min(heads) - rng.uniform(18, 60), max(heads) + rng.uniform(110, 300)
        case "hips":
            below = rng.uniform(15, 70) if rng.random() < 0.5 else rng.uniform(70, 260)
            return min(heads) - below, max(heads) + rng.uniform(35, 220)
        case "knees":
            return knee - rng.uniform(50, 200), max(leg.knee[2] for leg in legs) + rng.uniform(40, 220)
        case "one_leg" | "both_legs":
            return femora.min() - rng.uniform(10, 120), femora.max() + rng.uniform(10, 120)
        case "whole_legs":
            return ankle + rng.uniform(0, 40), femora.max() + rng.uniform(20, 220)
        case "abdomen":
            low = femora.max() + rng.uniform(4, 70)
            return low, low + rng.uniform(100, 300)
        case _:  # calves
            high = femora.min() - rng.uniform(4, 50)
            return max(high - rng.uniform(100, 320), ankle - 5), high


def _box(rng: np.random.Generator, person: Person) -> Box:
    """A box of 80 to 500 mm about a point near a femur."""
    femur = person.bones[f"{SIDES[int(rng.integers(2))]}_femur"].vertices_mm
    middle = femur[rng.integers(len(femur))] + rng.normal(0, 25, 3)
    size = np.clip(np.exp(rng.uniform(np.log(80), np.log(500))) * rng.uniform(0.7, 1.4, 3), 80, 500)
    return middle - size / 2, middle + size / 2
