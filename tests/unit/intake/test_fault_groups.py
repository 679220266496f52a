"""Faults by cause: each in one group, and every kind of intake fault explained in the clinic's words."""

import re

import pytest

from femseg.errors import Fault
from femseg.faults import FAULTS, SECTIONS
from femseg.intake.report import fault_groups
from femseg.intake.result import CheckedCohort, CheckedStudy

# the cohort's own key; a cohort as a whole; findings, which are no faults
NOT_OF_A_STUDY = {"SC-12", "IN-27", "SC-10"}


def fault(id_, file, fix="send it again"):
    return Fault(id=id_, file=file, problem="is wrong", fix=fix)


def study(name, *faults):
    return CheckedStudy(name=name, location=name, case=None, faults=faults, ignored=())


def test_every_fault_is_in_one_group_and_the_commonest_comes_first():
    studies = (
        study("a", fault("IN-01", "a"), fault("IN-12", "a", "choose the CT series")),
        study("b", fault("IN-01", "b"), fault("IN-12", "b", "export as MONOCHROME2")),
        study("c", fault("IN-01", "c"), fault("IN-01", "c")),
    )
    faults = tuple(one for of in studies for one in of.faults)
    groups = fault_groups(CheckedCohort(cases=(), faults=faults, ignored=(), studies=studies))
    assert [(group.id, group.studies, len(group.faults)) for group in groups] == [
        ("IN-01", ("a", "b", "c"), 4),
        ("IN-12", ("a",), 1),
        ("IN-12", ("b",), 1),
    ]


def test_fixes_that_differ_in_the_choice_alone_are_one_group():
    studies = (
        study("a", fault("IN-05", "a", "choose one: --series 1.2.3 (cohort.series)")),
        study("b", fault("IN-05", "b", "choose one: --series 4.5.6 (cohort.series)")),
    )
    faults = tuple(one for of in studies for one in of.faults)
    assert len(fault_groups(CheckedCohort(cases=(), faults=faults, ignored=(), studies=studies))) == 1


def test_a_fault_of_the_folder_is_a_group_without_studies():
    cohort = CheckedCohort(cases=(), faults=(fault("IN-05", "folder"),), ignored=())
    (group,) = fault_groups(cohort)
    assert group.studies == ()


@pytest.mark.parametrize("id_", sorted({*SECTIONS["Intake"], "PP-04"} - NOT_OF_A_STUDY))
def test_what_a_radiographer_reads_is_a_sentence_without_our_words(id_):
    kind = FAULTS[id_]
    assert kind.title[0].isupper()
    assert not re.search(r"cohort\.|params|dvc|manifest", kind.title + kind.advice, re.IGNORECASE)
