"""Two looks at a CT: alike where a network's answer does not depend on how it looks, and else not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bright_network import Bright, bright_ct, bright_model, leg
from tiny_model import write_tiny_package

from femseg.inference import second_look as looks
from femseg.inference.second_look import second_look
from femseg.inference.segment import segment
from femseg.networks.package import load_package


@pytest.fixture(scope="module")
def package():
    return bright_model()


@pytest.fixture(scope="module")
def ct():
    return bright_ct(leg())


def agreement(package, found):
    return looks.agreement(package.model, found, second_look(package, found))


class OneSided(Bright):
    """Knows femur only in the half of what it sees with the smaller x."""

    def forward(self, input_bczyx):
        logits = super().forward(input_bczyx)
        logits[..., logits.shape[-1] // 2 :] -= torch.tensor([0.0, 60.0])[None, :, None, None, None]
        return logits


def test_a_network_that_looks_at_each_voxel_alone_says_the_same_twice(package, ct):
    found = segment(package, ct)
    assert agreement(package, found) == 1.0
    likely = found.network_probability_zyx >= 0.5
    np.testing.assert_allclose(second_look(package, found)[likely], found.network_probability_zyx[likely], atol=2e-3)


def test_a_network_whose_answer_hangs_on_where_it_looks_disagrees_with_itself(package, ct):
    one_sided = replace(package, network=OneSided(package.network.settings, 1))
    assert agreement(one_sided, segment(one_sided, ct)) < 0.9


def test_a_network_that_sees_the_scan_whole_looks_at_its_mirror_image(tmp_path, ct):
    write_tiny_package(tmp_path / "package")
    whole = load_package(tmp_path / "package")
    found = segment(whole, ct)
    with torch.inference_mode():
        mirrored = torch.from_numpy(found.network_input_czyx[None, ..., ::-1].copy())
        logits = whole.network.eval()(mirrored)
    expected = torch.softmax(logits, dim=1)[0, 1].numpy()[..., ::-1]
    np.testing.assert_allclose(second_look(whole, found), expected, atol=1e-5)


def test_where_nothing_is_found_there_is_no_agreement(package, ct):
    water = replace(ct, hu_zyx=np.where(ct.hu_zyx > 500, 0.0, ct.hu_zyx).astype(np.float32))
    assert agreement(package, segment(package, water)) == 0.0
