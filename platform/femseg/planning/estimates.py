"""What a plan will cost: memory of a process, disk of the arrays, seconds of every stage.

The constants were measured on a two-core machine; `benchmarks/pipeline/plan_estimates.py` holds them against trainings.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from femseg.cohorts.settings import ArraySettings
from femseg.cohorts.split import SplitSettings, part_sizes
from femseg.cohorts.store import ArrayKind, bytes_needed
from femseg.inference.windows import window_starts
from femseg.networks.vnet import VNet, VNetSettings
from femseg.planning.facts import CohortFacts, Shape, StatedScale
from femseg.search.halving import SearchSettings
from femseg.training.batches import samples_at_a_time
from femseg.training.settings import OptimisationSettings
from femseg.training.stored_cases import PatchSettings
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.network_input import InputMode, network_grid

MIB, GIB = 2**20, 2**30
RAY_BYTES = 1200 * MIB  # of Ray's own processes, the driver and DVC
RANK_BYTES = 100 * MIB  # what Ray and MLflow take in every training process
GPU_HOST_BYTES = 2 * GIB  # of host memory, for CUDA's libraries in every process
_CHECK_BYTES, _CHECK_VOXEL_BYTES = 300 * MIB, 20  # as `femseg check` reckons
_LIBRARIES_BYTES = 465 * MIB  # of a process that trains without Ray
_CONTEXT_BYTES = 600 * MIB  # of a process on its GPU
_FEATURE_BYTES = {"bfloat16": 7.6, "float32": 12.7}  # that live until the backward pass, for a convolution's output
_WEIGHT_BYTES = 20  # weight, gradient, its copy for the exchange, and Adam's two moments, in float32
_SAMPLE_COPIES = 24  # of a batch, in float32: batches made ahead, what augmentation and loss make of them


def features(network: VNetSettings, seen_zyx: Shape) -> int:
    """Values that all convolutions together give for one sample."""
    voxels, channels = math.prod(seen_zyx), network.base_channels
    levels = [(voxels, channels)]
    for stride in network.compressions:
        voxels, channels = voxels // math.prod(stride), 2 * channels
        levels.append((voxels, channels))
    total = network.convolutions_down[0] * levels[0][0] * levels[0][1]
    for count, (v, c) in zip(network.convolutions_down[1:], levels[1:], strict=True):
        total += (count + 1) * v * c
    for count, (v, c) in zip(network.convolutions_up, levels[-2::-1], strict=True):
        total += (count + 1) * v * 2 * c
    return total


def weights(network: VNetSettings, input_channels: int) -> int:
    """How many numbers a network learns."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in VNet(network, input_channels).parameters())


def process_bytes(
    network: VNetSettings,
    optimisation: OptimisationSettings,
    seen_zyx: Shape,
    *,
    input_channels: int = 1,
    workers: int = 1,
    on_gpu: bool = False,
) -> int:
    """Peak memory of a training process, of its GPU if it has one; Ray's share is not in it."""
    at_once = samples_at_a_time(optimisation, workers=workers)
    computed = at_once * features(network, seen_zyx) * _FEATURE_BYTES[optimisation.precision]
    samples = math.ceil(optimisation.batch_size / workers) * math.prod(seen_zyx) * (input_channels + 1) * 4
    held = _WEIGHT_BYTES * weights(network, input_channels)
    return int((_CONTEXT_BYTES if on_gpu else _LIBRARIES_BYTES) + computed + held + _SAMPLE_COPIES * samples)


def check_bytes(grids: Iterable[VoxelGrid]) -> int:
    """Memory of the check of the largest CT, the dearest of what is done to a whole one."""
    return _CHECK_BYTES + _CHECK_VOXEL_BYTES * max(math.prod(grid.shape_zyx) for grid in grids)


def disk_bytes(arrays: ArraySettings, modes: Iterable[InputMode], grids: Sequence[VoxelGrid]) -> int:
    """Disk of the arrays of a scale, twice: in the project and, as DVC copies them, in its cache."""
    kinds: list[ArrayKind] = [*modes, "mask", *(["places"] if arrays.spacing_mm_zyx else [])]  # type: ignore[list-item]
    shapes = [network_grid(grid, arrays.recipe("mask")).shape_zyx for grid in grids]
    return 2 * sum(bytes_needed(arrays.recipe(kind), kind, shapes) for kind in kinds)


# Of a stage that has nothing to compute; as what follows, of benchmarks/results/demo_repro.json and its 24 patients.
_STARTS_S = {"cohort": 10.0, "arrays": 8.0, "search": 23.0, "train": 32.0, "evaluate": 3.5, "compare": 8.0}
_CHECKED_SLICE_S, _CHECKED_VOXEL_S = 4.8e-3, 6.4e-8  # to check a slice and its voxels, with its mask, on one core
_SLICE_S, _VOXEL_S = 2.5e-4, 8e-9  # to read them once they were checked: four cohorts, see plan_estimates.json
_RESAMPLED_S = 3.5e-8  # a voxel of a working grid
_PHANTOM_S = 1e-6  # to draw, write and check a voxel
_SCORED_S = 4e-8  # to score a voxel of the CT's grid
_FORWARD = 1 / 3  # of a training step
_FEMUR_MM_ZYX = (460.0, 140.0, 140.0)  # of the box in which the finer network looks, a leg


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleCost:
    """What the time of a scale depends on.

    Attributes:
        batch_size: samples of a step.
        step_s: seconds of a training step with all cores, or on the GPUs.
        patches: None where a scan is one sample.
        working_zyx: the median scan at this scale, in voxels.
        modes: input modes that are trained; `kinds` of arrays that are made.
    """

    batch_size: int
    step_s: float
    patches: PatchSettings | None
    working_zyx: Shape
    modes: int
    kinds: int

    @property
    def sample_s(self) -> float:
        """Seconds in which the network sees a sample, a patch or a window, and does not learn from it."""
        return self.step_s / self.batch_size * _FORWARD

    def validation_s(self, cases: float) -> float:
        """Seconds of one validation."""
        return cases * (self.patches.validation if self.patches else 1) * self.sample_s


