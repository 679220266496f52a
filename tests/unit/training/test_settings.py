import pytest

from femseg.training.settings import AugmentationSettings, OptimisationSettings, TrainSettings


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (TrainSettings, {"learning_rate": "1e-4"}, "PyYAML reads 1e-4 as text"),
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
