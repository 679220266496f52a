"""Who lies in the scanner: one phantom patient's anatomy in numbers, drawn before anything is built from it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Side = Literal["left", "right"]
Sex = Literal["F", "M"]

_ANATOMY_STREAM = 0  # acquisition, texture and scanner noise draw from streams of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomPatient:
    """Anatomy of one patient; lengths in mm, angles in degrees.

    Attributes:
        femur_length_mm: from the condyles to the top of the head, along the mechanical axis.
        neck_shaft_angle_deg: between the shaft's axis and the neck's.
        anteversion_deg: how far the neck turns forward out of the coronal plane.
        bow_radius_mm: radius of the shaft's forward curvature.
        shaft_radius_mm: outer radius at the isthmus.
        cortex_mm: thickness of the cortex at the isthmus.
        condyle_width_mm: distance of the epicondyles.
        hip_half_distance_mm: of the head's centre from the midline of the body.
        hip_gap_mm, knee_gap_mm: joint spaces between bone and bone.
        cortical_hu, artery_hu: of dense cortex and of blood with contrast.
        spongiosa: strength of the trabecular bone, 1 for a healthy adult.
        girth: size of the soft tissue, 1 for the average.
        fat_mm: thickness of the subcutaneous fat of the thigh.
        external_rotation_deg, abduction_deg, flexion_deg: how the leg lies, turned about the centre of the hip.
    """

    side: Side
    sex: Sex
    age_years: int
    femur_length_mm: float
    head_radius_mm: float
    neck_shaft_angle_deg: float
    anteversion_deg: float
    neck_length_mm: float
    bow_radius_mm: float
    shaft_radius_mm: float
    cortex_mm: float
    condyle_width_mm: float
    hip_half_distance_mm: float
    hip_gap_mm: float
    knee_gap_mm: float
    cortical_hu: float
    artery_hu: float
    spongiosa: float
    girth: float
    fat_mm: float
    external_rotation_deg: float
    abduction_deg: float
    flexion_deg: float


def draw_patient(seed: int, index: int) -> PhantomPatient:
    """Patient number `index` of the cohort with this seed; no other patient has a say in it.

    Sex and side alternate, so that every cohort is 1:1 in sex and nearly so in side within each sex. The means by sex
    and their spread follow textbook anthropometry (femoral length, head, offset); age thins cortex and trabeculae.
    """
    rng = np.random.default_rng((seed, index, _ANATOMY_STREAM))
    female = index % 2 == 0
    age = int(rng.integers(50, 71))
    years_past_60 = age - 60

    def normal(mean: float, sd: float) -> float:
        return float(mean + sd * np.clip(rng.standard_normal(), -2.2, 2.2))

    length = normal(422.0 if female else 456.0, 19.0)
    size = length / (422.0 if female else 456.0)  # long bones are thicker too, though less than in proportion
    half_size = 0.5 + 0.5 * size
    return PhantomPatient(
        side="left" if (index // 2) % 2 == 0 else "right",
        sex="F" if female else "M",
        age_years=age,
        femur_length_mm=length,
        head_radius_mm=normal(21.8 if female else 24.6, 0.9) * half_size,
        neck_shaft_angle_deg=normal(127.0, 4.5),
        anteversion_deg=normal(14.0 if female else 11.0, 5.5),
        neck_length_mm=normal(49.0 if female else 54.0, 3.0) * half_size,
        bow_radius_mm=normal(1050.0, 140.0),
        shaft_radius_mm=normal(12.9 if female else 14.3, 0.7) * half_size,
        cortex_mm=normal(5.6 if female else 6.6, 0.6) - (0.05 if female else 0.02) * years_past_60,
        condyle_width_mm=normal(73.0 if female else 83.0, 2.6) * half_size,
        hip_half_distance_mm=normal(86.0, 3.0) * half_size,
        hip_gap_mm=normal(2.2, 0.45),
        knee_gap_mm=normal(3.0, 0.6),
        cortical_hu=normal(1450.0, 90.0),
        artery_hu=normal(350.0, 40.0),
        spongiosa=normal(1.0, 0.1) - (0.012 if female else 0.006) * years_past_60,
        girth=normal(0.97 if female else 1.0, 0.05),
        fat_mm=normal(17.0 if female else 10.0, 3.0),
        external_rotation_deg=normal(6.0, 6.0),
        abduction_deg=normal(0.5, 1.2),
        flexion_deg=normal(0.5, 0.8),
    )
