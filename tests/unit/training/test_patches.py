"""Patches out of a store: which, from where, and the same whoever draws them."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from femseg.cohorts.places import find_places
from femseg.cohorts.store import ArrayStore, write_array, write_index
from femseg.errors import Refusal
from femseg.training.batches import training_batches
from femseg.training.settings import AugmentationSettings
from femseg.training.stored_cases import PatchCases, PatchSettings, StoredCases
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputRecipe

SHAPES = {"case0": (40, 30, 36), "case1": (26, 44, 30), "case2": (18, 20, 22)}
RECIPE = InputRecipe(
    input_mode="raw", spacing_mm_zyx=(2.0, 1.0, 1.0), raw_scaling=Scaling(kind="window", low=0.0, high=1.0)
)
PATCHES = PatchSettings(shape_zyx=(16, 16, 16), jitter=0.25, validation=3)
NO_AUGMENTATION = AugmentationSettings()
STRONG = AugmentationSettings(
    enabled=True, rotation_degrees=20, scale=0.2, elastic_mm=3, thick_slice_mm=6, field_of_view_cut=0.5
)


@pytest.fixture
def cases(tmp_path):
    entries = {"raw": {}, "mask": {}, "places": {}}
    for number, (case_id, shape) in enumerate(SHAPES.items()):
        grid = VoxelGrid(shape_zyx=shape, spacing_mm_zyx=(2.0, 1.0, 1.0))
        femur = np.zeros(shape, bool)
        femur[4:-4, 6:14, 6:14] = True
        noise = np.random.default_rng(number).random(shape)
        raw = (0.1 + 0.3 * noise + 0.5 * femur).astype(np.float16)
        places = find_places(femur, np.where(femur, 900.0, 40.0), grid.spacing_mm_zyx)
        for kind, array in (("raw", raw), ("mask", femur), ("places", places)):
            entries[kind][case_id] = write_array(
                tmp_path / kind, case_id, array, kind=kind, network_grid=grid, ct_grid=grid
            )
    for kind, of_kind in entries.items():
        write_index(tmp_path / kind, kind, RECIPE, of_kind)
    whole = StoredCases.open(tmp_path / "raw", tmp_path / "mask", tuple(SHAPES))
    return PatchCases(stores=whole, places=ArrayStore.open(tmp_path / "places"), settings=PATCHES)


def batches(cases, positions, first=1, last=6, augmentation=STRONG):
    return list(
        training_batches(
            cases,
            batch_size=4,
            augmentation=augmentation,
            seed=7,
            first_iteration=first,
            last_iteration=last,
            positions=positions,
        )
    )


def test_a_patch_is_what_lies_at_its_place_and_nothing_lies_beyond_the_scan(cases):
    for number in range(30):
        found, mask = cases.sample("case2", NO_AUGMENTATION, (0, 1, number))
        assert (found.shape, mask.shape) == ((1, 16, 16, 16), (16, 16, 16))
        raw, femur = (np.pad(store.load("case2"), 20) for store in (cases.stores.inputs, cases.stores.masks))
        windows = np.lib.stride_tricks.sliding_window_view(raw, (16, 16, 16))
        at = np.argwhere((windows == found.numpy()[0].astype(np.float16)).all(axis=(3, 4, 5)))
        assert len(at) >= 1
        z, y, x = at[0]
        assert np.array_equal(femur[z : z + 16, y : y + 16, x : x + 16], mask.numpy() > 0.5)


def test_patches_of_a_batch_are_the_same_for_one_worker_and_for_several(cases):
    alone = batches(cases, range(4))
    shared = [batches(cases, range(start, start + 1)) for start in range(4)]
    for iteration, batch in enumerate(alone):
        parts = [worker[iteration].input_bczyx for worker in shared]
        assert torch.equal(batch.input_bczyx, torch.cat(parts))


def test_a_run_that_goes_on_sees_the_patches_that_it_would_have_seen(cases):
    whole, later = batches(cases, range(4)), batches(cases, range(4), first=4)
    for before, after in zip(whole[3:], later, strict=True):
        assert torch.equal(before.input_bczyx, after.input_bczyx)
        assert torch.equal(before.target_bzyx, after.target_bzyx)


def test_places_are_drawn_by_their_shares(cases):
    surface_only = replace(cases, settings=replace(PATCHES, jitter=0.0, inside=0, joint=0, other_bone=0, background=0))
    centres = [surface_only.sample("case0", NO_AUGMENTATION, (0, 1, n))[1][8, 8, 8] for n in range(40)]
    assert all(centres)  # a surface voxel is one of the femur's

    shares = {"surface": 0.0, "inside": 0.5, "joint": 0.0, "other_bone": 0.0, "background": 0.5}
    half = replace(cases, settings=replace(PATCHES, jitter=0.0, **shares))
    counted = Counter(bool(half.sample("case0", NO_AUGMENTATION, (0, 1, n))[1][8, 8, 8]) for n in range(200))
    assert 70 < counted[True] < 130


def test_a_kind_that_a_scan_does_not_have_leaves_its_share_to_the_others(cases):
    shares = {
        "surface": 0.0,
        "inside": 0.2,
        "joint": 0.8,
        "other_bone": 0.0,
        "background": 0.0,
    }  # no other bone: no joint
    settings = replace(PATCHES, jitter=0.0, **shares)
    only_inside = replace(cases, settings=settings)
    assert all(only_inside.sample("case1", NO_AUGMENTATION, (0, 1, n))[1][8, 8, 8] for n in range(20))


def test_validation_patches_are_always_the_same(cases):
    first, again = (list(cases.validation_samples("case1")) for _ in range(2))
    assert len(first) == PATCHES.validation
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))


def test_an_augmented_patch_keeps_input_and_mask_together(cases):
    """The femur is brighter than all around it, so a threshold finds the moved mask, but for its rim."""
    turned = AugmentationSettings(
        enabled=True, rotation_degrees=30, scale=0.2, elastic_mm=3, noise_sd=0, contrast=0, brightness=0
    )
    agreed = []
    for number in range(20):
        found, mask = cases.sample("case0", turned, (0, 1, number))
        agreed.append(float(((found[0] > 0.5) == (mask > 0.5)).float().mean()))
    assert min(agreed) > 0.9


def test_a_cut_field_of_view_leaves_nothing_in_input_and_mask(cases):
    cut = AugmentationSettings(
        enabled=True, rotation_degrees=0, scale=0, noise_sd=0, contrast=0, brightness=0, field_of_view_cut=1.0
    )
    inside = replace(cases, settings=replace(PATCHES, jitter=0.0, surface=0, joint=0, other_bone=0, background=0))
    for number in range(10):
        found, mask = inside.sample("case0", cut, (0, 1, number))
        empty = found[0] == 0
        planes = [empty.all(dim=2).all(dim=1), empty.all(dim=2).all(dim=0), empty.all(dim=1).all(dim=0)]
        assert any(bool(axis.any()) for axis in planes)
        assert not bool(mask[empty].any())


def test_st_02_an_altered_file_is_refused_also_when_only_a_part_of_it_is_read(cases):
    path = cases.stores.inputs.folder / "case0.npy"
    cases.sample("case0", NO_AUGMENTATION, (0, 1, 0))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(Refusal, match=r"ST-02: .*case0\.npy: SHA-256 is"):
        cases.sample("case0", NO_AUGMENTATION, (0, 1, 0))


@pytest.mark.parametrize(
    "wrong", [{"shape_zyx": (0, 8, 8)}, {"surface": -1.0}, {"jitter": 0.6}, {"overlap": 1.0}, {"validation": 0}]
)
def test_settings_that_draw_no_patch_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        replace(PATCHES, **wrong)
