import os
import subprocess
import sys
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.settings import as_plain, checked
from femseg.volumes.gradient import gradient_magnitude
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid, to_lps
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import (
    InputRecipe,
    channel,
    mask_on_network_grid,
    mask_remarks,
    network_grid,
    network_input,
    painted_input,
)

GRID = VoxelGrid(shape_zyx=(40, 24, 30), spacing_mm_zyx=(1.5, 0.8, 0.7), origin_mm_xyz=(5.0, -7.0, 100.0))
HU = np.random.default_rng(0).normal(0, 400, GRID.shape_zyx).astype(np.float32)
CT = CtVolume(hu_zyx=HU, grid=GRID)
PAPER = InputRecipe(input_mode="both", shape_zyx=(16, 8, 8))


def _resampled_by_simpleitk(array, grid, target):
    onto = sitk.ResampleImageFilter()
    onto.SetReferenceImage(target.image(np.zeros(target.shape_zyx, np.float32)))
    onto.SetInterpolator(sitk.sitkLinear)
    return sitk.GetArrayFromImage(onto.Execute(grid.image(array)))


def _min_max(values):
    return (values - values.min()) / (values.max() - values.min())


def test_the_gradient_is_taken_at_native_resolution_then_resampled_then_scaled():
    expected = _min_max(_resampled_by_simpleitk(gradient_magnitude(HU, GRID), GRID, network_grid(GRID, PAPER)))
    np.testing.assert_allclose(channel(CT, PAPER, "gradient"), expected, atol=1e-5)


def test_the_raw_channel_is_the_resampled_ct_scaled_by_its_own_least_and_greatest():
    expected = _min_max(_resampled_by_simpleitk(HU, GRID, network_grid(GRID, PAPER)))
    np.testing.assert_allclose(channel(CT, PAPER, "raw"), expected, atol=1e-5)


@pytest.mark.parametrize(("mode", "channels"), [("raw", 1), ("gradient", 1), ("both", 2)])
def test_each_input_mode_has_its_channels_in_order(mode, channels):
    recipe = InputRecipe(input_mode=mode, shape_zyx=(16, 8, 8))
    stacked = network_input(CT, recipe)
    assert stacked.shape == (channels, 16, 8, 8)
    assert stacked.dtype == np.float32
    assert (stacked.min(), stacked.max()) == (0.0, 1.0)
    for shown, alone in zip(stacked, recipe.channels, strict=True):
        assert np.array_equal(shown, channel(CT, recipe, alone))


@pytest.mark.parametrize("anti_aliasing", [False, True])
@pytest.mark.parametrize("mode", ["raw", "gradient"])
def test_a_scan_stored_in_any_of_48_orientations_gives_the_same_bytes(mode, anti_aliasing):
    recipe = InputRecipe(input_mode=mode, shape_zyx=(16, 8, 8), anti_aliasing=anti_aliasing)
    upright = channel(CT, recipe, mode)
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        turned = HU.transpose(axes)[tuple(slice(None, None, s) for s in signs)]
        direction = np.zeros((3, 3))
        for array_axis, (lps_array_axis, sign) in enumerate(zip(axes, signs, strict=True)):
            direction[2 - lps_array_axis, 2 - array_axis] = sign
        grid = VoxelGrid(
            shape_zyx=turned.shape,
            spacing_mm_zyx=tuple(GRID.spacing_mm_zyx[a] for a in axes),
            direction_xyz=tuple(direction.ravel().tolist()),
        )
        stored = CtVolume(hu_zyx=np.ascontiguousarray(turned), grid=grid)
        assert np.array_equal(to_lps(stored.hu_zyx, grid)[0], HU)
        assert np.array_equal(channel(stored, recipe, mode), upright)


