"""What a plan decides for four cohorts, what gives way when room is short, and what the costs are made of."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny_project import ROOT

from benchmarks.pipeline.plan_estimates import COHORTS
from femseg.cohorts.settings import ArraySettings
from femseg.cohorts.split import SplitSettings
from femseg.inference.segment import femur_probability
from femseg.networks.package_files import Windows
from femseg.networks.vnet import VNetSettings
from femseg.planning.estimates import ScaleCost, disk_bytes, features, scan_windows, search_steps, stage_seconds
from femseg.planning.facts import CohortFacts, MachineFacts, Stated, StatedScale
from femseg.planning.plan import make_plan
from femseg.search.halving import SearchSettings
from femseg.training.stored_cases import PatchSettings
from femseg.volumes.grid import VoxelGrid

GIB = 2**30
SMALL_MACHINE = MachineFacts(cores=2, memory_bytes=16 * GIB, disk_bytes=200 * GIB)


@pytest.mark.parametrize(
    ("name", "find_mm", "refine_mm"),
    [
        ("demo", (4.0, 4.0, 4.0), (4.0, 1.8, 1.8)),
        ("pelvis", (3.0, 3.0, 3.0), (3.0, 0.8, 0.8)),
        ("large", (4.0, 4.0, 4.0), (0.8, 0.8, 0.8)),
        ("thick", (4.0, 4.0, 4.0), (5.0, 0.8, 0.8)),
    ],
)
def test_spacings_follow_the_cohort(name, find_mm, refine_mm):
    plan = make_plan(COHORTS[name], SMALL_MACHINE, Stated())
    assert (plan.find.arrays.spacing_mm_zyx, plan.refine.arrays.spacing_mm_zyx) == (find_mm, refine_mm)


def test_slices_far_apart_are_halved_after_the_pixels():
    plan = make_plan(COHORTS["thick"], SMALL_MACHINE, Stated())
    strides = plan.refine.network.compressions
    assert strides[:2] == ((1, 2, 2), (1, 2, 2))
    assert strides[2][0] == 2
    z, y, x = plan.refine.seen_zyx
    assert y == x > 4 * z, "a patch is a cube in the patient"


def test_the_disk_that_the_how_to_states_is_what_a_plan_reckons():
    grid = VoxelGrid(shape_zyx=(1000, 512, 512), spacing_mm_zyx=(1.0, 0.7, 0.7))
    arrays = replace(make_plan(COHORTS["large"], SMALL_MACHINE, Stated()).refine.arrays, spacing_mm_zyx=(1.0, 1.0, 1.0))
    gigabytes = disk_bytes(arrays, ("raw", "gradient"), [grid] * 60) / 1e9
    page = " ".join((ROOT / "docs/how-to/researcher/plan.md").read_text(encoding="utf-8").split())
    assert f"(0.7 × 0.7 × 1 mm) at 1 mm take {gigabytes:.0f} GB for both inputs" in page


def test_scans_of_one_size_that_a_network_can_see_are_seen_whole():
    grid = VoxelGrid(shape_zyx=(120, 256, 256), spacing_mm_zyx=(2.0, 1.0, 1.0))
    plan = make_plan(CohortFacts.of([grid] * 8, patients=8, source="x"), SMALL_MACHINE, Stated())
    assert plan.find.patches is None
    assert plan.find.arrays.shape_zyx == (56, 64, 64)
    other = VoxelGrid(shape_zyx=(200, 256, 256), spacing_mm_zyx=(2.0, 1.0, 1.0))
    plan = make_plan(CohortFacts.of([grid] * 7 + [other], patients=8, source="x"), SMALL_MACHINE, Stated())
    assert plan.find.arrays.spacing_mm_zyx == (3.0, 3.0, 3.0)


def test_short_of_memory_first_the_batch_is_cut_then_the_patch_then_the_channels():
    def at(gib):
        return make_plan(
            COHORTS["demo"], MachineFacts(cores=2, memory_bytes=int(gib * GIB), disk_bytes=90 * GIB), Stated()
        ).find

    found = [at(gib) for gib in (8, 3.6, 3.2, 3.0, 2.9, 2.8)]
    assert not found[0].reduced
    assert math.prod(found[-1].seen_zyx) < math.prod(found[0].seen_zyx)
    for before, after in pairwise(found):
        assert after.process_bytes <= before.process_bytes
        assert len(after.reduced) >= len(before.reduced)
        if math.prod(after.seen_zyx) < math.prod(found[0].seen_zyx):
            assert after.optimisation.gradient_accumulation == after.optimisation.batch_size


def test_short_of_disk_the_finer_scale_becomes_coarser_and_then_has_one_input():
    def at(gib):
        machine = MachineFacts(cores=2, memory_bytes=23 * GIB, disk_bytes=int(gib * GIB))
        return make_plan(COHORTS["large"], machine, Stated())

    assert at(50).reduced == ()
    coarser = at(8)
    assert 0.8 < coarser.refine.arrays.spacing_mm_zyx[0] <= 1.5
    assert coarser.refine_modes == ("raw", "gradient")
    assert coarser.reduced == ("refine at 0.92 × 0.92 × 0.92 mm: 8.0 GiB of disk are free",)
    assert at(1.6).refine_modes == ("raw",)


def test_several_gpus_have_a_worker_each_and_a_trial_must_hold_the_whole_batch():
    machine = MachineFacts(cores=64, memory_bytes=500 * GIB, disk_bytes=900 * GIB, gpus=4, gpu_bytes=24 * GIB)
    plan = make_plan(COHORTS["pelvis"], machine, Stated())
    assert plan.find.train.workers == plan.refine.train.workers == 4
    assert plan.find.optimisation.batch_size % 4 == 0
    assert plan.refine.process_bytes < plan.find.process_bytes <= 24 * GIB, "refine is not searched"


def test_features_and_disk_are_what_a_pencil_gives():
    network = VNetSettings(
        base_channels=2, strides=((2, 2, 2),), convolutions_down=(1, 2), convolutions_up=(1,), kernel_size=3
    )
    first, down, up = 2 * 512, (1 + 2) * 4 * 64, (1 + 1) * 4 * 512
    assert features(network, (8, 8, 8)) == first + down + up
    grid = VoxelGrid(shape_zyx=(10, 20, 30), spacing_mm_zyx=(2.0, 1.0, 1.0))
    places, header = 5 * 512 * 3 * 2, 128
    voxels = 10 * 10 * 15
    expected = 2 * (2 * (2 * voxels + header) + (voxels + header) + places + header)
    spaced = make_plan(COHORTS["demo"], SMALL_MACHINE, Stated()).find.arrays
    at_two = ArraySettings(
        spacing_mm_zyx=(2.0, 2.0, 2.0), raw_scaling=spaced.raw_scaling, gradient_scaling=spaced.gradient_scaling
    )
    assert disk_bytes(at_two, ("raw", "gradient"), [grid]) == expected


def test_a_search_is_as_long_as_its_rungs_and_idle_cores_say():
    search = SearchSettings(trials_per_mode=3, rungs=(16, 32), keep=0.5)
    assert search_steps(search, modes=2, cores=1) == 6 * 16 + 4 * 16
    assert search_steps(search, modes=2, cores=8) == 8 * (16 + 16), "six and four trials leave cores idle"


def test_windows_of_a_scan_are_counted_as_the_network_is_shown_them():
    """With the two layers at its ends, by a network that counts; of a scan on a grid of one millimetre."""
    shown = 0

    class Counts(torch.nn.Module):
        def forward(self, input_bczyx):
            nonlocal shown
            shown += len(input_bczyx)
            return torch.zeros(len(input_bczyx), 2, *input_bczyx.shape[2:])

    for size_zyx, overlap in (((40, 33, 50), 0.5), ((40, 33, 50), 0.25), ((9, 16, 16), 0.5)):
        shown = 0
        femur_probability(
            Counts(),
            np.zeros((1, *size_zyx), np.float32),
            windows=Windows(shape_zyx=(16, 16, 16), overlap=overlap),
            whole_scan=True,
        )
        assert scan_windows(size_zyx, PatchSettings(shape_zyx=(16, 16, 16), overlap=overlap)) == shown


def test_time_rises_with_the_step_and_a_search_that_is_off_takes_none():
    cost = {"batch_size": 2, "patches": PatchSettings(), "working_zyx": (100, 60, 60), "modes": 2, "kinds": 3}

    def at(step_s, *, searched=True):
        stated = StatedScale(search=SearchSettings(enabled=searched))
        return stage_seconds(
            COHORTS["demo"],
            {"find": stated},
            {"find": ScaleCost(step_s=step_s, **cost)},
            cores=2,
            split=SplitSettings(),
            phantoms=True,
        )

    slow, quick = at(2.0), at(1.0)
    assert slow["find train"] - quick["find train"] == pytest.approx(2 * 10_000, rel=0.1)
    assert all(slow[stage] >= quick[stage] for stage in slow)
    assert "find search" not in at(1.0, searched=False)
