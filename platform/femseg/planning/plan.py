"""The plan: settings of both scales and the split for a cohort and a machine, why, and what had to be reduced."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from femseg.cohorts.settings import ArraySettings
from femseg.cohorts.split import SplitSettings, part_sizes
from femseg.errors import Refusal
from femseg.planning.estimates import GPU_HOST_BYTES, RANK_BYTES, RAY_BYTES, check_bytes, disk_bytes
from femseg.planning.facts import CohortFacts, MachineFacts, Stated
from femseg.planning.scale import ScalePlan, by, gib, host_bytes, patch_voxels, planned_scale
from femseg.settings import as_plain
from femseg.volumes.grid import Triple
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputMode

_FINEST_MM, _COARSEST_MM = 0.8, 1.5
_FIND_MM = (3.0, 4.0)
_FIND_VOXELS = 2**21  # of a scan at 3 mm; a larger one is found at 4 mm
_ALIKE = 1.25  # largest scan to smallest, along every axis: then one grid stands for all
_DISK_USED = 0.8
_HU_WINDOW = Scaling(kind="window", low=-200.0, high=1200.0)
_GRADIENT_WINDOW = Scaling(kind="window", low=0.0, high=300.0)
_VALIDATION, _TEST, _TEST_OF_FEW = 0.2, 0.2, 0.3
_MANY_PATIENTS = 30  # a fifth of them are six: with fewer, no difference can be shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is proposed.

    Attributes:
        refine_modes: input modes of the finer scale.
        split: None where the plan leaves it alone.
        memory_bytes: of all processes of the dearest stage, on the host.
        disk_bytes: of all arrays, in the project and in DVC's cache, and of phantoms.
        why, reduced: lines, besides those of the scales.
    """

    find: ScalePlan
    refine: ScalePlan
    refine_modes: tuple[InputMode, ...]
    split: SplitSettings | None
    memory_bytes: int
    disk_bytes: int
    why: tuple[str, ...] = ()
    reduced: tuple[str, ...] = ()

    @property
    def scales(self) -> dict[str, ScalePlan]:
        """By name."""
        return {"find": self.find, "refine": self.refine}


def make_plan(cohort: CohortFacts, machine: MachineFacts, stated: Stated) -> Plan:
    """Settings for this cohort on this machine.

    Raises: Refusal: CFG-03 (exit 2) too few patients for three parts; CL-01 (exit 5) too little memory for the smallest
        network or the largest CT; PP-09 (exit 5) too little disk for the coarsest arrays.
    """
    split, why_split = _split(cohort, stated)
    _refuse_large_cts(cohort, machine)
    arrays, why = _find_arrays(cohort, machine)
    find = planned_scale(cohort, machine, stated, finer=False, arrays=arrays, why_arrays=why)
    spacing, modes, reduced = _within_disk(cohort, machine, stated, find.arrays)
    arrays, why = _by_spacing(spacing), f"{_mm(spacing)}: the median CT has {_mm(cohort.spacing_mm_zyx)}"
    refine = planned_scale(cohort, machine, stated, finer=True, arrays=arrays, why_arrays=why)
    return Plan(
        find=find,
        refine=refine,
        refine_modes=modes,
        split=split,
        memory_bytes=memory_bytes(cohort, (find, refine)),
        disk_bytes=_disk(cohort, stated, find.arrays, refine.arrays, modes),
        why=(why_split,),
        reduced=reduced,
    )


def memory_bytes(cohort: CohortFacts, scales: Iterable[ScalePlan]) -> int:
    """Of all processes of the dearest stage: a training, a search, or the check of the largest CT."""
    trainings = [
        scale.processes * (RANK_BYTES + (GPU_HOST_BYTES if scale.train.use_gpu else scale.process_bytes))
        for scale in scales
    ]
    return RAY_BYTES + max(*trainings, check_bytes(cohort.grids))


def _refuse_large_cts(cohort: CohortFacts, machine: MachineFacts) -> None:
    needed, there = check_bytes(cohort.grids), host_bytes(machine)
    if needed > there:
        problem = f"the largest CT takes {gib(needed)} to be checked, {gib(max(0, there))} are there for it"
        raise Refusal.of("CL-01", "this machine", problem, "use a machine with more memory, or crop the CT to the legs")


def _split(cohort: CohortFacts, stated: Stated) -> tuple[SplitSettings | None, str]:
    """As it is where that leaves half of the patients to train on; else shares."""
    split, patients = stated.split, cohort.patients
    if split is None:
        return None, "split: stays as it is"
    try:
        fits = 2 * part_sizes(patients, split)[0] >= patients
    except Refusal:
        fits = False
    if not fits:
        split = replace(split, validation=_VALIDATION, test=_TEST if patients >= _MANY_PATIENTS else _TEST_OF_FEW)
    train, validation, test = part_sizes(patients, split)
    few = "; with fewer than 6 to test no difference can be shown" if test < 6 else ""
    return split, f"split: {train} patients to train, {validation} to validation, {test} to test{few}"


