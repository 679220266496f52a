import pytest
from hypothesis import given
from hypothesis import strategies as st

from femseg.cohorts.case import SCANNERS, scanner_family


@pytest.mark.parametrize(
    ("manufacturer", "model", "family"),
    [
        ("SIEMENS", "SOMATOM Definition AS+", "Siemens SOMATOM"),
        ("Siemens Healthineers", "NAEOTOM Alpha", "Siemens NAEOTOM"),
        ("GE MEDICAL SYSTEMS", "LightSpeed VCT", "GE LightSpeed"),
        ("Philips", "Brilliance 64", "Philips Brilliance"),
        ("TOSHIBA", "Aquilion ONE", "Canon Aquilion"),
        ("Canon Medical Systems", "Aquilion Prime SP", "Canon Aquilion"),
        ("UIH", "uCT 780", "United Imaging uCT"),
        ("SIEMENS", "Doe^Jane", "Siemens"),
        ("Doe^Jane", "SOMATOM", None),
        ("", "", None),
    ],
)
def test_a_header_names_its_scanners_family(manufacturer, model, family):
    assert scanner_family(manufacturer, model) == family


@given(st.text(max_size=40), st.text(max_size=40))
def test_nothing_that_a_header_says_leaves_it_but_words_of_the_list(manufacturer, model):
    for maker in (manufacturer, f"SIEMENS {manufacturer}"):
        assert scanner_family(maker, model) in {None, *SCANNERS}
