"""What a cohort has in common, and who stands apart."""

import numpy as np

from femseg.cohorts.case import CaseFacts
from femseg.intake.outliers import outlier_findings, quantities
from femseg.intake.preview import hu_counts
from femseg.intake.result import CheckedStudy
from femseg.volumes.grid import VoxelGrid


def study(number, *, step_mm=3.0, femur_ml=None, shift_hu=0.0):
    hu = np.random.default_rng(number).normal(50 + shift_hu, 60, 20_000).astype(np.float32)
    return CheckedStudy(
        name=f"s{number:02d}",
        location=f"/data/s{number:02d}",
        case=None,
        faults=(),
        ignored=(),
        grid=VoxelGrid(shape_zyx=(100, 50, 50), spacing_mm_zyx=(step_mm, 2.0, 2.0)),
        facts=CaseFacts(femur_ml=300.0 + number if femur_ml is None else femur_ml),
        hu_counts=hu_counts(hu),
    )


def named(studies):
    return {(quantity.name, name) for quantity in quantities(studies) for name in quantity.outliers}


def test_a_study_that_stands_apart_is_named_with_its_quantity_and_no_other_is():
    usual = [study(number) for number in range(12)]
    assert named(usual) == set()
    odd = [study(20, step_mm=5.0), study(21, femur_ml=90.0), study(22, shift_hu=300.0)]
    assert named(usual + odd) == {
        ("slice distance", "s20"),
        ("length of the scan", "s20"),
        ("femur volume", "s21"),
        ("grey values unlike the cohort's", "s22"),
    }


def test_few_studies_have_no_outliers():
    assert named([*(study(number) for number in range(6)), study(20, femur_ml=9.0)]) == set()


def test_a_difference_below_five_percent_is_none_however_alike_the_others_are():
    usual = [study(number, femur_ml=300.0) for number in range(12)]
    assert ("femur volume", "s20") not in named([*usual, study(20, femur_ml=310.0)])
    assert ("femur volume", "s20") in named([*usual, study(20, femur_ml=330.0)])


def test_an_outlier_is_said_in_words_with_both_numbers():
    findings = outlier_findings(quantities([*(study(number) for number in range(12)), study(20, femur_ml=90.0)]))
    assert [str(finding) for finding in findings] == [
        "FACT: s20: femur volume 90 ml is far below the cohort's 305 ml. Look whether it belongs to this cohort."
    ]


def test_quantities_that_nobody_has_are_left_out():
    bare = CheckedStudy(name="a", location="a", case=None, faults=(), ignored=())
    assert quantities([bare]) == ()
