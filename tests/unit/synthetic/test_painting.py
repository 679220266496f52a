from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from tiny_scene import HEAD_MM, tiny_scene

from femseg.synthetic.noise import smooth_noise, white_noise
from femseg.synthetic.painting import SOFT, painted, painted_scan
from femseg.synthetic.painting_settings import BoneSettings, PaintingSettings, ScannerSettings, TissueSettings
from femseg.synthetic.scene import NEUTRAL, Tissue, distance_codes

PERFECT = ScannerSettings(
    blur_mm=(0.0, 0.0),
    slice_mm=(0.0, 0.0),
    overshoot=(0.0, 0.0),
    noise_hu=(0.0, 0.0),
    shading_hu=(0.0, 0.0),
    offset_hu=(0.0, 0.0),
    streaks_hu=(0.0, 0.0),
    saturation_hu=(20_000.0, 20_000.0),
    circle=0.0,
)
EVEN = TissueSettings(grain_hu=(0.0, 0.0), fat_in_muscle=(0.0, 0.0), plaques=0.0)
SOLID = BoneSettings(  # cortex through and through
    cortex_hu=(1000.0, 1000.0),
    head_cortex_mm=(100.0, 100.0),
    plate_absent=0.0,
    neck_cortex_mm=(100.0, 100.0),
    shaft_cortex_mm=(100.0, 100.0),
    knee_cortex_mm=(100.0, 100.0),
)
SPACING = (3.0, 3.0, 3.0)


def alone(tissue: Tissue, shape=(8, 8, 8)) -> np.ndarray:
    """A box of one tissue, far from any bone."""
    fields = np.zeros((5, *shape), np.uint8)
    fields[0], fields[4] = tissue, NEUTRAL
    return fields


