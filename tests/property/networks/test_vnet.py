import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from femseg.networks.vnet import VNet, VNetSettings

strides = st.lists(st.tuples(*[st.integers(1, 3)] * 3), min_size=1, max_size=3).map(tuple)


@settings(max_examples=30, deadline=None)
@given(strides, st.tuples(*[st.integers(1, 20)] * 3))
def test_a_size_is_either_refused_or_comes_back_with_the_stated_bottom(strides, shape_zyx):
    levels = len(strides)
    network_settings = VNetSettings(
        base_channels=2,
        strides=strides,
        convolutions_down=(1,) * (levels + 1),
        convolutions_up=(1,) * levels,
        kernel_size=3,
        normalisation="none",
    )
    factors = [math.prod(stride[axis] for stride in strides) for axis in range(3)]
    with torch.device("meta"):
        network, volume = VNet(network_settings, 1), torch.empty(1, 1, *shape_zyx)
    if any(size % factor for size, factor in zip(shape_zyx, factors, strict=True)):
        with pytest.raises(ValueError, match="does not divide by this V-Net's strides"):
            network(volume)
    else:
        bottom = tuple(size // factor for size, factor in zip(shape_zyx, factors, strict=True))
        assert network_settings.bottom_shape(shape_zyx) == (2 * 2**levels, *bottom)
        assert network(volume).shape == (1, 2, *shape_zyx)
