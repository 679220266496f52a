from dataclasses import replace

import pytest
import torch

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.networks.vnet import VNet, VNetSettings
from femseg.training.batches import Batch
from femseg.training.context import TrainerContext
from femseg.training.device import learning_rate_at
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.trainer import Trainer


def batch(iteration, *, broken=False, size=2):
    generator = torch.Generator().manual_seed(iteration)
    volume = torch.rand(size, 1, 8, 8, 8, generator=generator)
    if broken:
        volume[0, 0, 1, 2, 3] = torch.nan
    target = (volume[:, 0] > 0.5).float()
    return Batch(iteration=iteration, case_ids=("case-a", "case-b"), input_bczyx=volume, target_bzyx=target)


def network_of(normalisation="instance"):
    torch.manual_seed(0)
    return VNet(
        VNetSettings(
            base_channels=4, convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=3, normalisation=normalisation
        ),
        1,
    )


@pytest.fixture
def trained(spheres, tmp_path):
    """Train on given batches, and look at the trainer after each step; the trainer, which has ended."""

    def train(network, batches, *, look=lambda trainer: None, **optimisation):
        trainer = Trainer(
            network,
            spheres.SphereCases(range(1)),
            spheres.SphereCases(range(100, 101)),
            TrainSettings(learning_rate=1e-2, max_iterations=len(batches)),
            OptimisationSettings(**optimisation),
            folder=tmp_path / str(len(list(tmp_path.iterdir()))),
            fingerprint={},
            context=TrainerContext(progress=lambda *_: look(trainer)),
        )
        trainer.batches = lambda: iter(batches)
        trainer.fit()
        return trainer

    return train


@pytest.mark.parametrize("normalisation", ["instance", "batch"])
def test_tr_09_a_nan_voxel_touches_neither_weights_nor_running_statistics_nor_optimiser(normalisation, trained):
    seen = []

    def look(trainer):
        weights = {name: value.clone() for name, value in trainer.network.state_dict().items()}
        moments = [moment["exp_avg"].clone() for moment in trainer.optimizer.state.values()]
        seen.append((trainer.state.refused_in_a_row, weights, moments))

    trained(network_of(normalisation), [batch(1), batch(2, broken=True), batch(3)], look=look)
    (_, weights, moments), (_, weights_after, moments_after), (_, weights_at_end, _) = seen
    assert [refused for refused, _, _ in seen] == [0, 1, 0]
    assert all(torch.equal(value, weights[name]) for name, value in weights_after.items())
    assert all(torch.equal(now, before) for now, before in zip(moments_after, moments, strict=True))
    assert all(torch.isfinite(value).all() for value in weights_at_end.values())
    assert any(not torch.equal(value, weights[name]) for name, value in weights_at_end.items())


def test_tr_09_three_such_steps_in_a_row_stop_with_step_cases_and_gradient_norm(trained):
    with pytest.raises(Refusal) as stopped:
        trained(network_of(), [batch(1), *(batch(n, broken=True) for n in (2, 3, 4, 5))])
    fault = stopped.value.faults[0]
    assert stopped.value.exit_code == ExitCode.TRAINING_FAILED
    assert (fault.id, fault.file) == ("TR-09", "iteration 4")
    assert "gradient norm nan for cases case-a, case-b; 3 steps in a row" in fault.problem


def test_the_loss_falls_on_a_task_it_can_learn(trained):
    batches = [replace(batch(1 + n % 2), iteration=n + 1) for n in range(40)]
    losses = [row.train_dice_loss for row in trained(network_of(), batches).state.rows]
    assert losses[-1] < 0.5 * losses[0]


def test_micro_batches_and_channels_last_give_the_gradient_of_the_whole_batch(trained):
    norms = []
    for settings in ({}, {"gradient_accumulation": 2}, {"channels_last": False}, {"activation_checkpointing": True}):
        norms.append(trained(network_of(), [batch(1)], **settings).gradient_norm)
    assert norms == pytest.approx([norms[0]] * 4, rel=1e-4)


def test_bfloat16_autocast_leaves_weights_and_gradients_in_float32(trained):
    network = network_of()
    assert trained(network, [batch(1)], precision="bfloat16").state.refused_in_a_row == 0
    assert {p.dtype for p in network.parameters()} == {p.grad.dtype for p in network.parameters()} == {torch.float32}


def test_the_learning_rate_is_a_function_of_the_iteration_alone():
    train = TrainSettings(learning_rate=1e-4, max_iterations=100)
    constant, cosine = OptimisationSettings(), OptimisationSettings(schedule="cosine")
    rates = [learning_rate_at(n, train, cosine) for n in (1, 51, 100)]
    assert rates[0] == 1e-4
    assert rates[1] == pytest.approx(0.5e-4)
    assert 0 < rates[2] < 1e-6
    assert learning_rate_at(77, train, constant) == 1e-4
