import math

import pytest
import torch

from femseg.training.settings import OptimisationSettings
from femseg.training.validation import hard_dice, validation_score


def test_hard_dice_cuts_at_one_half_and_defines_empty_masks():
    target = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 2, 2)
    foreground = torch.tensor([0.5, 0.49, 0.9, 0.1]).reshape(1, 2, 2)
    empty = torch.zeros(1, 2, 2)
    assert hard_dice(foreground, target) == 0.5
    assert hard_dice(empty, empty) == 1.0
    assert hard_dice(empty, target) == 0.0
    assert math.isnan(hard_dice(torch.full((1, 2, 2), torch.nan), target))


def test_the_score_is_the_mean_over_cases_and_leaves_the_network_in_training_mode(spheres):
    network, cases = spheres.new_network().train(), spheres.SphereCases(range(3))
    score = validation_score(network, cases, OptimisationSettings(), iteration=7, device=torch.device("cpu"))
    assert network.training
    assert score.iteration == 7
    assert [*score.dice_by_case] == cases.case_ids
    assert score.dice == pytest.approx(sum(score.dice_by_case.values()) / 3)
    network.eval()
    for case_id, dice in score.dice_by_case.items():
        logits = network(torch.from_numpy(cases.input_czyx(case_id))[None])
        assert dice == hard_dice(logits.softmax(1)[0, 1], torch.from_numpy(cases.target_zyx(case_id)).float())


def test_validation_without_cases_is_refused(spheres):
    with pytest.raises(ValueError, match="no validation cases"):
        validation_score(
            spheres.new_network(),
            spheres.SphereCases([]),
            OptimisationSettings(),
            iteration=1,
            device=torch.device("cpu"),
        )
