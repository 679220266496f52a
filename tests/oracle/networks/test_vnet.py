"""An independent V-Net, written from PAPER's description with functional operations only; same weights, same answer."""

import pytest
import torch
from torch.nn import functional as F

from femseg.networks.layers import ChannelPReLU, ChannelwiseNorm
from femseg.networks.vnet import CompressionStage, VNet, VNetSettings

STRIDES = ((2, 2, 2), (1, 2, 2))
SETTINGS = {
    "base_channels": 4,
    "strides": STRIDES,
    "convolutions_down": (1, 2, 3),
    "convolutions_up": (3, 1),
    "kernel_size": 5,
}


def independent_vnet(x, weights, normalisation):
    """`weights` in the order in which the network applies them."""
    weights = iter(weights)

    def after_convolution(x, add=0.0, bias=None):
        if bias is not None:
            x = x + bias.reshape(1, -1, 1, 1, 1)
        elif normalisation == "instance":
            scale, shift = (next(weights).reshape(1, -1, 1, 1, 1) for _ in range(2))
            mean = x.mean((2, 3, 4), keepdim=True)
            x = (x - mean) / (x.var((2, 3, 4), keepdim=True, unbiased=False) + 1e-5).sqrt() * scale + shift
        x = x + add
        slope = next(weights).reshape(1, -1, 1, 1, 1)
        return torch.maximum(x, torch.zeros(())) + slope * torch.minimum(x, torch.zeros(()))

    def convolved(x, add=0.0, **how):
        kernel = next(weights)
        bias = next(weights) if normalisation == "none" else None
        operation = F.conv_transpose3d if how.pop("expand", False) else F.conv3d
        return after_convolution(operation(x, kernel, **how), add, bias)

    def stage(x, count, residual):
        y = x
        for number in range(1, count + 1):
            y = convolved(y, residual if number == count else 0.0, padding=2)
        return y

    skipped = [stage(x, 1, torch.cat([x] * (4 // x.shape[1]), dim=1))]
    for stride, count in zip(STRIDES, (2, 3), strict=True):
        halved = convolved(skipped[-1], stride=stride)
        skipped.append(stage(halved, count, halved))
    y = skipped.pop()
    for stride, count in zip(reversed(STRIDES), (3, 1), strict=True):
        joined = torch.cat([convolved(y, stride=stride, expand=True), skipped.pop()], dim=1)
        y = stage(joined, count, joined)
    logits = F.conv3d(y, next(weights), next(weights))
    assert next(weights, None) is None
    return logits


def in_order_of_use(network):
    """Weights layer by layer, each convolution's kernel and bias, its normalisation, its PReLU."""

    def of(convolution, normalisation, activation):
        return [*convolution.parameters(), *normalisation.parameters(), *activation.parameters()]

    def of_stage(stage):
        layers = zip(stage.convolutions, stage.normalisations, stage.activations, strict=True)
        return [weight for layer in layers for weight in of(*layer)]

    found = of_stage(network.first)
    for part in network.down:
        found += of(part.down, part.normalisation, part.activation) + of_stage(part.stage)
    for part in network.up:
        found += of(part.up, part.normalisation, part.activation) + of_stage(part.stage)
    return [*found, *network.last.parameters()]


@pytest.mark.parametrize("normalisation", ["none", "instance"])
@pytest.mark.parametrize("input_channels", [1, 2])
@pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last_3d], ids=["contiguous", "channels-last"]
)
def test_same_weights_give_the_same_answer_and_gradients_as_an_independent_vnet(normalisation, input_channels, layout):
    torch.manual_seed(0)
    network = VNet(VNetSettings(**SETTINGS, normalisation=normalisation), input_channels).double()
    network.to(memory_format=layout)
    for weight in network.parameters():
        weight.data += 0.1 * torch.rand_like(weight)  # so that scales, shifts and slopes differ from channel to channel
    weights = [weight.detach().clone().requires_grad_() for weight in in_order_of_use(network)]
    volume = torch.rand(2, input_channels, 4, 8, 12, dtype=torch.float64)
    logits = network(volume.contiguous(memory_format=layout))
    expected = independent_vnet(volume, weights, normalisation)
    torch.testing.assert_close(logits, expected)
    logits.square().sum().backward()
    expected.square().sum().backward()
    for ours, theirs in zip(in_order_of_use(network), weights, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def test_a_compression_stage_is_monais_down_transition_when_both_normalise_by_batch():
    # MONAI's whole VNet cannot be matched: its last stage convolves to the output channels with a 5x5x5 kernel, its
    # expansion stages always drop channels, and one more activation stands ahead of every addition.
    from monai.networks.nets.vnet import DownTransition

    torch.manual_seed(0)
    ours = CompressionStage(
        4,
        (2, 2, 2),
        1,
        VNetSettings(base_channels=4, convolutions_down=(1, 1), convolutions_up=(1,), normalisation="batch"),
    )
    peer = DownTransition(spatial_dims=3, in_channels=4, nconvs=1, act="prelu", dropout_prob=None, bias=False)
    ours_by_name, unit = ours.state_dict(), peer.ops[0]
    peer.down_conv.weight.data = ours.down.weight.data.clone()
    unit.conv_block.conv.weight.data = ours.stage.convolutions[0].weight.data.clone()
    # MONAI has one more PReLU, between the last convolution and the addition: the identity when its slope is 1
    unit.act_function.weight.data.fill_(1.0)
    assert "down.bias" not in ours_by_name
    volume = torch.rand(2, 4, 8, 8, 8)
    torch.testing.assert_close(ours(volume), peer(volume))


@pytest.mark.parametrize("shape", [(1, 8, 3, 4, 5), (2, 16, 4, 4, 4), (3, 6, 1, 7, 3)])
def test_wide_prelu_matches_pytorchs_in_value_and_gradients(shape):
    torch.manual_seed(0)
    layer = ChannelPReLU(shape[1])
    layer.weight.data.uniform_(-0.5, 1.5)
    volume = torch.randn(shape)
    volume[0, 0, 0, 0] = 0.0
    for ours in (volume.contiguous(memory_format=torch.channels_last_3d).requires_grad_(),):
        theirs = volume.clone().requires_grad_()
        slopes = layer.weight.detach().clone().requires_grad_()
        upstream = torch.randn(shape)
        result, expected = layer(ours), F.prelu(theirs, slopes)
        result.backward(upstream)
        expected.backward(upstream)
        assert torch.equal(result, expected)
        assert result.is_contiguous(memory_format=torch.channels_last_3d)
        torch.testing.assert_close(ours.grad, theirs.grad)
        torch.testing.assert_close(layer.weight.grad, slopes.grad)


@pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last_3d], ids=["contiguous", "channels-last"]
)
def test_channelwise_norm_is_pytorchs_instance_norm_in_training_and_evaluation(layout):
    layer, peer = ChannelwiseNorm(6), torch.nn.InstanceNorm3d(6, affine=True)
    layer.weight.data.uniform_(0.5, 2.0)
    layer.bias.data.normal_()
    peer.load_state_dict(layer.state_dict())
    volume = torch.rand(3, 6, 4, 5, 3).contiguous(memory_format=layout)
    for training in (True, False):
        torch.testing.assert_close(layer.train(training)(volume), peer.train(training)(volume))
