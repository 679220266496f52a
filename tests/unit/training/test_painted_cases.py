"""Samples that are painted: the same whoever draws them, the truth where the picture says it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from painted_store import RECIPE, SPACING, painted_cases
from torch.nn import functional as F

from femseg.synthetic.painting import painted_scan
from femseg.synthetic.painting_settings import BoneSettings, PaintingSettings, ScannerSettings, TissueSettings
from femseg.synthetic.scene import FEMUR_MM, NEUTRAL
from femseg.training.augmentation import Change, drawn_change, region_shape, sampling_grid
from femseg.training.batches import training_batches
from femseg.training.painted_cases import _distances, _nearest, _places
from femseg.training.settings import AugmentationSettings
from femseg.volumes.network_input import painted_input

NONE = AugmentationSettings()
STRONG = AugmentationSettings(enabled=True, rotation_degrees=20, scale=0.2, elastic_mm=4, field_of_view_cut=0.5)
CLEAR = PaintingSettings(  # bone is bright, all else is dark, and the scanner is perfect
    tissues=TissueSettings(
        muscle_hu=(0.0, 0.0),
        fat_hu=(0.0, 0.0),
        cartilage_hu=(0.0, 0.0),
        grain_hu=(0.0, 0.0),
        contrast=0.0,
        plaques=0.0,
        fat_in_muscle=(0.0, 0.0),
    ),
    bones=BoneSettings(
        cortex_hu=(1200.0, 1200.0),
        head_cortex_mm=(80.0, 80.0),
        neck_cortex_mm=(80.0, 80.0),
        shaft_cortex_mm=(80.0, 80.0),
        knee_cortex_mm=(80.0, 80.0),
        plate_absent=0.0,
        other_cortex=(0.0, 0.0),
        other_spongiosa_hu=(0.0, 0.0),
        grain_hu=(0.0, 0.0),
        coarse_hu=(0.0, 0.0),
    ),
    scanner=ScannerSettings(
        blur_mm=(0.0, 0.0),
        slice_mm=(0.0, 0.0),
        overshoot=(0.0, 0.0),
        noise_hu=(0.0, 0.0),
        shading_hu=(0.0, 0.0),
        offset_hu=(0.0, 0.0),
        circle=0.0,
    ),
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return painted_cases(tmp_path_factory.mktemp("stores"))


def batches(cases, positions, first=1, last=4):
    return list(
        training_batches(
            cases,
            batch_size=4,
            augmentation=STRONG,
            seed=7,
            first_iteration=first,
            last_iteration=last,
            positions=positions,
        )
    )


def test_the_stream_is_the_same_for_one_two_and_four_workers(cases):
    alone = batches(cases, range(4))
    for workers in (2, 4):
        size = 4 // workers
        shares = [batches(cases, range(rank * size, (rank + 1) * size)) for rank in range(workers)]
        for iteration, batch in enumerate(alone):
            assert torch.equal(batch.input_bczyx, torch.cat([share[iteration].input_bczyx for share in shares]))
            assert torch.equal(batch.target_bzyx, torch.cat([share[iteration].target_bzyx for share in shares]))


def test_a_run_that_goes_on_sees_what_it_would_have_seen(cases):
    whole, later = batches(cases, range(4)), batches(cases, range(4), first=3)
    for before, after in zip(whole[2:], later, strict=True):
        assert torch.equal(before.input_bczyx, after.input_bczyx)
        assert torch.equal(before.target_bzyx, after.target_bzyx)


def test_every_step_paints_anew(cases):
    unmoved = replace(cases, patches=replace(cases.patches, settings=replace(cases.patches.settings, jitter=0.0)))
    seen = {unmoved.sample("case0", NONE, (0, step, 0))[0].numpy().tobytes() for step in range(6)}
    assert len(seen) == 6


def test_validation_samples_are_always_the_same_and_no_two_cases_look_alike(cases):
    first, again = (list(cases.validation_samples("case0")) for _ in range(2))
    assert len(first) == 3
    for (input_a, target_a), (input_b, target_b) in zip(first, again, strict=True):
        assert torch.equal(input_a, input_b)
        assert torch.equal(target_a, target_b)
    other = list(cases.validation_samples("case1"))
    assert not any(torch.equal(a[0], b[0]) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("augmentation", [NONE, STRONG], ids=["still", "moved"])
def test_a_sample_is_what_the_network_takes(cases, augmentation):
    for case_id in cases.case_ids:
        for number in range(8):
            seen, femur = cases.sample(case_id, augmentation, (0, 1, number))
            assert (seen.shape, femur.shape) == ((2, 32, 32, 32), (32, 32, 32))
            assert (seen.dtype, femur.dtype) == (torch.float32, torch.float32)
            assert 0 <= float(seen.min()) <= float(seen.max()) <= 1
            assert set(np.unique(femur)) <= {0.0, 1.0}


def test_the_target_is_where_the_picture_shows_the_femur_however_it_was_moved(cases):
    clear = replace(cases, painting=CLEAR)
    half_hu = (600 - RECIPE.raw_scaling.low) / 1400
    for number in range(12):
        seen, femur = clear.sample("case0", STRONG, (0, 2, number))
        clearly = (seen[0] - half_hu).abs() > 1e-3  # float16
        assert torch.equal((seen[0] > half_hu)[clearly], (femur > 0)[clearly])


def test_the_store_is_painted_as_the_whole_scene_is(cases):
    """Without a change a sample is a box of the scene, its gradient that of the larger image."""
    clear = replace(
        cases, painting=CLEAR, patches=replace(cases.patches, settings=replace(cases.patches.settings, jitter=0.0))
    )
    codes, femur = cases.fields.load("case0"), cases.patches.stores.masks.load("case0")
    whole_hu, _ = painted_scan(codes, femur, SPACING, CLEAR, np.random.default_rng(0))
    whole = painted_input(whole_hu, SPACING, RECIPE).astype(np.float32)
    bones = whole[0] > 0.6
    for number in range(5):
        seen, target = clear.sample("case0", NONE, (0, 3, number))
        centre = clear.patches.drawn_centre("case0", np.random.default_rng((0, 3, number)))
        box = tuple(slice(at + 40 - 16, at + 40 + 16) for at in centre)
        wanted, bone, truth = (np.pad(each, 40)[box] for each in (whole[1], bones, femur))
        assert np.array_equal(target.numpy() > 0, truth)
        assert np.array_equal(seen.numpy()[1][bone], wanted[bone])


def test_beyond_the_scan_there_is_nothing_and_its_face_is_no_edge(cases):
    """case2 is smaller than a patch: 20 voxels in 32."""
    for number in range(5):
        seen, femur = replace(cases, painting=CLEAR).sample("case2", NONE, (0, 1, number))
        inside = np.argwhere(seen.numpy().any(axis=0))
        low, high = inside.min(axis=0), inside.max(axis=0) + 1
        assert (high - low <= 20).all()
        beyond = np.ones((32, 32, 32), bool)
        beyond[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = False
        assert not femur.numpy()[beyond].any()
        assert not seen.numpy()[:, beyond].any()


def test_one_femur_alone_may_be_meant(cases, tmp_path):
    """The mask decides which: a mask without femur leaves none, though one is painted."""
    other = painted_cases(tmp_path)
    for case_id in other.case_ids:  # as with `cohort.femur: right` on a scan of the left
        path = other.patches.stores.masks.folder / f"{case_id}.npy"
        np.save(path, np.zeros_like(np.load(path)))
    blind = replace(
        other,
        patches=replace(
            other.patches, stores=replace(other.patches.stores, masks=_without_hashes(other.patches.stores.masks))
        ),
    )
    for augmentation in (NONE, STRONG):
        for number in range(4):
            assert not blind.sample("case0", augmentation, (0, 1, number))[1].any()


def _without_hashes(store):
    """The same store with the hashes of what lies there now."""
    from femseg.cohorts.store import ArrayStore, write_array, write_index

    entries = {}
    for case_id in store.case_ids:
        entry = store.entry(case_id)
        array = np.load(store.folder / f"{case_id}.npy")
        entries[case_id] = write_array(
            store.folder, case_id, array, kind="mask", network_grid=entry.network_grid, ct_grid=entry.ct_grid
        )
    write_index(store.folder, "mask", store.recipe, entries)
    return ArrayStore.open(store.folder)


def test_distances_are_read_linearly_where_a_surface_or_a_cortex_is_near(cases):
    codes = cases.fields.load("case0")[FEMUR_MM]
    change = drawn_change(STRONG, np.random.default_rng(3))
    result = (32, 32, 32)
    region = region_shape(change, result, SPACING)
    start = [(size - n) // 2 for size, n in zip(codes.shape, region, strict=True)]
    box = codes[tuple(slice(max(a, 0), max(a, 0) + n) for a, n in zip(start, region, strict=True))]
    grid = sampling_grid(change, result, box.shape, SPACING)
    expected = F.grid_sample(
        torch.from_numpy(box.astype(np.float32))[None, None], grid, padding_mode="border", align_corners=False
    )[0, 0].numpy()
    places = _places(grid[0].numpy(), box.shape)
    nearest = box.reshape(-1).take(_nearest(places, box.shape))
    found = _distances(nearest, box, places, 3.0, scale=1.0)
    near = (expected > NEUTRAL - 8) & (expected < NEUTRAL + 40)
    assert near.sum() > 500
    np.testing.assert_allclose(found[near], expected[near], atol=2e-3)
    enlarged = _distances(nearest, box, places, 3.0, scale=1.1)
    np.testing.assert_allclose(enlarged[near] - 127.5, 1.1 * (expected[near] - 127.5), atol=3e-3)


def test_no_change_reads_no_grid(cases):
    assert drawn_change(NONE, np.random.default_rng(0)) != Change()  # what is not enabled draws all the same
    still, again = (cases.sample("case0", NONE, (0, 9, 0)) for _ in range(2))
    assert torch.equal(still[0], again[0])
