"""Gradients in bfloat16 against the same network in float64, at every shape that a plan or a patch can reach."""

import itertools

import pytest
import torch

from femseg.networks.layers import Conv3d
from femseg.networks.vnet import VNet, VNetSettings

CLOSE = 0.05  # of a gradient's norm, for one convolution: bfloat16 keeps 8 bits, garbage is off by 0.6 to 1e38
CLOSE_THROUGH_ALL = 0.3  # for a whole network, through which rounding adds up


def gradients(network, x_bczyx, precision, layout):
    network = network.to(memory_format=layout)
    network.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        y = network(x_bczyx.contiguous(memory_format=layout))
    y.square().sum().backward()
    return {name: p.grad.double().clone() for name, p in network.named_parameters() if p.grad is not None}


def worst_difference(network, x_bczyx, layout):
    """Of several calls, after memory was filled with infinities: what is read unwritten shows."""
    exact = gradients(network.double(), x_bczyx.double(), "float64", torch.contiguous_format)
    network.float()
    worst = 0.0
    for _ in range(4):
        junk = [torch.full((1000, 1000), float("inf")) for _ in range(2)]
        del junk
        found = gradients(network, x_bczyx, "bfloat16", layout)
        for name, expected in exact.items():
            difference = (found[name] - expected).norm() / expected.norm().clamp(min=1e-9)
            worst = max(worst, float(difference) if torch.isfinite(difference) else float("inf"))
    return worst


LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=["plain", "last"])


@LAYOUTS
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("channels", [8, 64])
def test_a_convolution_is_right_whatever_its_input_s_size(channels, kernel, layout):
    for size_zyx in (
        itertools.product((1, 2, 4, 6), (1, 2, 4), (1, 4)) if channels == 8 else ((4, 4, 4), (6, 1, 4), (2, 2, 2))
    ):
        torch.manual_seed(0)
        convolution = Conv3d(channels, channels, kernel, padding=kernel // 2)
        difference = worst_difference(convolution, torch.randn(2, channels, *size_zyx), layout)
        assert difference < CLOSE, (size_zyx, difference)


@LAYOUTS
@pytest.mark.parametrize(("edge", "kernel", "normalisation"), [(16, 3, "none"), (32, 3, "instance"), (32, 5, "none")])
def test_a_network_on_small_patches_is_right(edge, kernel, normalisation, layout):
    """Four compressions leave 1 or 2 voxels at the bottom, where every kernel is larger than the feature map."""
    convolutions = {"convolutions_down": (1, 1, 1, 1, 1), "convolutions_up": (1, 1, 1, 1)}
    torch.manual_seed(0)
    network = VNet(VNetSettings(base_channels=8, kernel_size=kernel, normalisation=normalisation, **convolutions), 1)
    assert worst_difference(network, torch.randn(1, 1, edge, edge, edge), layout) < CLOSE_THROUGH_ALL
