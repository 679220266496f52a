"""Sliding windows against MONAI's."""

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer

from femseg.inference.windows import windowed_probability
from femseg.networks.package_files import Windows

ROUNDING = 2.0**-11  # of float16 below 1


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize(
    ("size", "window", "overlap"),
    [
        ((70, 50, 40), (32, 32, 16), 0.5),
        ((33, 32, 90), (32, 16, 16), 0.5),
        ((20, 50, 11), (32, 32, 16), 0.25),  # smaller than a window along two axes
        ((48, 48, 48), (16, 16, 16), 0.75),
    ],
)
def test_the_probability_is_that_of_monai_s_inferer(size, window, overlap, at_once):
    input_czyx = np.random.default_rng(0).random((2, *size)).astype(np.float32)
    kernel = torch.randn(1, 2, 3, 3, 3, generator=torch.Generator().manual_seed(0))

    def network(batch):
        return torch.sigmoid(torch.nn.functional.conv3d(batch, kernel, padding=1))

    windows = Windows(shape_zyx=window, overlap=overlap)
    ours = windowed_probability(lambda batch: network(batch)[:, 0], input_czyx, windows, at_once=at_once)
    inferer = SlidingWindowInferer(window, sw_batch_size=at_once, overlap=overlap, mode="gaussian")
    theirs = inferer(torch.from_numpy(input_czyx)[None], network)[0, 0].numpy()
    assert ours.dtype == np.float16
    np.testing.assert_allclose(ours, theirs, atol=ROUNDING)
