"""What the figures owe to each training and to each input."""

import pytest

from femseg.reports.comparison.evidence import CurvePoint
from femseg.reports.comparison.score_strips import learning_curves
from femseg.reports.style import DARK, LIGHT, VIEWER


def curve(level):
    return [CurvePoint(iteration=n, train_dice_loss=level / n, validation_dice=1 - level / n) for n in range(1, 11)]


@pytest.mark.parametrize("changed", range(3))
@pytest.mark.parametrize("mode", ["raw", "gradient"])
def test_every_seeds_curve_is_drawn(mode, changed):
    curves = {name: [curve(0.9), curve(0.8), curve(0.7)] for name in ("raw", "gradient")}
    other = {name: list(of_mode) for name, of_mode in curves.items()}
    other[mode][changed] = curve(0.85)
    assert learning_curves(curves, theme=LIGHT) != learning_curves(other, theme=LIGHT)


@pytest.mark.parametrize("theme", [LIGHT, DARK, VIEWER])
def test_an_input_has_one_colour_beside_others_and_alone(theme):
    together = theme.mode_colours(("raw", "gradient", "both"))
    assert len(set(together.values())) == 3
    for mode, colour in together.items():
        assert theme.mode_colours((mode,)) == {mode: colour}