PROGRAM = """
import hashlib, sys
import numpy as np, SimpleITK as sitk
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.network_input import InputRecipe, network_input
from femseg.volumes.grid import CtVolume
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(int(sys.argv[1]))
grid = VoxelGrid(shape_zyx=(90, 70, 60), spacing_mm_zyx=(1.5, 0.8, 0.7))
ct = CtVolume(hu_zyx=np.random.default_rng(0).normal(0, 400, grid.shape_zyx).astype(np.float32), grid=grid)
for anti_aliasing in (False, True):
    recipe = InputRecipe(input_mode="both", shape_zyx=(64, 16, 16), anti_aliasing=anti_aliasing)
    print(hashlib.sha256(network_input(ct, recipe).tobytes()).hexdigest())
"""


def test_pp_08_bytes_do_not_depend_on_the_number_of_threads():
    one, two = (
        subprocess.run(
            [sys.executable, "-c", PROGRAM, threads],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    )
    assert one == two
    assert len(one.split()) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=lambda value: f"PP-02-{value}")
@pytest.mark.parametrize("mode", ["raw", "gradient"])
def test_a_voxel_that_is_no_number_is_refused_with_case_and_step(mode, value):
    for at in [(0, 0, 0), (20, 11, 13), (39, 23, 29)]:
        broken = HU.copy()
        broken[at] = value
        with pytest.raises(Refusal, match="PP-02: case-7: 1 non-finite voxels after reading") as caught:
            channel(CtVolume(hu_zyx=broken, grid=GRID), PAPER, mode, name="case-7")
        assert caught.value.exit_code == ExitCode.INPUT_REFUSED


def test_pp_02_a_step_that_overflows_is_named():
    steep = np.full(GRID.shape_zyx, 3e38, np.float32)
    steep[:, :, :15] *= -1  # 6e38 over two columns of 0.7 mm is beyond float32
    recipe = InputRecipe(input_mode="gradient", shape_zyx=(16, 8, 8), anti_aliasing=True)
    with pytest.raises(Refusal, match=r"PP-02: case-7: .* after gradient"):
        channel(CtVolume(hu_zyx=steep, grid=GRID), recipe, "gradient", name="case-7")


@pytest.mark.parametrize(
    "scaling",
    [Scaling(), Scaling(kind="window", low=-200, high=1500), Scaling(kind="percentile", low=1, high=99)],
    ids=lambda scaling: f"PP-03-{scaling.kind}",
)
def test_an_image_without_contrast_is_refused(scaling):
    recipe = InputRecipe(input_mode="raw", shape_zyx=(16, 8, 8), raw_scaling=scaling, gradient_scaling=scaling)
    for hu in (-1024.0, 100.0):
        flat = CtVolume(hu_zyx=np.full(GRID.shape_zyx, hu, np.float32), grid=GRID)
        for mode in ("raw", "gradient"):
            with pytest.raises(Refusal, match=r"PP-03: case-7: nothing to normalise") as caught:
                channel(flat, recipe, mode, name="case-7")
            assert caught.value.exit_code == ExitCode.INPUT_REFUSED


def test_a_window_is_the_same_for_every_case_and_percentiles_are_each_cases_own():
    brighter = CtVolume(hu_zyx=HU + 100, grid=GRID)
    window = InputRecipe(
        input_mode="raw", shape_zyx=(16, 8, 8), raw_scaling=Scaling(kind="window", low=-500, high=1500)
    )
    shift = channel(brighter, window, "raw") - channel(CT, window, "raw")
    inside = (channel(CT, window, "raw") > 0) & (channel(brighter, window, "raw") < 1)
    np.testing.assert_allclose(shift[inside], 100 / 2000, atol=1e-5)
    own = InputRecipe(input_mode="raw", shape_zyx=(16, 8, 8), raw_scaling=Scaling(kind="percentile", low=2, high=98))
    np.testing.assert_allclose(channel(brighter, own, "raw"), channel(CT, own, "raw"), atol=1e-5)
    shown = channel(CT, own, "raw")
    assert np.mean(shown == 0.0) == pytest.approx(0.02, abs=0.005)
    assert np.mean(shown == 1.0) == pytest.approx(0.02, abs=0.005)


