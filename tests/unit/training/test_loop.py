import pytest
import torch

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.networks.vnet import VNet, VNetSettings
from femseg.training.batches import Batch
from femseg.training.settings import OptimisationSettings
from femseg.training.trainer import build_optimizer, learning_rate_at, train_steps

CPU = torch.device("cpu")


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
            base_channels=4,
            convolutions_down=(1, 1),
            convolutions_up=(1,),
            kernel_size=3,
            normalisation=normalisation,
        ),
        1,
    )


def steps_of(network, batches, **settings):
    optimisation = OptimisationSettings(**settings)
    optimizer = build_optimizer(network, optimisation)
    return train_steps(network, batches, optimizer, optimisation, learning_rate=lambda _: 1e-2, device=CPU), optimizer


def bits(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("normalisation", ["instance", "batch"])
def test_tr_09_a_nan_voxel_touches_neither_weights_nor_running_statistics_nor_optimiser(normalisation):
    network = network_of(normalisation)
    steps, optimizer = steps_of(network, [batch(1), batch(2, broken=True), batch(3)])
    assert next(steps).applied
    before, moments = bits(network), [m["exp_avg"].clone() for m in optimizer.state.values()]
    report = next(steps)
    assert not report.applied
    assert report.refused_in_a_row == 1
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(torch.equal(m["exp_avg"], old) for m, old in zip(optimizer.state.values(), moments, strict=True))
    report = next(steps)
    assert report.applied
    assert report.refused_in_a_row == 0
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_tr_09_three_such_steps_in_a_row_stop_with_step_cases_and_gradient_norm():
    steps, _ = steps_of(network_of(), [batch(1), *(batch(n, broken=True) for n in (2, 3, 4, 5))])
    with pytest.raises(Refusal) as stopped:
        list(steps)
    fault = stopped.value.faults[0]
    assert stopped.value.exit_code == ExitCode.TRAINING_FAILED
    assert (fault.id, fault.file) == ("TR-09", "iteration 4")
    assert "gradient norm nan for cases case-a, case-b; 3 steps in a row" in fault.problem


def test_the_loss_falls_on_a_task_it_can_learn():
    steps, _ = steps_of(network_of(), [batch(1 + n % 2) for n in range(40)])
    losses = [step.dice_loss for step in steps]
    assert losses[-1] < 0.5 * losses[0]


def test_micro_batches_and_channels_last_give_the_gradient_of_the_whole_batch():
    norms = []
    for settings in ({}, {"gradient_accumulation": 2}, {"channels_last": False}, {"activation_checkpointing": True}):
        steps, _ = steps_of(network_of(), [batch(1)], **settings)
        norms.append(next(steps).gradient_norm)
    assert norms == pytest.approx([norms[0]] * 4, rel=1e-4)


def test_bfloat16_autocast_leaves_weights_and_gradients_in_float32():
    network = network_of()
    steps, _ = steps_of(network, [batch(1)], precision="bfloat16")
    assert next(steps).applied
    assert {p.dtype for p in network.parameters()} == {p.grad.dtype for p in network.parameters()} == {torch.float32}


def test_the_learning_rate_is_a_function_of_the_iteration_alone():
    constant, cosine = OptimisationSettings(), OptimisationSettings(schedule="cosine")
    rates = [learning_rate_at(n, initial=1e-4, last_iteration=100, settings=cosine) for n in (1, 51, 100)]
    assert rates[0] == 1e-4
    assert rates[1] == pytest.approx(0.5e-4)
    assert 0 < rates[2] < 1e-6
    assert learning_rate_at(77, initial=1e-4, last_iteration=100, settings=constant) == 1e-4
