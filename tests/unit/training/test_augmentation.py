import math

import numpy as np
import pytest
import torch

from femseg.training.augmentation import Change, augmented, drawn_change
from femseg.training.settings import AugmentationSettings


def ball(shape=(32, 16, 16), spacing=(1.0, 2.0, 2.0), centre_mm=(0.0, 0.0, 0.0), half_axes_mm=(6.0, 10.0, 6.0)):
    places = [(np.arange(n) + 0.5 - n / 2) * s - c for n, s, c in zip(shape, spacing, centre_mm, strict=True)]
    grid = np.meshgrid(*places, indexing="ij")
    return torch.from_numpy(sum((g / h) ** 2 for g, h in zip(grid, half_axes_mm, strict=True)) < 1).float()


def moved(mask, change, spacing=(1.0, 2.0, 2.0)):
    return augmented(mask[None], mask, change, spacing_mm_zyx=spacing)


def overlap(a, b):
    return float(2 * (a * b).sum() / (a.sum() + b.sum()))


def test_no_change_changes_nothing():
    mask = ball()
    volume, same = moved(mask, Change())
    torch.testing.assert_close(volume[0], mask, atol=1e-5, rtol=0)
    assert torch.equal(same, mask)


def test_a_quarter_turn_keeps_shapes_in_millimetres_on_a_volume_that_is_no_cube():
    even = (2.0, 2.0, 2.0)
    lying = ball(spacing=even, half_axes_mm=(7.0, 14.0, 7.0))
    _, turned = moved(lying, Change(rotation_rad_zyx=(0.0, 0.0, math.pi / 2)), spacing=even)
    assert overlap(turned, ball(spacing=even, half_axes_mm=(14.0, 7.0, 7.0))) > 0.95


@pytest.mark.parametrize(
    ("about", "turned_mm"), [(0, (8.0, 6.0, 14.0)), (1, (6.0, 14.0, 8.0)), (2, (14.0, 8.0, 6.0))], ids=["z", "y", "x"]
)
def test_a_quarter_turn_keeps_shapes_in_millimetres_where_the_spacing_is_uneven(about, turned_mm):
    shape, uneven = (40, 20, 14), (1.0, 2.0, 3.0)
    turn = Change(rotation_rad_zyx=tuple(math.pi / 2 if axis == about else 0.0 for axis in range(3)))
    _, turned = moved(ball(shape, uneven, half_axes_mm=(8.0, 14.0, 6.0)), turn, spacing=uneven)
    assert overlap(turned, ball(shape, uneven, half_axes_mm=turned_mm)) > 0.9


def test_scale_above_one_enlarges_by_its_cube():
    mask = ball(half_axes_mm=(8.0, 8.0, 8.0))
    _, larger = moved(mask, Change(scale=1.25))
    assert float(larger.sum() / mask.sum()) == pytest.approx(1.25**3, rel=0.1)


def test_translation_moves_by_the_stated_fraction_towards_higher_indices():
    _, shifted = moved(ball(half_axes_mm=(5.0, 5.0, 5.0)), Change(translation_zyx=(0.25, 0.0, 0.0)))
    assert overlap(shifted, ball(centre_mm=(8.0, 0.0, 0.0), half_axes_mm=(5.0, 5.0, 5.0))) > 0.95


def test_mirroring_flips_input_and_mask_left_to_right_alone():
    mask = ball(centre_mm=(4.0, 2.0, 6.0), half_axes_mm=(4.0, 4.0, 4.0))
    volume, flipped = moved(mask, Change(mirrored=True))
    assert torch.equal(flipped, mask.flip(2))
    torch.testing.assert_close(volume[0], mask.flip(2), atol=1e-4, rtol=0)


def test_intensity_changes_leave_the_mask_alone_and_do_what_they_say():
    mask = ball()
    volume, same = moved(mask, Change(contrast=1.2, brightness=0.1))
    assert torch.equal(same, mask)
    torch.testing.assert_close(volume[0], mask.mean() + 1.2 * (mask - mask.mean()) + 0.1, atol=1e-4, rtol=0)
    noisy, _ = moved(mask, Change(noise_sd=0.05, noise_seed=3))
    assert float((noisy[0] - mask).std()) == pytest.approx(0.05, rel=0.05)


def test_drawn_changes_stay_within_the_settings_and_mirror_only_where_allowed():
    settings = AugmentationSettings(enabled=True, mirror_left_right=True)
    changes = [drawn_change(settings, np.random.default_rng([1, n])) for n in range(200)]
    assert max(abs(a) for c in changes for a in c.rotation_rad_zyx) <= math.radians(settings.rotation_degrees)
    assert all(1 / 1.1 <= c.scale <= 1.1 and 1 / 1.2 <= c.contrast <= 1.2 for c in changes)
    assert {c.mirrored for c in changes} == {False, True}
    assert drawn_change(settings, np.random.default_rng([1, 7])) == changes[7]
    never = AugmentationSettings(enabled=True)
    assert not any(drawn_change(never, np.random.default_rng([1, n])).mirrored for n in range(50))