def test_a_recipe_survives_the_round_trip_through_json():
    recipe = InputRecipe(
        input_mode="both",
        shape_zyx=(8, 8, 8),
        anti_aliasing=True,
        raw_scaling=Scaling(kind="window", low=-200.0, high=1500.0),
        gradient_scaling=Scaling(kind="percentile", low=0.5, high=99.5),
    )
    assert checked(InputRecipe, as_plain(recipe), where="input_recipe") == recipe


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"input_mode": "x-ray"}, "input_mode"),
        ({"input_mode": "raw", "shape_zyx": [0, 64, 64]}, "shape_zyx"),
        ({"input_mode": "raw", "raw_scaling": {"kind": "window", "low": 10, "high": 10}}, "low < high"),
        ({"input_mode": "raw", "raw_scaling": {"kind": "window"}}, "two numbers"),
        ({"input_mode": "raw", "raw_scaling": {"kind": "percentile", "low": -1, "high": 99}}, "percentiles"),
        ({"input_mode": "raw", "raw_scaling": {"kind": "min_max", "low": 0}}, "expected none"),
        ({"input_mode": "raw", "shape_zyx": [8, 8, 8], "smoothing": 2}, "smoothing"),
        ({"input_mode": "raw"}, "expected one of them"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_by_its_key(settings, says):
    with pytest.raises(Refusal, match=says) as caught:
        checked(InputRecipe, settings, where="arrays")
    assert caught.value.exit_code == ExitCode.USAGE


def _ball(radius_mm, grid=GRID):
    z, y, x = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(grid.shape_zyx, grid.spacing_mm_zyx, strict=True))
    inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= radius_mm**2
    return MaskVolume(femur_zyx=inside, grid=grid)


@pytest.mark.parametrize("side", [20, 21], ids=["PP-04-even", "PP-04-odd"])
def test_a_mask_keeps_its_volume_on_average_over_where_it_lies(side):
    """Halving puts each sample centre on a face between voxels. Counting ties in would give 11 of 10 voxels a side."""
    grid = VoxelGrid(shape_zyx=(8, 48, 48), spacing_mm_zyx=(1.0, 1.0, 1.0))
    recipe = InputRecipe(input_mode="raw", shape_zyx=(8, 24, 24))
    changes = []
    for left, top in product((8, 9), repeat=2):
        block = np.zeros(grid.shape_zyx, bool)
        block[2:6, top : top + side, left : left + side] = True
        changes.append(mask_on_network_grid(MaskVolume(femur_zyx=block, grid=grid), recipe).mean() / block.mean() - 1)
    assert np.mean(changes) == pytest.approx(0.0, abs=0.006)  # corners lie on two faces at once and are lost


def test_pp_04_a_volume_change_above_five_per_cent_is_remarked_and_above_fifteen_refused():
    fine = InputRecipe(input_mode="raw", shape_zyx=(40, 24, 30))
    ball = _ball(8.0)
    same = mask_on_network_grid(ball, fine)
    assert np.array_equal(same, ball.femur_zyx)
    assert mask_remarks(ball, same) == ()
    grown = same.copy()
    grown.ravel()[np.flatnonzero(~same)[: int(0.07 * same.sum())]] = True
    assert mask_remarks(ball, grown) == ("PP-04: femur volume +7.0% on the network grid",)
    speck = np.zeros(GRID.shape_zyx, bool)
    speck[20, 12, 15] = True
    with pytest.raises(Refusal, match=r"PP-04: case-7: .* changes by -100.0%") as caught:
        mask_on_network_grid(MaskVolume(femur_zyx=speck, grid=GRID), PAPER, name="case-7")
    assert caught.value.exit_code == ExitCode.INPUT_REFUSED


def test_an_empty_mask_stays_empty():
    empty = MaskVolume(femur_zyx=np.zeros(GRID.shape_zyx, bool), grid=GRID)
    on_network_grid = mask_on_network_grid(empty, PAPER)
    assert not on_network_grid.any()
    assert mask_remarks(empty, on_network_grid) == ()