def _find_arrays(cohort: CohortFacts, machine: MachineFacts) -> tuple[ArraySettings, str]:
    """One grid where all scans show boxes of one size that a network can see whole; else a spacing."""
    smallest, median, largest = cohort.extents_mm_zyx
    z, y, x = (max(1, round(mm / _FIND_MM[1])) for mm in median)
    alike = all(high <= _ALIKE * low for low, high in zip(smallest, largest, strict=True))
    if alike and z * y * x <= patch_voxels(machine):
        box = by(tuple(round(mm) for mm in median))
        return ArraySettings(shape_zyx=(z, y, x), anti_aliasing=True), f"scans of about {box} mm are seen whole"
    thick = cohort.spacing_mm_zyx[0] > sum(_FIND_MM) / 2
    large = math.prod(mm / _FIND_MM[0] for mm in median) > _FIND_VOXELS
    spacing = _FIND_MM[1] if thick or large else _FIND_MM[0]
    lengths = ", ".join(f"{low:.0f} to {high:.0f}" for low, high in zip(smallest, largest, strict=True))
    why = "scans are too large to be seen whole" if alike else f"scans of {lengths} mm look alike only at one spacing"
    why += "; slices are no closer" if thick else "; a patch at 3 mm would show little of a scan" if large else ""
    return _by_spacing((spacing, spacing, spacing)), f"{_mm((spacing, spacing, spacing))}: {why}"


def _refine_spacing(cohort: CohortFacts) -> Triple:
    """The median CT's, no finer than 0.8 mm; rows and columns alike."""
    z, y, x = cohort.spacing_mm_zyx
    in_plane = round(max(_FINEST_MM, (y + x) / 2), 2)
    return (round(max(_FINEST_MM, z), 2), in_plane, in_plane)


def _by_spacing(spacing: Triple) -> ArraySettings:
    return ArraySettings(
        spacing_mm_zyx=spacing, anti_aliasing=True, raw_scaling=_HU_WINDOW, gradient_scaling=_GRADIENT_WINDOW
    )


def _within_disk(
    cohort: CohortFacts, machine: MachineFacts, stated: Stated, find: ArraySettings
) -> tuple[Triple, tuple[InputMode, ...], tuple[str, ...]]:
    """Spacing and input modes of the finer scale whose arrays find room, and what was reduced for that."""
    spacing, modes, reduced = _refine_spacing(cohort), stated.input_modes, dict[str, str]()
    free = f"{gib(machine.disk_bytes)} of disk are free"
    while (needed := _disk(cohort, stated, find, _by_spacing(spacing), modes)) > _DISK_USED * machine.disk_bytes:
        z, y, x = (mm if mm >= _COARSEST_MM else round(min(_COARSEST_MM, 1.15 * mm), 2) for mm in spacing)
        if (z, y, x) != spacing:
            spacing = (z, y, x)
            reduced["spacing"] = f"refine at {_mm(spacing)}: {free}"
        elif len(modes) > 1:
            modes = modes[:1]
            reduced["modes"] = f"refine is trained with {modes[0]} alone: {free}"
        else:
            problem = f"arrays take {gib(needed)} in project and cache, as coarse as they may be; {free}"
            fix = "free space, or put the project and DVC's cache elsewhere"
            raise Refusal.of("PP-09", "this project", problem, fix)
    return spacing, modes, tuple(reduced.values())


def _disk(
    cohort: CohortFacts, stated: Stated, find: ArraySettings, refine: ArraySettings, modes: tuple[InputMode, ...]
) -> int:
    """Arrays of both scales, and phantoms: a CT and a mask of 16 bits, also in DVC's cache."""
    drawn = 8 * sum(math.prod(grid.shape_zyx) for grid in cohort.grids) if stated.phantoms else 0
    return drawn + disk_bytes(find, stated.input_modes, cohort.grids) + disk_bytes(refine, modes, cohort.grids)


def _mm(spacing: Triple) -> str:
    return f"{by(spacing)} mm"


def as_settings(plan: Plan, stated: Stated) -> dict[str, Any]:
    """The plan by dotted keys of params.yaml as plain values; only what it decides, and what refine cannot lack."""
    train, all_modes = plan.refine.train, plan.refine_modes == stated.input_modes
    found = {
        **_of_scale(plan.find),
        **{f"refine.{key}": value for key, value in _of_scale(plan.refine).items()},
        "refine.input_modes": list(plan.refine_modes),
        "refine.trainings": ["best"] if all_modes else list(plan.refine_modes),
        "refine.search.enabled": stated.refine.search.enabled,
        "refine.train.learning_rate": train.learning_rate,
        "refine.train.max_iterations": train.max_iterations,
        "refine.train.validate_every": train.validate_every,
    }
    if plan.split:
        found |= {"split.validation": plan.split.validation, "split.test": plan.split.test}
    return found


_DECIDED = {
    "network": "base_channels strides convolutions_down convolutions_up kernel_size normalisation deep_supervision",
    "optimisation": "batch_size gradient_accumulation loss schedule precision",
    "train": "workers least_workers use_gpu",
}
_DECIDED_OF_AUGMENTATION = "enabled mirror_left_right elastic_mm thick_slice_mm field_of_view_cut"


def _of_scale(scale: ScalePlan) -> dict[str, Any]:
    plain = {name: as_plain(getattr(scale, name)) for name in ("arrays", *_DECIDED)}
    arrays = plain["arrays"]
    found = {f"arrays.{key}": arrays[key] for key in ("shape_zyx", "spacing_mm_zyx", "anti_aliasing")}
    if scale.patches:
        windows = ("raw_scaling", "gradient_scaling")
        found |= {f"arrays.{name}.{key}": value for name in windows for key, value in arrays[name].items()}
        found["patches.shape_zyx"] = list(scale.seen_zyx)
    found |= {f"{section}.{key}": plain[section][key] for section, keys in _DECIDED.items() for key in keys.split()}
    augmentation = plain["optimisation"]["augmentation"]
    found |= {f"optimisation.augmentation.{key}": augmentation[key] for key in _DECIDED_OF_AUGMENTATION.split()}
    return found | {"search.use_gpu": scale.train.use_gpu}