def read_s(grids: Iterable[VoxelGrid]) -> float:
    """Seconds to read these CTs, which were checked, on one core."""
    return sum(grid.shape_zyx[0] * _SLICE_S + math.prod(grid.shape_zyx) * _VOXEL_S for grid in grids)


def resampled_s(working_zyx: Shape) -> float:
    """Seconds to bring a scan that was read onto a working grid, on one core."""
    return math.prod(working_zyx) * _RESAMPLED_S


def stage_seconds(
    cohort: CohortFacts,
    stated: Mapping[str, StatedScale],
    costs: Mapping[str, ScaleCost],
    *,
    cores: int,
    split: SplitSettings | None,
    phantoms: bool,
) -> dict[str, float]:
    """Seconds of `dvc repro`, stage by stage, on a machine that does nothing else."""
    voxels, cases = sum(math.prod(grid.shape_zyx) for grid in cohort.grids), len(cohort.grids)
    slices, all_read_s = sum(grid.shape_zyx[0] for grid in cohort.grids), read_s(cohort.grids) / cores
    made_s = voxels * _PHANTOM_S if phantoms else slices * _CHECKED_SLICE_S + voxels * _CHECKED_VOXEL_S
    parts = part_sizes(cohort.patients, split) if split else (3, 1, 1)
    validated, tested = (cases * part / sum(parts) for part in parts[1:])
    seconds = {"cohort": _STARTS_S["cohort"] + made_s / cores}
    for scale, cost in costs.items():
        of_scale = _of_scale(stated[scale], cost, cases, all_read_s, validated, cores)
        seconds |= {f"{scale} {stage}": s for stage, s in of_scale.items()}
    scored_s = math.prod(cohort.shape_zyx) * _SCORED_S + read_s(cohort.grids) / cases
    seconds["evaluate"], windows_s = 0.0, 0.0
    for scale, cost in costs.items():  # the finer network's masks take both
        windows_s += _segmentation_s(cohort, cost, finer=scale == "refine")
        seconds["evaluate"] += cost.modes * (_STARTS_S["evaluate"] + tested * (windows_s + scored_s))
    seconds["compare"] = _STARTS_S["compare"]
    return seconds


def _of_scale(
    stated: StatedScale, cost: ScaleCost, cases: int, all_read_s: float, validated: float, cores: int
) -> dict[str, float]:
    validation_s, train = cost.validation_s(validated), stated.train
    validations = math.ceil(train.max_iterations / train.validate_every)
    arrays_s = _STARTS_S["arrays"] + all_read_s + cases * resampled_s(cost.working_zyx) / cores
    seconds = {"arrays": cost.kinds * arrays_s}
    if stated.search.enabled:
        steps = search_steps(stated.search, cost.modes, cores)
        rungs = len(stated.search.rungs) * stated.search.trials_per_mode * cost.modes
        seconds["search"] = _STARTS_S["search"] + steps * cost.step_s + rungs * validation_s
    seconds["train"] = cost.modes * (
        _STARTS_S["train"] + train.max_iterations * cost.step_s + validations * validation_s
    )
    return seconds


def search_steps(search: SearchSettings, modes: int, cores: int) -> float:
    """Steps of a search in those that all cores together would make: a trial has one core, and some stay idle."""
    trials, before, total = search.trials_per_mode * modes, 0, 0.0
    for rung in search.rungs:
        total += trials * (rung - before) * cores / min(cores, trials)
        kept = math.ceil(search.keep * trials / modes) if search.searcher == "halving" else trials // modes
        trials, before = max(1, kept) * modes, rung
    return total


def _segmentation_s(cohort: CohortFacts, cost: ScaleCost, *, finer: bool) -> float:
    """Seconds in which the network sees one scan."""
    if cost.patches is None:
        return cost.sample_s
    extent = cohort.extents_mm_zyx[1]
    seen_mm = [min(e, femur) for e, femur in zip(extent, _FEMUR_MM_ZYX, strict=True)] if finer else extent
    legs = 2 if finer and extent[2] > 300.0 else 1
    sizes = (round(n * mm / e) for n, mm, e in zip(cost.working_zyx, seen_mm, extent, strict=True))
    count = scan_windows(sizes, cost.patches, with_ends=not finer)
    return legs * count * cost.sample_s * (2 if cost.patches.mirror else 1)


def scan_windows(shape_zyx: Iterable[int], patches: PatchSettings, *, with_ends: bool = True) -> int:
    """In how many windows a network sees so many voxels, with the layers at a scan's ends or without."""
    layers, rows, columns = (
        len(window_starts(max(size, window), window, patches.overlap))
        for size, window in zip(shape_zyx, patches.shape_zyx, strict=True)
    )
    return (layers + (2 if with_ends else 0)) * rows * columns
