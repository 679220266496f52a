"""What lies where in one synthetic patient: tissue classes and distances, no intensities yet.

A scene is stored as bytes, so that hundreds of people fit on a disk and are memory-mapped while training paints them.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from femseg.volumes.grid import VoxelGrid

Side = Literal["left", "right"]
FieldOfView = Literal[
    "pelvis", "hips", "knees", "one_leg", "both_legs", "whole_legs", "box", "abdomen", "calves"
]  # the last two hold no femur
Metal = Literal["nail", "plate", "screws", "arthroplasty"]

TISSUE, FEMUR_MM, BONE_MM, ALONG, TRABECULAE = range(5)  # the channels of `Scene.fields_czyx`
CHANNELS = ("tissue", "femur_mm", "bone_mm", "along", "trabeculae")


class Tissue(IntEnum):
    """What a voxel's centre lies in. The numbers are stored: new ones are added at the end."""

    AIR = 0
    CLOTHES = 1
    TABLE = 2  # its shell
    MATTRESS = 3  # the foam inside of it and upon it
    SKIN = 4
    FAT = 5
    MUSCLE = 6
    ARTERY = 7
    VEIN = 8
    GAS = 9  # in the bowel
    STOOL = 10
    BOWEL = 11  # its wall, and what it holds of fluid
    BLADDER = 12
    ORGAN = 13  # liver, spleen, kidneys
    LUNG = 14
    CARTILAGE = 15  # of joints, and the discs of the spine
    FEMUR = 16
    PELVIS = 17
    SACRUM = 18
    SPINE = 19
    TIBIA = 20
    FIBULA = 21
    PATELLA = 22
    RIB = 23
    HAND = 24  # its bones and those of the forearm
    METAL = 25  # in a bone or beside it


STEP_MM = 0.25
NEUTRAL = 128  # of `trabeculae`; and the first code inside of a bone


def distance_codes(inside_mm: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Signed distances to a surface, positive inside, as bytes: 128 and above is inside, and that exactly.

    Args:
        inside_mm: of any shape; what is beyond -32 … 31.75 mm is clipped.
    """
    return np.asarray(np.clip(np.floor(inside_mm / STEP_MM) + NEUTRAL, 0, 255).astype(np.uint8))


def distances_mm(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Signed distances behind `distance_codes`, within 0.125 mm where nothing was clipped."""
    return np.asarray((codes.astype(np.float32) - (NEUTRAL - 0.5)) * np.float32(STEP_MM))


@dataclass(frozen=True, slots=True, kw_only=True)
class LegPose:
    """How one leg lies, in degrees: flexion forwards, abduction and rotation outwards.

    Attributes:
        gap_mm: least distance of the femur and the hip bone; 0 where they touch.
    """

    flexion_deg: float
    abduction_deg: float
    rotation_deg: float
    knee_flexion_deg: float
    gap_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFacts:
    """What was drawn for a scene.

    Attributes:
        index: the scene's number; with the seed it decides everything.
        people: weight of each of the 26 people of LLP26; they sum to one, and some may be a little below zero.
        scale: factor on all lengths.
        elastic_mm: largest displacement of the elastic deformation of the bones.
        left, right: pose of each leg.
        field_of_view: what is scanned.
        metal: what was implanted, with its side; None where there is none.
    """

    index: int
    people: tuple[float, ...]
    scale: float
    elastic_mm: float
    left: LegPose
    right: LegPose
    field_of_view: FieldOfView
    metal: tuple[Metal, Side] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One person in one field of view, on one grid; the same (seed, index) is the same person on any spacing.

    Attributes:
        grid: LPS with identity direction; +x is the patient's left.
        fields_czyx: uint8, shape (5, Z, Y, X), in the order of `CHANNELS`:
            `tissue`, a `Tissue`;
            `femur_mm`, signed distance to the surface of the nearest femur as `distance_codes`;
            `bone_mm`, the same for all other bones together;
            `along`, where along the nearest femur, from 0 (distal end) to 255 (top of the head), 0 far from it;
            `trabeculae`, spongiosa dense (above 128: the compressive band) or thin (below: Ward's triangle).
        femora_zyx: uint8, shape (Z, Y, X): 1 left femur, 2 right femur. Metal inside of a femur counts as femur.
        facts: what was drawn.
    """

    grid: VoxelGrid
    fields_czyx: NDArray[np.uint8]
    femora_zyx: NDArray[np.uint8]
    facts: SceneFacts

    def __post_init__(self) -> None:
        if self.fields_czyx.shape != (len(CHANNELS), *self.grid.shape_zyx):
            raise ValueError(f"fields {self.fields_czyx.shape} do not match grid {self.grid.shape_zyx} (z, y, x)")
        if self.femora_zyx.shape != self.grid.shape_zyx:
            raise ValueError(f"femora {self.femora_zyx.shape} do not match grid {self.grid.shape_zyx} (z, y, x)")

    @property
    def sides(self) -> tuple[Side, ...]:
        """The femora that can be seen."""
        return tuple(side for side, code in (("left", 1), ("right", 2)) if (self.femora_zyx == code).any())  # type: ignore[misc]