def sphere(radius_mm, spacing_mm_zyx, centre_mm=(0.3, -0.2, 0.4)) -> np.ndarray:
    """A femur that is a sphere in muscle."""
    shape = tuple(2 * int(np.ceil((radius_mm + 6) / s)) for s in spacing_mm_zyx)
    axes = [(np.arange(n) - n / 2 + 0.5) * s - c for n, s, c in zip(shape, spacing_mm_zyx, centre_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    fields = alone(Tissue.MUSCLE, shape)
    inside_mm = radius_mm - np.sqrt(z * z + y * y + x * x)
    fields = fields.astype(np.float32)
    fields[1] = inside_mm / 0.25 + NEUTRAL - 0.5
    fields[3] = 255
    return fields


def test_the_same_generator_paints_the_same_and_another_another():
    scene = tiny_scene()
    first, again, other = (
        painted(scene.fields_czyx, SPACING, PaintingSettings(), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == scene.grid.shape_zyx
    assert first.dtype == np.float32


def test_a_painted_ct_holds_whole_numbers_that_a_ct_can_hold():
    scene = tiny_scene(metal=True)
    for seed in range(5):
        hu = painted(scene.fields_czyx, SPACING, PaintingSettings(), np.random.default_rng(seed))
        assert np.array_equal(hu, np.rint(hu))
        assert hu.min() >= -1024
        assert hu.max() <= 3071


@pytest.mark.parametrize("tissue", SOFT, ids=lambda tissue: tissue.name)
def test_every_tissue_has_the_numbers_of_its_range(tissue):
    settings = PaintingSettings(tissues=replace(EVEN, contrast=0.0, metal_hu=(1800.0, 2900.0)), scanner=PERFECT)
    low, high = getattr(settings.tissues, f"{tissue.name.lower()}_hu")
    values = [float(painted(alone(tissue), SPACING, settings, np.random.default_rng(n)).mean()) for n in range(40)]
    streaks = 2.0 if tissue is Tissue.MUSCLE else 0.5  # even the leanest muscle has some fat
    assert low - streaks <= min(values) < max(values) <= high + 0.5
    assert max(values) - min(values) > 0.6 * (high - low)


def test_every_tissue_is_something():
    bones = set(range(Tissue.FEMUR, Tissue.HAND + 1))
    assert {*SOFT, *bones} == set(Tissue)


@pytest.mark.parametrize("spacing", [(3.0, 3.0, 3.0), (1.0, 1.0, 1.0), (2.0, 1.5, 1.5)])
def test_a_spheres_voxels_hold_as_much_bone_as_the_sphere(spacing):
    settings = PaintingSettings(
        tissues=replace(EVEN, muscle_hu=(0.0, 0.0), fat_hu=(0.0, 0.0)), bones=SOLID, scanner=PERFECT
    )
    hu = painted(sphere(HEAD_MM, spacing), spacing, settings, np.random.default_rng(0))
    volume = hu.sum() / 1000 * np.prod(spacing)
    assert volume == pytest.approx(4 / 3 * np.pi * HEAD_MM**3, rel=0.01)


def test_a_thin_cortex_is_as_dense_as_its_share_of_a_voxel():
    settings = PaintingSettings(
        tissues=replace(EVEN, muscle_hu=(0.0, 0.0), fat_hu=(0.0, 0.0)),
        bones=replace(SOLID, head_cortex_mm=(1.0, 1.0), head_hu=(0.0, 0.0), coarse_hu=(0.0, 0.0), grain_hu=(0.0, 0.0)),
        scanner=PERFECT,
    )
    hu = painted(sphere(HEAD_MM, SPACING), SPACING, settings, np.random.default_rng(0))
    shell = 4 / 3 * np.pi * (HEAD_MM**3 - (HEAD_MM - 1.0) ** 3)
    assert hu.sum() / 1000 * 27.0 == pytest.approx(shell, rel=0.02)
    assert hu.max() < 500


def test_the_stored_bytes_of_a_distance_place_a_surface_within_an_eighth_of_a_millimetre():
    fields = sphere(HEAD_MM, (1.0, 1.0, 1.0))
    exact = (fields[1] - NEUTRAL + 0.5) * 0.25
    fields[1] = distance_codes(exact)
    settings = PaintingSettings(
        tissues=replace(EVEN, muscle_hu=(0.0, 0.0), fat_hu=(0.0, 0.0)), bones=SOLID, scanner=PERFECT
    )
    volume = painted(fields, (1.0, 1.0, 1.0), settings, np.random.default_rng(0)).sum() / 1000
    radius_mm = (volume * 3 / 4 / np.pi) ** (1 / 3)
    assert radius_mm == pytest.approx(HEAD_MM, abs=0.13)


def test_noise_has_the_deviation_that_is_asked_for_whatever_its_correlation():
    for noise_mm in (0.0, 1.0, 2.0):
        settings = PaintingSettings(
            tissues=replace(EVEN, muscle_hu=(300.0, 300.0), fat_hu=(300.0, 300.0)),
            scanner=replace(PERFECT, noise_hu=(40.0, 40.0), noise_mm=(noise_mm, noise_mm)),
        )
        hu = painted(alone(Tissue.MUSCLE, (40, 40, 40)), (1.0, 1.0, 1.0), settings, np.random.default_rng(3))
        assert hu.std() == pytest.approx(40.0, rel=0.05)
        neighbours = np.corrcoef(hu[:, :, 1:].ravel(), hu[:, :, :-1].ravel())[0, 1]
        assert neighbours == pytest.approx(np.exp(-1 / (4 * noise_mm**2)) if noise_mm else 0.0, abs=0.05)


def edge(scanner: ScannerSettings, axis: int, spacing=(0.5, 0.5, 0.5)) -> np.ndarray:
    """What a scanner makes of a step from 0 to 1000 HU, along the axis it lies on."""
    settings = PaintingSettings(
        tissues=replace(EVEN, muscle_hu=(0.0, 0.0), fat_hu=(0.0, 0.0), organ_hu=(1000.0, 1000.0)), scanner=scanner
    )
    fields = alone(Tissue.MUSCLE, (80, 80, 80))
    np.moveaxis(fields[0], axis, 0)[40:] = Tissue.ORGAN
    hu = painted(fields, spacing, settings, np.random.default_rng(0))
    return np.moveaxis(hu, axis, 0)[:, 40, 40]


def test_a_sharp_kernel_overshoots_at_edges_within_a_slice_by_its_share_at_most():
    sharp = replace(PERFECT, overshoot=(0.25, 0.25))
    within, across = edge(sharp, 2), edge(sharp, 0)
    assert 1150 < within.max() <= 1251
    assert -251 <= within.min() < -150
    assert across.max() == 1000


def test_a_slice_smears_an_edge_over_its_thickness_and_not_further():
    profile = edge(replace(PERFECT, slice_mm=(5.0, 5.0)), 0)
    assert np.abs(profile[[40 - 7, 40 + 6]] - [0, 1000]).max() < 80  # ringing of a sharp-edged window
    assert profile[38] == pytest.approx(1000 * (2.5 - 0.75) / 5.0, abs=40)
    within = edge(replace(PERFECT, slice_mm=(5.0, 5.0)), 1)
    assert set(np.unique(within)) == {0, 1000}


def test_metal_casts_a_shadow_on_its_slice_that_fades_with_distance():
    dark = replace(PERFECT, shadow_hu=(-500.0, -500.0), shadow_mm=(4.0, 4.0))
    clear = replace(PERFECT, shadow_hu=(0.0, 0.0))
    with_shadow, without = (
        painted(
            tiny_scene(metal=True).fields_czyx,
            SPACING,
            PaintingSettings(tissues=EVEN, scanner=one),
            np.random.default_rng(5),
        )
        for one in (dark, clear)
    )
    taken = without - with_shadow
    metal = tiny_scene(metal=True).fields_czyx[0] == Tissue.METAL
    slices = metal.any(axis=(1, 2))
    assert np.abs(taken[metal]).max() <= 1  # whole numbers
    assert np.abs(taken[~slices]).max() <= 1
    beside = ndimage.binary_dilation(metal, np.ones((1, 3, 3))) & ~metal & (without > -500)
    assert taken[beside].mean() > 150
    assert 0 <= np.median(taken[slices]) < 10


def test_frail_bone_has_less_cortex_everywhere():
    strong, frail = (
        painted(sphere(20.0, SPACING), SPACING, PaintingSettings(tissues=EVEN, bones=bones, scanner=PERFECT), seed)
        for bones, seed in (
            (BoneSettings(frail=share, frail_cortex=(0.4, 0.4), plate_absent=0.0), np.random.default_rng(3))
            for share in (0.0, 1.0)
        )
    )
    assert (frail <= strong + 1).all()
    assert (frail < strong - 50).any()


def test_rays_go_out_from_metal_and_nothing_exceeds_the_scale():
    streaky = replace(PERFECT, streaks_hu=(400.0, 400.0), saturation_hu=(2500.0, 2500.0))
    settings = PaintingSettings(tissues=EVEN, scanner=streaky)
    with_metal, without = (
        painted(tiny_scene(metal=metal).fields_czyx, SPACING, settings, np.random.default_rng(5))
        for metal in (True, False)
    )
    assert with_metal.max() == 2500
    changed = (np.abs(with_metal - without) > 1).mean(axis=(1, 2))  # both are rounded
    metal_slices = (tiny_scene(metal=True).fields_czyx[0] == Tissue.METAL).any(axis=(1, 2))
    assert (changed[metal_slices] > 0.5).all()
    assert not changed[~metal_slices].any()


def test_beyond_a_circle_there_is_padding_and_no_femur():
    scene = tiny_scene((60.0, 60.0, 60.0))
    settings = PaintingSettings(scanner=ScannerSettings(circle=1.0, padding_hu=(-2000.0,)))
    hu, femur = painted_scan(
        scene.fields_czyx, np.ones(scene.grid.shape_zyx, bool), SPACING, settings, np.random.default_rng(0)
    )
    assert 0 < np.count_nonzero(hu == -2000) < hu.size / 2
    assert np.array_equal(femur, hu != -2000)


def test_noise_on_knots_has_deviation_one_and_varies_over_its_size():
    for size_mm in (2.0, 8.0):
        noise = smooth_noise((60, 60, 60), (1.0, 1.0, 1.0), size_mm, np.random.default_rng(0))
        assert noise.std() == pytest.approx(1.0, rel=0.15)
        near = np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]
        far = np.corrcoef(noise[int(2.5 * size_mm) :].ravel(), noise[: -int(2.5 * size_mm)].ravel())[0, 1]
        assert near > 0.75
        assert abs(far) < 0.3
    white = white_noise((50, 50, 50), np.random.default_rng(0))
    assert (white.mean(), white.std()) == pytest.approx((0, 1), abs=0.01)


@pytest.mark.parametrize(
    ("section", "setting", "named"),
    [
        (TissueSettings, {"fat_hu": (-60.0, -130.0)}, "fat_hu"),
        (TissueSettings, {"contrast": 1.5}, "contrast"),
        (BoneSettings, {"cortex_hu": (700.0, 90_000.0)}, "cortex_hu"),
        (BoneSettings, {"coarse_mm": (-1.0, 5.0)}, "coarse_mm"),
        (ScannerSettings, {"padding_hu": ()}, "padding_hu"),
        (ScannerSettings, {"noise_hu": (5.0, float("nan"))}, "noise_hu"),
    ],
)
def test_a_range_that_no_ct_has_is_refused_by_name(section, setting, named):
    with pytest.raises(ValueError, match=named):
        section(**setting)


def test_fields_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"\(5, Z, Y, X\)"):
        painted(np.zeros((4, 8, 8, 8), np.uint8), SPACING, PaintingSettings(), np.random.default_rng(0))


def test_femora_without_neighbours_lie_in_what_is_painted_round_them_and_look_the_same():
    scene = tiny_scene()
    there, absent = (
        painted(
            scene.fields_czyx,
            SPACING,
            PaintingSettings(tissues=EVEN, bones=BoneSettings(others_absent=share), scanner=PERFECT),
            np.random.default_rng(3),
        )
        for share in (0.0, 1.0)
    )
    others = scene.fields_czyx[2] >= NEUTRAL + 8
    inside_femur = scene.fields_czyx[1] >= NEUTRAL + 8
    assert others.any()
    assert np.ptp(absent[others]) < 1 < np.ptp(there[others])
    assert np.array_equal(absent[inside_femur], there[inside_femur])


def test_the_spacings_that_a_painter_shows_are_its_slices_and_the_width_of_its_blur():
    least, most = ScannerSettings(slice_mm=(0.5, 5.0), blur_mm=(0.3, 1.0)).spacing_mm_zyx
    assert least == (0.5, 0.3, 0.3)
    assert most == pytest.approx((5.0, 2.355, 2.355), abs=1e-3)
