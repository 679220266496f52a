from dataclasses import dataclass

import numpy as np
import pytest
import torch

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.inference.segment import femur_probability, segment
from femseg.networks.package_files import Architecture, ModelDescription, Windows
from femseg.volumes.grid import CtVolume, VoxelGrid
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputRecipe, network_grid


class BoneAbove(torch.nn.Module):
    """Femur where the first channel is above a level; as sure as a logistic curve of this steepness."""

    def __init__(self, level):
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(level))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x_bczyx):
        femur = 10 * (self.dropout(x_bczyx[:, 0]) - self.level)
        return torch.stack([torch.zeros_like(femur), femur], dim=1)


RECIPE = InputRecipe(
    input_mode="raw", shape_zyx=(32, 16, 16), raw_scaling=Scaling(kind="window", low=-1000.0, high=1000.0)
)
MODEL = ModelDescription(
    architecture=Architecture(settings={}, input_channels=1), input_mode="raw", input_recipe=RECIPE
)


@dataclass
class Package:
    network: torch.nn.Module
    refine: None = None
    model: ModelDescription = MODEL


def _ct():
    grid = VoxelGrid(
        shape_zyx=(30, 64, 48), spacing_mm_zyx=(1.7, 0.8, 0.9), direction_xyz=(0, 0, 1, -1, 0, 0, 0, -1, 0)
    )
    hu = np.full(grid.shape_zyx, -900, np.float32)
    hu[8:22, 20:50, 10:30] = 800
    return CtVolume(hu_zyx=hu, grid=grid)


def test_probability_is_the_softmax_of_the_femur_channel_in_evaluation_mode():
    network = BoneAbove(0.5).train()
    x = np.random.default_rng(0).random((1, 4, 5, 6)).astype(np.float32)
    probability = femur_probability(network, x)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-10 * (x[0] - 0.5))), rtol=1e-5)
    assert probability.dtype == np.float32
    assert network.training  # as it was


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=["IF-03-nan", "IF-03-inf"])
def test_a_probability_that_is_no_number_is_refused(value):
    network = BoneAbove(value)
    x = np.full((1, 2, 2, 2), np.inf, np.float32)
    with pytest.raises(Refusal, match="IF-03: case-7: the network gives 8 non-finite") as caught:
        femur_probability(network, x, name="case-7")
    assert caught.value.exit_code == ExitCode.TRAINING_FAILED


class Convolving(torch.nn.Module):
    """Notes in which type it computes."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv3d(1, 2, 3, padding=1)
        self.types = set()

    def forward(self, x_bczyx):
        logits = self.convolution(x_bczyx)
        self.types.add(logits.dtype)
        return logits


@pytest.mark.parametrize(
    ("windows", "quick", "computed_in"),
    [
        (None, True, torch.float32),
        (Windows(shape_zyx=(8, 8, 8)), True, torch.float32),
        (Windows(shape_zyx=(8, 8, 8), precision="bfloat16"), True, torch.bfloat16),
        (Windows(shape_zyx=(8, 8, 8), precision="bfloat16"), False, torch.float32),
    ],
)
def test_windows_are_computed_in_bfloat16_where_they_were_trained_so_and_it_is_quick(
    monkeypatch, windows, quick, computed_in
):
    monkeypatch.setattr("femseg.inference.segment._is_quick_in_bfloat16", lambda kind: quick)
    torch.manual_seed(0)
    network = Convolving()
    x = np.random.default_rng(0).random((1, 8, 8, 12)).astype(np.float32)
    probability = femur_probability(network, x, windows=windows)
    assert network.types == {computed_in}
    exact = femur_probability(network, x, windows=windows and Windows(shape_zyx=(8, 8, 8)))
    np.testing.assert_allclose(probability, exact, atol=0.01)


def test_a_read_only_array_can_be_segmented():
    x = np.zeros((1, 2, 2, 2), np.float32)
    x.setflags(write=False)
    assert femur_probability(BoneAbove(0.5), x).shape == (2, 2, 2)


def test_if_02_a_ct_comes_back_as_a_mask_on_its_own_grid():
    ct = _ct()
    segmentation = segment(Package(BoneAbove(0.5)), ct)
    assert segmentation.mask.grid == ct.grid
    assert segmentation.network_grid == network_grid(ct.grid, RECIPE)
    assert segmentation.network_probability_zyx.shape == RECIPE.shape_zyx
    bone = ct.hu_zyx > 0
    overlap = 2 * np.count_nonzero(segmentation.mask.femur_zyx & bone)
    assert overlap / (np.count_nonzero(segmentation.mask.femur_zyx) + np.count_nonzero(bone)) > 0.9


def test_if_07_the_same_study_twice_gives_the_same_bytes():
    one, two = (segment(Package(BoneAbove(0.5)), _ct()) for _ in range(2))
    assert one.mask.femur_zyx.tobytes() == two.mask.femur_zyx.tobytes()
    assert one.network_probability_zyx.tobytes() == two.network_probability_zyx.tobytes()
