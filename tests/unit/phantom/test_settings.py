from pathlib import Path

import pytest

from femseg.cohorts.settings import ArraySettings
from femseg.phantom import PhantomSettings
from femseg.phantom.acquisition import draw_acquisition
from femseg.phantom.patient import draw_patient
from femseg.settings import read_section


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("patients", 2),
        ("seed", -1),
        ("legs", "none"),
        ("spacing_mm_zyx", (3.0, 0.1, 1.8)),
        ("spacing_mm_zyx", (3.0, float("nan"), 1.8)),
        ("field_of_view_mm", 120.0),
        ("noise_hu", -1.0),
        ("noise_hu", float("nan")),
        ("cut_off_fraction", 1.5),
        ("implant_fraction", float("nan")),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_name(setting, value):
    with pytest.raises(ValueError, match=f"^{setting}: expected .* got "):
        PhantomSettings(**{setting: value})


def test_implants_are_off_by_default_and_some_femora_are_cut_off():
    settings = PhantomSettings()
    assert settings.implant_fraction == 0.0
    assert 0.0 < settings.cut_off_fraction < 0.5


def test_the_papers_phantoms_are_finer_than_its_network_grid_along_every_axis():
    paper = Path(__file__).parents[3] / "params.paper.yaml"
    settings = read_section(PhantomSettings, "phantom", file=paper)
    shape_zyx = read_section(ArraySettings, "arrays", file=paper).shape_zyx
    for index in range(settings.patients):
        grid = draw_acquisition(settings, index, draw_patient(settings.seed, index)).grid
        assert all(n > wanted for n, wanted in zip(grid.shape_zyx, shape_zyx, strict=True)), (index, grid.shape_zyx)
