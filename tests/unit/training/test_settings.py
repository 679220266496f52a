from dataclasses import fields, replace

import pytest

from femseg.networks.vnet import VNetSettings
from femseg.training.settings import (
    AugmentationSettings,
    OptimisationSettings,
    TrainSettings,
    fewest_workers,
    what_decides,
)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (TrainSettings, {"learning_rate": "1e-4"}, "in quotes it is text"),
        (TrainSettings, {"learning_rate": 0.0}, "learning_rate"),
        (TrainSettings, {"learning_rate": float("nan")}, "learning_rate"),
        (TrainSettings, {"max_iterations": 0}, "max_iterations: expected at least 1, got 0"),
        (TrainSettings, {"workers": 0}, "workers"),
        (TrainSettings, {"seed": -1}, "seed"),
        (OptimisationSettings, {"precision": "float16"}, "precision: expected one of float32, bfloat16"),
        (OptimisationSettings, {"loss_denominator": "cubic"}, "loss_denominator"),
        (OptimisationSettings, {"optimizer": "sgd"}, "optimizer"),
        (OptimisationSettings, {"batch_size": 0}, "batch_size"),
        (OptimisationSettings, {"batch_size": 4, "gradient_accumulation": 3}, "divisor of batch_size"),
        (AugmentationSettings, {"noise_sd": -0.1}, "noise_sd"),
    ],
)
def test_settings_out_of_range_are_refused_by_key(kind, values, message):
    with pytest.raises(ValueError, match=message):
        kind(**values)


def test_the_papers_optimisation_is_the_default():
    train, optimisation = TrainSettings(), OptimisationSettings()
    assert (train.learning_rate, train.max_iterations) == (1e-4, 10_000)
    assert (optimisation.batch_size, optimisation.optimizer, optimisation.schedule) == (2, "adam", "constant")
    assert not optimisation.augmentation.enabled


@pytest.mark.parametrize(
    ("how", "decides"),
    [({}, False), ({"normalisation": "batch"}, True), ({"dropout": 0.1}, True)],
    ids=["TR-12-samples-one-by-one", "TR-12-batch-statistics", "TR-12-dropout"],
)
def test_the_number_of_workers_decides_a_run_only_where_the_network_sees_a_share_as_a_whole(how, decides):
    one, two = (what_decides(TrainSettings(workers=workers), VNetSettings(**how)) for workers in (1, 2))
    assert (one != two) is decides


def test_how_often_a_run_is_saved_does_not_decide_it_but_its_seed_and_learning_rate_do():
    network, usual = VNetSettings(), TrainSettings()
    same = replace(usual, checkpoint_every=7, keep_checkpoints=9, use_gpu=True)
    assert what_decides(same, network) == what_decides(usual, network)
    others = [replace(usual, seed=9), replace(usual, learning_rate=1.0), replace(usual, max_iterations=3)]
    assert all(what_decides(other, network) != what_decides(usual, network) for other in others)
    assert set(what_decides(usual, network)) < {field.name for field in fields(TrainSettings)}


@pytest.mark.parametrize(
    ("least", "network", "fewest"),
    [
        (0, {}, 4),
        (1, {}, 1),
        (2, {"normalisation": "instance"}, 2),
        (1, {"normalisation": "batch"}, 4),
        (1, {"dropout": 0.1}, 4),
    ],
)
def test_fewer_workers_go_on_only_if_that_is_allowed_and_changes_nothing_TR_12(least, network, fewest):
    train = TrainSettings(workers=4, least_workers=least)
    assert fewest_workers(train, replace(VNetSettings(), **network)) == fewest
