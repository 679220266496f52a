"""The `cohort:` section."""

from typing import get_args

import pytest

from femseg.cohorts.settings import CohortSettings, CohortSource, LabelMap, cohort_title
from femseg.errors import Refusal
from femseg.settings import checked


def test_a_section_of_plain_values_becomes_settings():
    given = {"source": "dicom", "folder": "data/source", "femur": "left", "labels": {"left": [1], "right": [2]}}
    settings = checked(CohortSettings, given, where="cohort")
    assert settings.labels == LabelMap(left=(1,), right=(2,))
    assert settings.labels.of_femur(settings.femur) == (1,)
    assert settings.labels.of_femur("all") == (1, 2)


@pytest.mark.parametrize(
    ("source", "name", "title"),
    [
        ("phantom", "", "Phantom cohort"),
        ("phantom", "Ours", "Ours"),
        ("dicom", "", "Cohort of DICOM studies"),
        ("dicom", "Clinic of 2026", "Clinic of 2026"),
        ("dicom", "Phantom cohort", "Cohort of DICOM studies"),  # as an older params.yaml has it
        ("", "", "Cohort"),
    ],
)
def test_patients_are_never_called_a_phantom_cohort(source, name, title):
    assert cohort_title(source, name) == title


def test_every_source_has_a_title():
    assert len({cohort_title(source) for source in get_args(CohortSource)}) == len(get_args(CohortSource))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"source": "pacs"}, "cohort.source"),
        ({"femur": "middle"}, "cohort.femur"),
        ({"mask": "../other"}, "mask: expected a name inside"),
        ({"labels": {"femur": [1], "other": [1]}}, "labels: expected different values"),
        ({"labels": {"femur": [0]}}, "labels: expected different values"),
        ({"masks": "ignored"}, "cohort.masks: unknown setting"),
    ],
)
def test_wrong_settings_are_refused_by_key(given, says):
    with pytest.raises(Refusal, match=says):
        checked(CohortSettings, given, where="cohort")
