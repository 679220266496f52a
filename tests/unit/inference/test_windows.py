import numpy as np
import pytest
import torch
from tiny_model import TINY_NETWORK

from femseg.inference.windows import (
    at_once_in,
    mirrored_too,
    scan_probability,
    spare_voxels,
    window_starts,
    windowed_probability,
    windows_at_once,
)
from femseg.networks.network import foreground_probability
from femseg.networks.package_files import Windows
from femseg.networks.vnet import VNet

WINDOWS = Windows(shape_zyx=(8, 8, 8), overlap=0.5)
INPUT = np.random.default_rng(1).random((1, 24, 20, 17)).astype(np.float32)


def itself(batch):
    return batch[:, 0]


@pytest.mark.parametrize(("size", "window", "overlap"), [(n, 8, o) for n in (8, 9, 20, 100) for o in (0.0, 0.5, 0.9)])
def test_windows_cover_an_axis_from_end_to_end(size, window, overlap):
    starts = window_starts(size, window, overlap)
    seen = {voxel for start in starts for voxel in range(start, start + window)}
    assert seen == set(range(size))


def test_what_a_network_says_of_each_voxel_alone_comes_back():
    np.testing.assert_allclose(windowed_probability(itself, INPUT, WINDOWS), INPUT[0], atol=1e-3)


def knows_the_middle(batch):
    """Of each window no more than the middle half of its slices."""
    slices = batch.shape[2]
    middle = (torch.arange(slices) - (slices - 1) / 2).abs() < slices / 4
    return batch[:, 0] * middle[:, None, None]


@pytest.mark.parametrize("slices", [1, 3, 8, 13, 24])
def test_a_scan_s_ends_are_seen_in_the_middle_of_a_window_too(slices):
    scan = np.ones((1, slices, 8, 8), np.float32)
    assert scan_probability(knows_the_middle, scan, WINDOWS)[[0, -1]].min() > 0.4
    if slices >= 8:
        assert windowed_probability(knows_the_middle, scan, WINDOWS)[[0, -1]].max() == 0


@pytest.mark.parametrize("slices", [1, 3, 8, 13, 24])
def test_what_a_network_says_of_each_voxel_of_a_scan_comes_back_in_its_place(slices):
    scan = INPUT[:, :slices]
    np.testing.assert_allclose(scan_probability(itself, scan, WINDOWS), scan[0], atol=1e-3)


@pytest.mark.parametrize("slices", [2, 4, 6, 8, 12])
def test_a_scan_s_ends_count_alike(slices):
    scan = INPUT[:, :slices]
    np.testing.assert_allclose(
        scan_probability(knows_the_middle, scan[:, ::-1], WINDOWS)[::-1],
        scan_probability(knows_the_middle, scan, WINDOWS),
        atol=2e-3,
    )


def test_windows_without_a_wanted_voxel_are_not_computed_and_hold_nothing():
    wanted = np.zeros(INPUT.shape[1:], bool)
    wanted[2, 2, 2] = True
    asked = []

    def counted(batch):
        asked.append(len(batch))
        return batch[:, 0]

    found = windowed_probability(counted, INPUT, WINDOWS, wanted_zyx=wanted)
    assert sum(asked) == 1
    np.testing.assert_allclose(found[:8, :8, :8], INPUT[0, :8, :8, :8], atol=1e-3)
    found[:8, :8, :8] = 0
    assert not found.any()


def test_wanted_voxels_are_found_in_a_volume_that_is_smaller_than_a_window():
    small = INPUT[:, :5, :, :6]
    wanted = np.zeros(small.shape[1:], bool)
    wanted[4, 19, 5] = True
    found = windowed_probability(itself, small, WINDOWS, wanted_zyx=wanted)
    np.testing.assert_allclose(found[:, 12:], small[0][:, 12:], atol=1e-3)


def test_the_mirror_image_is_averaged_in_its_own_place():
    def lopsided(batch):
        return batch[:, 0] * torch.linspace(0, 1, batch.shape[-1])

    found = mirrored_too(lopsided)(torch.ones(1, 1, 2, 2, 5))
    np.testing.assert_allclose(found, 0.5, atol=1e-6)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_batch_of_windows_finds_what_they_find_one_by_one(precision):
    torch.manual_seed(0)
    network = VNet(TINY_NETWORK, 1).eval()

    def predict(batch):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
            return foreground_probability(network(batch))

    with torch.inference_mode():
        one, many = (windowed_probability(predict, INPUT, WINDOWS, at_once=at_once) for at_once in (1, 5))
    assert one.std() > 0.01
    rounding = 1e-3 if precision == torch.float32 else 8e-3
    np.testing.assert_allclose(one.astype(np.float32), many.astype(np.float32), atol=rounding)


def test_a_processor_takes_one_window_at_a_time_and_a_gpu_as_many_as_an_eighth_of_its_memory_holds():
    assert windows_at_once(itself, (1, 8, 8, 8), torch.device("cpu")) == 1
    gib = 2**30
    assert [at_once_in(gpu * gib, gib // 4) for gpu in (1, 8, 24, 80)] == [1, 4, 12, 16]


@pytest.mark.parametrize("size", [20, 63, 64, 65, 112, 113, 160, 300])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_spare_voxels_are_as_many_as_make_no_more_windows(size, overlap):
    spare, count = spare_voxels(size, 64, overlap), len(window_starts(max(size, 64), 64, overlap))
    assert len(window_starts(size + spare, 64, overlap)) == count
    assert len(window_starts(size + spare + 1, 64, overlap)) == count + 1
