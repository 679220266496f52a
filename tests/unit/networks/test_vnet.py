from dataclasses import replace

import pytest
import torch

from femseg.networks.choice import network_settings
from femseg.networks.network import foreground_probability
from femseg.networks.vnet import VNet, VNetSettings
from femseg.settings import as_plain

SMALL = VNetSettings(base_channels=4, convolutions_down=(1, 2, 2), convolutions_up=(2, 1), kernel_size=3)


@pytest.mark.parametrize(
    ("strides", "bottom"), [("paper", (256, 64, 4, 4)), ("isotropic", (256, 32, 4, 4))], ids=["paper", "isotropic"]
)
def test_the_bottom_of_a_512_by_64_by_64_input_has_the_stated_size(strides, bottom):
    with torch.device("meta"):
        network = VNet(VNetSettings(strides=strides), input_channels=1)
        sizes = []
        network.down[-1].register_forward_hook(lambda _module, _inputs, output: sizes.append(tuple(output.shape)))
        logits = network(torch.empty(2, 1, 512, 64, 64))
    assert sizes == [(2, *bottom)]
    assert network.settings.bottom_shape((512, 64, 64)) == bottom
    assert logits.shape == (2, 2, 512, 64, 64)


def test_the_number_of_parameters_is_the_one_counted_by_hand():
    with torch.device("meta"):
        network = VNet(VNetSettings(normalisation="none"), input_channels=1)
    k, prelu, bias = 125, 1, 1
    first = 1 * 16 * k + 16 * (bias + prelu)
    down = sum(
        (c // 2) * c * 8 + c * (bias + prelu) + n * (c * c * k + c * (bias + prelu))
        for c, n in ((32, 2), (64, 3), (128, 3), (256, 3))
    )
    up = sum(
        c_in * (c // 2) * 8 + (c // 2) * (bias + prelu) + n * (c * c * k + c * (bias + prelu))
        for c_in, c, n in ((256, 256, 3), (256, 128, 3), (128, 64, 2), (64, 32, 1))
    )
    last = 32 * 2 + 2
    assert sum(p.numel() for p in network.parameters()) == first + down + up + last


def test_sizes_that_do_not_divide_are_refused_with_a_sentence_naming_them():
    with pytest.raises(ValueError, match=r"512 × 60 × 64 voxels .* 16 × 16 × 16 .* nearest size that does is 512 × 64"):
        VNetSettings().bottom_shape((512, 60, 64))
    with pytest.raises(ValueError, match=r"8 × 6 × 8 voxels"):
        VNet(SMALL, 1)(torch.zeros(1, 1, 8, 6, 8))


def test_a_wrong_number_of_channels_is_refused_with_the_shape():
    with pytest.raises(ValueError, match=r"expected a network input of shape \(B, 1, Z, Y, X\), got \(1, 2, 8, 8, 8\)"):
        VNet(SMALL, 1)(torch.zeros(1, 2, 8, 8, 8))
    with pytest.raises(ValueError, match="divisor of base_channels"):
        VNet(SMALL, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_channels": 5}, "base_channels"),
        ({"convolutions_up": (1,)}, "one entry fewer"),
        ({"convolutions_down": (1, 0, 1), "convolutions_up": (1, 1)}, "at least 1 convolution"),
        ({"kernel_size": 4}, "kernel_size"),
        ({"normalisation": "layer"}, "normalisation"),
        ({"normalisation": "group", "groups": 3}, "groups"),
        ({"dropout": 1.0}, "dropout"),
        ({"strides": "anisotropic"}, "strides"),
        ({"strides": ((2, 2, 2),)}, "4 triples"),
    ],
)
def test_settings_that_make_no_network_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        VNetSettings(**changes)


@pytest.mark.parametrize(
    "settings", [VNetSettings(strides="paper"), VNetSettings(strides=((1, 2, 2),) + ((2, 2, 2),) * 3)]
)
def test_settings_survive_the_round_trip_through_json_values(settings):
    assert network_settings(as_plain(settings)) == settings


@pytest.mark.parametrize("normalisation", ["none", "instance", "group", "batch"])
def test_every_normalisation_gives_finite_logits_of_the_inputs_size_and_a_gradient_to_every_weight(normalisation):
    settings = VNetSettings(
        base_channels=4,
        strides=((2, 2, 2), (1, 2, 2)),
        convolutions_down=(1, 1, 2),
        convolutions_up=(1, 1),
        kernel_size=3,
        normalisation=normalisation,
        groups=2,
    )
    network = VNet(settings, input_channels=2)
    logits = network(torch.rand(2, 2, 4, 8, 8))
    assert logits.shape == (2, 2, 4, 8, 8)
    logits.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_dropout_acts_in_training_only():
    settings = VNetSettings(base_channels=4, convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=3, dropout=0.5)
    network, volume = VNet(settings, 1), torch.rand(1, 1, 8, 8, 8)
    assert not torch.equal(network(volume), network(volume))
    network.eval()
    assert torch.equal(network(volume), network(volume))


def test_activation_checkpointing_changes_memory_but_not_one_gradient():
    network, volume = VNet(SMALL, 1), torch.rand(1, 1, 8, 8, 8)
    gradients = []
    for network.activation_checkpointing in (False, True):
        network.zero_grad()
        network(volume).square().sum().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_foreground_probability_is_the_softmax_of_two_channels_in_float32():
    logits = torch.randn(2, 2, 3, 4, 5, dtype=torch.bfloat16)
    probability = foreground_probability(logits)
    assert probability.dtype == torch.float32
    torch.testing.assert_close(probability, logits.float().softmax(dim=1)[:, 1])
    with pytest.raises(ValueError, match="B, 2, Z, Y, X"):
        foreground_probability(torch.zeros(1, 1, 2, 2, 2))


def test_deep_supervision_gives_coarser_logits_in_training_alone_and_a_gradient_to_every_weight():
    settings = VNetSettings(
        base_channels=4, convolutions_down=(1, 1, 1, 1), convolutions_up=(1, 1, 1), kernel_size=3, deep_supervision=2
    )
    network = VNet(settings, 1)
    volume = torch.rand(1, 1, 16, 16, 16)
    logits = network.train()(volume)
    assert [tuple(one.shape[2:]) for one in logits] == [(16, 16, 16), (8, 8, 8), (4, 4, 4)]
    sum(one.square().sum() for one in logits).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.eval()(volume).shape == (1, 2, 16, 16, 16)
    with pytest.raises(ValueError, match="deep_supervision: expected 0 to 2 stages, got 3"):
        replace(settings, deep_supervision=3)
