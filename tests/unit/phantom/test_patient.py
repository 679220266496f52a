import numpy as np

from femseg.phantom.patient import draw_patient

PATIENTS = [draw_patient(seed=1, index=index) for index in range(200)]
WOMEN = [patient for patient in PATIENTS if patient.sex == "F"]
MEN = [patient for patient in PATIENTS if patient.sex == "M"]


def test_the_cohort_is_half_women_half_men_aged_50_to_70_on_either_side():
    assert len(WOMEN) == len(MEN)
    assert {patient.age_years for patient in PATIENTS} == set(range(50, 71))
    assert {(p.sex, p.side) for p in PATIENTS} == {("F", "left"), ("F", "right"), ("M", "left"), ("M", "right")}


def test_men_have_longer_femora_larger_heads_and_wider_condyles_on_average():
    for measure in ("femur_length_mm", "head_radius_mm", "condyle_width_mm", "shaft_radius_mm"):
        assert np.mean([getattr(p, measure) for p in MEN]) > 1.04 * np.mean([getattr(p, measure) for p in WOMEN])


def test_the_cortex_thins_with_age_in_women():
    ages, cortex_mm = [p.age_years for p in WOMEN], [p.cortex_mm for p in WOMEN]
    assert np.corrcoef(ages, cortex_mm)[0, 1] < -0.2


def test_measures_stay_in_their_anatomical_range():
    for patient in PATIENTS:
        assert 370.0 < patient.femur_length_mm < 505.0
        assert 18.0 < patient.head_radius_mm < 28.0
        assert 115.0 < patient.neck_shaft_angle_deg < 139.0
        assert -5.0 < patient.anteversion_deg < 30.0
        assert 2.0 < patient.cortex_mm < patient.shaft_radius_mm - 2.0
        assert patient.hip_gap_mm > 1.0
        assert patient.knee_gap_mm > 1.0
