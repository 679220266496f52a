"""Two looks at a CT: alike where a network's answer does not depend on how it looks, and else not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bright_network import Bright, bright_ct, bright_model, leg
from tiny_model import write_tiny_package

from femseg.inference import second_look as looks
from femseg.inference.second_look import second_look
from femseg.inference.segment import onto_ct_grid, segment
from femseg.networks.package import load_package
from femseg.volumes.grid import MaskVolume


@pytest.fixture(scope="module")
def package():
    return bright_model()


@pytest.fixture(scope="module")
def ct():
    return bright_ct(leg())


def agreement(package, ct, found):
    return looks.agreement(found, second_look(package, ct, found))


class OneSided(Bright):
    """Knows femur only in the half of what it sees with the smaller x."""

    def forward(self, input_bczyx):
        logits = super().forward(input_bczyx)
        logits[..., logits.shape[-1] // 2 :] -= torch.tensor([0.0, 60.0])[None, :, None, None, None]
        return logits


def test_a_network_that_looks_at_each_voxel_alone_says_the_same_twice(package, ct):
    found = segment(package, ct)
    assert found.mask.femur_zyx.any()
    assert agreement(package, ct, found) == 1.0


def test_a_network_whose_answer_hangs_on_where_it_looks_disagrees_with_itself(package, ct):
    one_sided = replace(package, network=OneSided(package.network.settings, 1))
    assert agreement(one_sided, ct, segment(one_sided, ct)) < 0.9


class Counting(Bright):
    """Counts the voxels that it is shown."""

    shown = 0

    def forward(self, input_bczyx):
        Counting.shown += input_bczyx[:, 0].numel()
        return super().forward(input_bczyx)


@pytest.mark.parametrize("width", [31, 32, 33, 56, 60, 80])
def test_a_second_look_is_at_most_half_of_a_first_one_with_mirrored_windows(package, width):
    femur = leg()
    part = np.s_[40:80, :32, :width]
    grid = replace(femur.grid, shape_zyx=femur.femur_zyx[part].shape)
    everywhere = bright_ct(MaskVolume(femur_zyx=np.ones(grid.shape_zyx, np.bool_), grid=grid))
    windows = replace(package.model.windows, mirror=True)
    counting = replace(
        package, network=Counting(package.network.settings, 1), model=replace(package.model, windows=windows)
    )
    Counting.shown = 0
    found = segment(counting, everywhere)
    first, Counting.shown = Counting.shown, 0
    second_look(counting, everywhere, found)
    assert 0 < Counting.shown <= first / 2


def test_a_network_that_sees_the_scan_whole_looks_at_its_mirror_image(tmp_path, ct):
    write_tiny_package(tmp_path / "package")
    whole = load_package(tmp_path / "package")
    found = segment(whole, ct)
    with torch.inference_mode():
        mirrored = torch.from_numpy(found.network_input_czyx[None, ..., ::-1].copy())
        logits = whole.network.eval()(mirrored)
    expected = onto_ct_grid(torch.softmax(logits, dim=1)[0, 1].numpy()[..., ::-1], found.network_grid, ct.grid)
    second = second_look(whole, ct, found)
    assert expected.any()
    assert not expected.all()
    assert np.mean(second != expected) < 1e-4  # where the probability is a half to rounding


def test_where_nothing_is_found_there_is_no_agreement(package, ct):
    water = replace(ct, hu_zyx=np.where(ct.hu_zyx > 500, 0.0, ct.hu_zyx).astype(np.float32))
    assert agreement(package, water, segment(package, water)) == 0.0
