"""One scale of a plan: patch, V-Net and optimisation, made smaller until a training process has room."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from femseg.cohorts.settings import ArraySettings
from femseg.errors import Refusal
from femseg.networks.vnet import VNetSettings
from femseg.planning.estimates import GIB, GPU_HOST_BYTES, RANK_BYTES, RAY_BYTES, process_bytes
from femseg.planning.facts import CohortFacts, MachineFacts, Shape, Stated, StatedScale
from femseg.planning.topology import patch_for, vnet_for
from femseg.training.settings import AugmentationSettings, OptimisationSettings, TrainSettings
from femseg.training.stored_cases import PatchSettings
from femseg.volumes.grid import Triple, VoxelGrid
from femseg.volumes.network_input import network_grid

_CPU_PATCH, _GPU_PATCH, _LEAST_PATCH = 2**18, 2**21, 2**15  # 64³, 128³, 32³ voxels
_STRONG_CORES = 8  # from there on the paper's channels and convolutions
_FEWEST_CHANNELS = 4
_FEWEST_SAMPLES, _MOST_SAMPLES = 2, 4  # of a batch, for each worker
_USED = 0.85  # of the memory: an estimate may be wrong, and files want to be cached


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePlan:
    """One scale.

    Attributes:
        patches: None where the network sees a scan whole.
        processes: that train at once, in the search or on several GPUs.
        process_bytes: peak memory of one, of its GPU if it has one.
        why: a line for each decision.
        reduced: what was made smaller for want of memory.
    """

    arrays: ArraySettings
    patches: PatchSettings | None
    network: VNetSettings
    optimisation: OptimisationSettings
    train: TrainSettings
    processes: int
    process_bytes: int
    why: tuple[str, ...] = ()
    reduced: tuple[str, ...] = ()

    @property
    def seen_zyx(self) -> Shape:
        """What the network sees at a time."""
        seen = self.patches.shape_zyx if self.patches else self.arrays.shape_zyx
        if seen is None:
            raise ValueError("a scale has a shape, or a spacing and patches")
        return seen

    def working_zyx(self, grid: VoxelGrid) -> Shape:
        """A scan's voxels at this scale."""
        return network_grid(grid, self.arrays.recipe("mask")).shape_zyx


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """How a training uses the machine.

    Attributes:
        workers: of a training: one with all cores, or one for each GPU.
        processes: at once; a search has one for each core or GPU.
        bytes: that each may take, of its GPU if it has one.
    """

    workers: int
    processes: int
    bytes: int

    @classmethod
    def of(cls, machine: MachineFacts, stated: Stated, of_scale: StatedScale) -> "_Room":
        trials = of_scale.search.trials_per_mode * len(stated.input_modes) if of_scale.search.enabled else 1
        host = host_bytes(machine)
        on_host = GPU_HOST_BYTES + RANK_BYTES
        workers = max(1, min(machine.gpus, int(host // on_host)))
        processes = max(workers, min(machine.gpus or machine.cores, trials))
        available = host / processes - RANK_BYTES
        if machine.gpus:
            available = _USED * machine.gpu_bytes if host >= processes * on_host else 0
        return cls(workers=workers, processes=processes, bytes=max(0, int(available)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    """What is made smaller: first the samples at a time, then the patch, then the channels; the batch stays."""

    batch: int
    parts: int
    voxels: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a scale is planned for; `scan_zyx` is the median scan in voxels of `spacing_mm_zyx`."""

    machine: MachineFacts
    stated: Stated
    of_scale: StatedScale
    finer: bool
    arrays: ArraySettings
    scan_zyx: Shape
    spacing_mm_zyx: Triple
    room: _Room

    @property
    def strong(self) -> bool:
        """Enough for the paper's channels and convolutions."""
        return self.machine.gpus > 0 or self.machine.cores >= _STRONG_CORES

    @property
    def kernel_size(self) -> int:
        """The paper's 5 where it is affordable: it takes more than four times as long as 3."""
        return 5 if self.machine.gpus and not self.finer else 3

    def patch(self, voxels: int) -> Shape:
        """The largest of at most so many voxels."""
        return patch_for(self.scan_zyx, self.spacing_mm_zyx, voxels=voxels, kernel_size=self.kernel_size)

    @property
    def largest(self) -> _Size:
        """To begin with."""
        voxels = patch_voxels(self.machine)
        each = max(_FEWEST_SAMPLES, min(_MOST_SAMPLES, 2 * voxels // math.prod(self.patch(voxels))))
        return _Size(batch=each * self.room.workers, parts=1, voxels=voxels, channels=16 if self.strong else 8)

    def planned(self, size: _Size) -> ScalePlan:
        """The scale at this size, whatever memory it takes."""
        seen, whole = self.patch(size.voxels), self.arrays.shape_zyx is not None
        network = vnet_for(
            seen, self.spacing_mm_zyx, channels=size.channels, kernel_size=self.kernel_size, light=not self.strong
        )
        optimisation = self._optimisation(size)
        train = self.of_scale.train
        return ScalePlan(
            arrays=replace(self.arrays, shape_zyx=seen) if whole else self.arrays,
            patches=None if whole else replace(self.of_scale.patches, shape_zyx=seen),
            network=network,
            optimisation=optimisation,
            train=replace(
                train,
                workers=self.room.workers,
                least_workers=min(train.least_workers, self.room.workers),
                use_gpu=self.machine.gpus > 0,
            ),
            processes=self.room.processes,
            process_bytes=process_bytes(
                network,
                optimisation,
                seen,
                input_channels=2 if "both" in self.stated.input_modes else 1,
                workers=self._share_of,
                on_gpu=self.machine.gpus > 0,
            ),
        )

    def smaller(self, size: _Size, found: ScalePlan) -> tuple[_Size, str]:
        """The next smaller size, and what that gives up. Raises: Refusal (CL-01, exit 5) if there is none."""
        share = size.batch // self._share_of
        if size.parts < share:
            parts = next(n for n in range(size.parts + 1, share + 1) if share % n == 0)
            return replace(size, parts=parts), "a batch is computed in parts"
        if math.prod(found.seen_zyx) > _LEAST_PATCH:
            return replace(size, voxels=min(size.voxels, math.prod(found.seen_zyx)) * 3 // 4), "a patch is smaller"
        if size.channels > _FEWEST_CHANNELS:
            return replace(size, channels=size.channels // 2), "the V-Net has fewer channels"
        problem = (
            f"the smallest V-Net takes {gib(found.process_bytes)} in each of {self.room.processes} process(es), "
            f"{gib(self.room.bytes)} are there for it"
        )
        fix = "give it more memory, lower search.trials_per_mode, or set search.enabled to false"
        raise Refusal.of("CL-01", "this machine", problem, fix)

    @property
    def _share_of(self) -> int:
        """Processes that share a batch where that is dearest: a trial of a search computes it alone."""
        return 1 if self.of_scale.search.enabled else self.room.workers

    def _optimisation(self, size: _Size) -> OptimisationSettings:
        return replace(
            self.of_scale.optimisation,
            batch_size=size.batch,
            gradient_accumulation=size.parts,
            loss="dice_ce" if self.finer else "dice",
            schedule="cosine",
            precision="bfloat16" if self.machine.bfloat16 else "float32",
            augmentation=self._augmentation(),
        )

    def _augmentation(self) -> AugmentationSettings:
        mirrors = self.stated.femur == "all"  # of one side alone, the other would be taught
        stated = replace(self.of_scale.optimisation.augmentation, enabled=True, mirror_left_right=mirrors)
        thick_mm = round(max(4.0, 2 * self.spacing_mm_zyx[0]), 2)
        if not self.finer:
            return stated
        return replace(stated, elastic_mm=2.0, thick_slice_mm=thick_mm, field_of_view_cut=0.2)

    def reasons(self, plan: ScalePlan) -> Iterator[str]:
        """One line for each decision."""
        network, optimisation, cores = plan.network, plan.optimisation, self.machine.cores
        if plan.patches:
            share = math.prod(min(1.0, a / b) for a, b in zip(plan.seen_zyx, self.scan_zyx, strict=True))
            yield f"patch {by(plan.seen_zyx)}: {share:.1%} of the median scan, {by(self.scan_zyx)} voxels"
        bottom = network.bottom_shape(plan.seen_zyx)[1:]
        yield (
            f"V-Net of {network.base_channels} channels, kernel {network.kernel_size}, strides "
            f"{', '.join(by(stride) for stride in network.compressions)}: ends with {by(bottom)} voxels"
        )
        how = (
            f"a worker for each of {self.room.workers} GPU(s)"
            if self.machine.gpus
            else f"one worker with {cores} core(s)"
        )
        slow = "" if self.machine.bfloat16 else ", as this processor has no bfloat16"
        yield f"batch {optimisation.batch_size}, {optimisation.loss}, {optimisation.precision}{slow}; {how}"


def planned_scale(
    cohort: CohortFacts, machine: MachineFacts, stated: Stated, *, finer: bool, arrays: ArraySettings, why_arrays: str
) -> ScalePlan:
    """The largest scale that the machine has room for.

    Args:
        finer: `refine`, else `find`.
        arrays: its grid or spacing; a grid's shape may become smaller.
        why_arrays: the reason for those.
    Raises: Refusal (CL-01, exit 5) if the smallest V-Net has no room.
    """
    median = VoxelGrid(shape_zyx=cohort.shape_zyx, spacing_mm_zyx=cohort.spacing_mm_zyx)
    scan = network_grid(median, arrays.recipe("mask")).shape_zyx
    of_scale = stated.refine if finer else stated.find
    asked = _Asked(
        machine=machine,
        stated=stated,
        of_scale=of_scale,
        finer=finer,
        arrays=arrays,
        scan_zyx=scan,
        spacing_mm_zyx=arrays.spacing_mm_zyx or median.resized(scan).spacing_mm_zyx,
        room=_Room.of(machine, stated, of_scale),
    )
    size, reduced = asked.largest, dict[str, str]()
    while (found := asked.planned(size)).process_bytes > asked.room.bytes:
        size, cut = asked.smaller(size, found)
        reduced[cut] = f"{cut}: {gib(asked.room.bytes)} for each of {asked.room.processes} process(es)"
    return replace(found, why=(f"grid: {why_arrays}", *asked.reasons(found)), reduced=tuple(reduced.values()))


def host_bytes(machine: MachineFacts) -> int:
    """What the processes of a stage may take together."""
    return int(_USED * machine.memory_bytes) - RAY_BYTES


def patch_voxels(machine: MachineFacts) -> int:
    """Of the largest patch: so many that a step takes about a second on few cores, and 128³ at most."""
    return _GPU_PATCH if machine.gpus else min(_GPU_PATCH, _CPU_PATCH * max(1, machine.cores // 2))


def gib(size: float) -> str:
    """Bytes as people say them."""
    return f"{size / GIB:.1f} GiB"


def by(numbers: tuple[float, ...]) -> str:
    """Sizes along the axes."""
    return " × ".join(f"{number:.4g}" for number in numbers)
