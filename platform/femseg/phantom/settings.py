"""The settings of the phantom cohort."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSettings:
    """How many phantom patients, and how they are scanned.

    Attributes:
        patients: size of the cohort; a larger cohort begins with the same patients, voxel for voxel.
        seed: draws everything.
        legs: "one" scans the patient's diseased side, "both" scans both legs; the mask then shows both femora.
        spacing_mm_zyx: slice distance and pixel size.
        field_of_view_mm: in-plane edge length of the volume for one leg; both legs take twice that width.
        noise_hu: standard deviation of the noise at the knee; it grows toward the hip.
        scans: "leg" shows the femur and more; "varied" in turn a leg, a hip with some shaft, and a knee with some.
        cut_off_fraction: share of the patients whose femur leaves the field of view at one end.
        implant_fraction: share of the patients with an intramedullary nail.
    """

    patients: int = 24
    seed: int = 20240
    legs: Literal["one", "both"] = "one"
    spacing_mm_zyx: tuple[float, float, float] = (3.0, 1.8, 1.8)
    field_of_view_mm: float = 200.0
    noise_hu: float = 18.0
    scans: Literal["leg", "varied"] = "leg"
    cut_off_fraction: float = 0.125
    implant_fraction: float = 0.0

    def __post_init__(self) -> None:
        if self.patients < 3:
            raise ValueError(
                f"patients: expected at least 3 (train, validation and test each need one), got {self.patients}"
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: expected a number from 0 to 2^63 - 1, got {self.seed}")
        if self.legs not in ("one", "both"):
            raise ValueError(f"legs: expected 'one' or 'both', got {self.legs!r}")
        if self.scans not in ("leg", "varied"):
            raise ValueError(f"scans: expected 'leg' or 'varied', got {self.scans!r}")
        if len(self.spacing_mm_zyx) != 3 or not all(0.4 <= s <= 8.0 for s in self.spacing_mm_zyx):
            raise ValueError(f"spacing_mm_zyx: expected three lengths of 0.4 to 8 mm, got {self.spacing_mm_zyx}")
        if not 170.0 <= self.field_of_view_mm <= 400.0:
            raise ValueError(
                f"field_of_view_mm: expected 170 to 400 mm (the femur must fit), got {self.field_of_view_mm}"
            )
        if not 0.0 <= self.noise_hu <= 200.0 or not math.isfinite(self.noise_hu):
            raise ValueError(f"noise_hu: expected 0 to 200 HU, got {self.noise_hu}")
        for name in ("cut_off_fraction", "implant_fraction"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: expected a share from 0 to 1, got {getattr(self, name)}")
