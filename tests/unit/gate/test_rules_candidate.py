"""The proposed model is the best on the validation cases, and none that is not a number."""

import math

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.gate.rules import best_by_validation


def test_the_highest_validation_dice_is_proposed_with_its_reason():
    candidate = best_by_validation({"raw": 0.81, "gradient": 0.93})
    assert candidate.input_mode == "gradient"
    assert candidate.reason == "validation Dice 0.9300 against raw 0.8100"


def test_of_equals_the_first_named_is_proposed():
    assert best_by_validation({"gradient": 0.9, "raw": 0.9}).input_mode == "gradient"
    assert best_by_validation({"raw": 0.9, "gradient": 0.9}).input_mode == "raw"


@pytest.mark.parametrize("unfit", [math.nan, math.inf, -math.inf, 1.7976931348623157e308, -0.1, 1.01])
def test_a_dice_that_is_none_is_never_proposed_SE_03(unfit):
    candidate = best_by_validation({"raw": unfit, "gradient": 0.1})
    assert candidate.input_mode == "gradient"
    assert candidate.validation_dice == {"gradient": 0.1}


@pytest.mark.parametrize("dice", [{}, {"raw": math.nan}, {"raw": math.inf, "gradient": -1.0}])
def test_without_a_fit_model_nothing_is_proposed_RG_02(dice):
    with pytest.raises(Refusal) as refused:
        best_by_validation(dice)
    assert refused.value.exit_code == ExitCode.GATE_REFUSED
    assert "nothing was registered" in str(refused.value)
