"""The settings of synthetic anatomy: who is drawn, how they lie, and what of them is scanned."""

import math
from dataclasses import dataclass, field, fields

from femseg.settings import has_section, read_section

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldOfViewShares:
    """How often each field of view is drawn; they need not sum to one.

    Attributes:
        pelvis: from the lumbar spine to just below the heads.
        hips: hips with some shaft; half of them end 15 to 70 mm below the heads.
        knees: both knees with some shaft.
        one_leg: one whole femur.
        both_legs: both whole femora.
        whole_legs: pelvis to ankles.
        box: a box of 80 to 500 mm about a point on or near a femur.
        abdomen: ends above the femora; no femur.
        calves: begins below the femora; no femur.
    """

    pelvis: float = 0.12
    hips: float = 0.34
    knees: float = 0.10
    one_leg: float = 0.08
    both_legs: float = 0.06
    whole_legs: float = 0.05
    box: float = 0.10
    abdomen: float = 0.09
    calves: float = 0.06

    def __post_init__(self) -> None:
        shares = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, share in shares.items():
            if not share >= 0.0 or not math.isfinite(share):
                raise ValueError(f"fields_of_view.{name}: expected a share of at least 0, got {share}")
        if not sum(shares.values()) > 0:
            raise ValueError("fields_of_view: expected at least one share above 0, got none")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSettings:
    """People made from the 26 of the shape model LLP26.

    Attributes:
        people: size of the cohort; a larger cohort begins with the same people.
        share: of the training samples of another cohort, of either scale, that is painted from these people.
        seed: draws everything.
        beyond: how far a person may lie beyond the mixture of real people drawn for it, as a factor on its
            difference from the mean.
        scale: factor on all lengths, beside the people's own sizes.
        elastic_mm: largest displacement of a smooth deformation of the bones.
        flexion_deg, abduction_deg, rotation_deg: of each hip, forwards and outwards.
        knee_flexion_deg: of each knee, backwards.
        gap_mm: least distance of femur and hip bone.
        touching: share of hips without a gap.
        osteophytes: share of hips with bumps about the joint.
        metal: share of people with a nail, a plate, screws or a hip prosthesis.
        fields_of_view: how often each is drawn.
        spacing_mm_zyx: of the CTs that evaluation reads; training paints at the spacing of its network.
    """

    people: int = 300
    share: float = 0.0
    seed: int = 2606
    beyond: Range = (0.8, 1.25)
    scale: Range = (0.88, 1.14)
    elastic_mm: Range = (0.0, 4.0)
    flexion_deg: Range = (-10.0, 40.0)
    abduction_deg: Range = (-15.0, 15.0)
    rotation_deg: Range = (-25.0, 25.0)
    knee_flexion_deg: Range = (0.0, 25.0)
    gap_mm: Range = (0.2, 3.5)
    touching: float = 0.12
    osteophytes: float = 0.25
    metal: float = 0.15
    fields_of_view: FieldOfViewShares = field(default_factory=FieldOfViewShares)
    spacing_mm_zyx: tuple[float, float, float] = (2.0, 1.5, 1.5)

    def __post_init__(self) -> None:
        if not all(0.4 <= s <= 8.0 for s in self.spacing_mm_zyx):
            raise ValueError(f"spacing_mm_zyx: expected three lengths of 0.4 to 8 mm, got {self.spacing_mm_zyx}")
        if self.people < 3:
            raise ValueError(f"people: expected at least 3, got {self.people}")
        if not 0.0 <= self.share < 1.0:
            raise ValueError(f"share: expected a share from 0 to below 1, got {self.share}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: expected a number from 0 to 2^63 - 1, got {self.seed}")
        bounds = {
            "beyond": (0.0, 2.0),
            "scale": (0.5, 1.5),
            "elastic_mm": (0.0, 10.0),
            "flexion_deg": (-30.0, 90.0),
            "abduction_deg": (-40.0, 40.0),
            "rotation_deg": (-60.0, 60.0),
            "knee_flexion_deg": (0.0, 90.0),
            "gap_mm": (0.0, 10.0),
        }
        for name, (least, most) in bounds.items():
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name}: expected two ascending numbers from {least:g} to {most:g}, got {[low, high]}"
                )
        for name in ("touching", "osteophytes", "metal"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: expected a share from 0 to 1, got {getattr(self, name)}")


def read_share() -> float:
    """`synthetic.share` of params.yaml; 0 where there is no such section. Raises: Refusal (exit 2)."""
    return read_section(SyntheticSettings, "synthetic").share if has_section("synthetic") else 0.0