@pytest.mark.parametrize(
    ("columns", "outcome"),
    [(20, "taken"), (19, "remarked"), (18, "remarked"), (17, "refused")],
    ids=lambda value: f"PP-04 {value}",
)
def test_a_mask_that_the_coarse_grid_widens_to_twenty_columns_is_judged_by_the_share_it_gains(columns, outcome):
    """Sampled at every fourth voxel, a block of 17 to 20 columns counts five samples, as one of 20 does."""
    grid = VoxelGrid(shape_zyx=(8, 40, 40), spacing_mm_zyx=(1.0, 1.0, 1.0))
    recipe = InputRecipe(input_mode="raw", shape_zyx=(8, 40, 10))
    block = np.zeros(grid.shape_zyx, bool)
    block[2:6, 10:30, 10 : 10 + columns] = True
    mask = MaskVolume(femur_zyx=block, grid=grid)
    if outcome == "refused":
        with pytest.raises(Refusal, match=r"PP-04: case-7: .* changes by \+17.6%"):
            mask_on_network_grid(mask, recipe, name="case-7")
        return
    sampled = mask_on_network_grid(mask, recipe)
    gained = 20 / columns - 1
    assert [round(gained, 3) > 0.05] == [bool(mask_remarks(mask, sampled))] == [outcome == "remarked"]


RESAMPLED = InputRecipe(
    input_mode="both",
    spacing_mm_zyx=(3.0, 2.0, 2.0),
    anti_aliasing=True,
    raw_scaling=Scaling(kind="window", low=-200.0, high=1200.0),
    gradient_scaling=Scaling(kind="window", low=0.0, high=300.0),
    gradient_of="resampled",
)


def test_a_gradient_of_what_was_resampled_is_that_of_the_raw_channel():
    wide = Scaling(kind="window", low=-4000.0, high=4000.0)
    recipe = replace(RESAMPLED, raw_scaling=wide)
    grid = network_grid(GRID, recipe)
    resampled_hu = channel(CT, recipe, "raw").astype(np.float64) * 8000 - 4000
    expected = gradient_magnitude(resampled_hu.astype(np.float32), grid).clip(0, 300) / 300
    np.testing.assert_allclose(channel(CT, recipe, "gradient"), expected, atol=0.02)  # float16 steps of 8000 HU


def test_a_box_of_it_holds_what_the_whole_holds():
    whole = network_input(CT, RESAMPLED)
    for box in product([slice(0, 7), slice(3, 20)], [slice(2, 5), slice(4, 10)], [slice(0, 10), slice(9, 10)]):
        assert np.array_equal(network_input(CT, RESAMPLED, box_zyx=box), whole[(slice(None), *box)])


def test_a_painted_ct_and_the_same_voxels_as_a_study_give_the_same_input():
    grid = VoxelGrid(shape_zyx=(12, 10, 14), spacing_mm_zyx=(3.0, 2.0, 2.0))
    hu = np.rint(np.random.default_rng(1).normal(200, 500, grid.shape_zyx)).astype(np.float32)
    painted = painted_input(hu, grid.spacing_mm_zyx, RESAMPLED)
    assert painted.dtype == np.float16
    assert np.array_equal(painted, network_input(CtVolume(hu_zyx=hu, grid=grid), RESAMPLED))


def test_painted_air_is_no_refusal():
    air = np.full((6, 6, 6), -1000, np.float32)
    assert not painted_input(air, (3.0, 2.0, 2.0), RESAMPLED).any()


@pytest.mark.parametrize(
    ("recipe", "named"), [(PAPER, "spacing_mm_zyx"), (replace(RESAMPLED, gradient_of="ct"), "gradient_of")]
)
def test_nothing_is_painted_for_a_recipe_that_needs_the_scan(recipe, named):
    with pytest.raises(ValueError, match=named):
        painted_input(HU, (1.5, 0.8, 0.7), recipe)
