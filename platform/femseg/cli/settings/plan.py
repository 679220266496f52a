"""`femseg plan`: settings that fit a cohort and this machine, why, and what `dvc repro` will cost with them."""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from femseg.cli.check import CheckOptions, checked, settings_for
from femseg.cli.settings.probe import STEPS, Probed, asked_of, probed
from femseg.cli.settings.proposal import write_settings
from femseg.cohorts.manifest import read_manifest, recorded_root
from femseg.cohorts.settings import CohortSettings
from femseg.cohorts.split import SplitSettings, part_sizes
from femseg.errors import Refusal
from femseg.files.durable import require_writable
from femseg.installation.machine import this_machine
from femseg.paths import MANIFEST, PARAMS
from femseg.phantom.acquisition import draw_acquisition
from femseg.phantom.patient import draw_patient
from femseg.phantom.settings import PhantomSettings
from femseg.planning.estimates import ScaleCost, check_bytes, stage_seconds
from femseg.planning.facts import CohortFacts, MachineFacts, Stated, StatedScale
from femseg.planning.plan import Plan, as_settings, make_plan, memory_bytes
from femseg.planning.scale import by, gib
from femseg.progress import time_left
from femseg.search.halving import SearchSettings
from femseg.settings import as_plain, has_section, read_section
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.stored_cases import PatchSettings
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.network_input import InputMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan and what stands behind it.

    Attributes:
        probes: by scale; none without a probe.
        load: processes that wanted to compute before that.
    """

    cohort: CohortFacts
    machine: MachineFacts
    stated: Stated
    plan: Plan
    probes: dict[str, Probed]
    load: float

    @property
    def memory_bytes(self) -> int:
        """Of all processes at the dearest stage, by the probe where there was one."""
        scales = self.plan.scales.items()
        found = [replace(s, process_bytes=self.probes[name].process_bytes) for name, s in scales if name in self.probes]
        return memory_bytes(self.cohort, found) if found else self.plan.memory_bytes

    @property
    def seconds(self) -> dict[str, float]:
        """Of every stage; empty without a probe."""
        if not self.probes:
            return {}
        stated, cohort = self.stated, self.cohort
        modes = {"find": len(stated.input_modes), "refine": 1}
        costs = {
            name: ScaleCost(
                batch_size=scale.optimisation.batch_size,
                step_s=self.probes[name].step_s,
                patches=scale.patches,
                working_zyx=scale.working_zyx(median_grid(cohort)),
                modes=modes[name],
                kinds=1 + (len(stated.input_modes) if name == "find" else len(self.plan.refine_modes)),
            )
            for name, scale in self.plan.scales.items()
        }
        return stage_seconds(
            cohort,
            {"find": stated.find, "refine": stated.refine},
            costs,
            cores=self.machine.cores,
            split=self.plan.split,
            phantoms=stated.phantoms,
        )


def plan_folder(folder: Path | None, *, params: Path | None, write: Path | None, probe: bool, as_json: bool) -> None:
    """Plan; print it, and write it into a params.yaml.

    Args:
        folder: of studies, looked at by their headers; None for the project's own cohort.
    Raises: Refusal if the settings are wrong, the cohort has no usable study, or the machine is too small for it.
    """
    file = params or write or (PARAMS if PARAMS.is_file() or not folder else None)
    stated = stated_settings(file, phantoms=folder is None)
    if write:
        require_writable(write)  # before a minute of probes, not after
    cohort = cohort_facts(folder, file)
    machine = this_machine(Path())
    plan = make_plan(cohort, machine, stated)
    load = os.getloadavg()[0]
    probes = _probes(plan, cohort, machine, stated) if probe else {}
    planned = Planned(cohort=cohort, machine=machine, stated=stated, plan=plan, probes=probes, load=load)
    settings = as_settings(plan, stated)
    print(json.dumps(plan_json(planned), indent=2) if as_json else "\n".join(plan_lines(planned)))
    if write:
        changed = write_settings(write, settings)
        for line in changed or ["nothing to change"]:
            print(f"{write}: {line}", file=sys.stderr if as_json else sys.stdout)


def stated_settings(file: Path | None, *, phantoms: bool) -> Stated:
    """What a params.yaml says that the plan leaves alone; without a file, the defaults.

    Args:
        phantoms: whether the file's own cohort is meant, which may be phantoms.
    Raises: Refusal CFG-01, or CFG-02 (exit 2) if it names another network than the V-Net.
    """
    if file is None:
        return Stated()

    def section(kind: Any, name: str, default: Any) -> Any:
        return read_section(kind, name, file=file) if has_section(name, file=file) else default

    def scale(below: str, default: StatedScale) -> StatedScale:
        network = section(dict[str, Any], f"{below}network", {})
        if (name := network.get("name", "vnet")) != "vnet":
            fix = "set the network's own sizes by hand, or name the vnet"
            raise Refusal.of("CFG-02", file, f"{below}network.name is {name}; a plan fits the vnet alone", fix)
        train = section(TrainSettings, f"{below}train", default.train)
        if train.start_from:
            problem = f"{below}train.start_from takes the weights of a network; a plan gives it another one"
            raise Refusal.of("CFG-02", file, problem, "set it to '', or keep that network's settings without a plan")
        return StatedScale(
            patches=section(PatchSettings, f"{below}patches", default.patches),
            optimisation=section(OptimisationSettings, f"{below}optimisation", default.optimisation),
            search=section(SearchSettings, f"{below}search", default.search),
            train=train,
        )

    usual = Stated()
    cohort = section(CohortSettings, "cohort", CohortSettings())
    split = section(SplitSettings, "split", SplitSettings())
    return Stated(
        input_modes=section(tuple[InputMode, ...], "input_modes", usual.input_modes),
        femur=cohort.femur,
        split=None if cohort.split or split.folds > 1 else split,
        find=scale("", usual.find),
        refine=scale("refine.", usual.refine),
        phantoms=phantoms and cohort.source == "phantom",
    )


def cohort_facts(folder: Path | None, file: Path | None) -> CohortFacts:
    """The grids of a folder's studies, or of the cohort that params.yaml names: checked, drawn, or by its headers."""
    if folder is None and file:
        settings = read_section(CohortSettings, "cohort", file=file)
        if settings.source == "phantom":
            return phantom_facts(read_section(PhantomSettings, "phantom", file=file))
        folder = Path(settings.folder)
        if MANIFEST.is_file() and (manifest := read_manifest(MANIFEST)).root == recorded_root(folder, MANIFEST):
            patients = len({case.patient_id for case in manifest.cases})
            return CohortFacts.of((case.grid for case in manifest.cases), patients=patients, source=str(MANIFEST))
    if folder is None:
        raise ValueError("a folder or a settings file is expected")
    options = CheckOptions(params=file, headers_only=True)
    cohort = checked(folder, options, settings_for(folder, options))
    grids = [study.grid for study in cohort.accepted if study.grid]
    if not grids:
        cohort.refuse_faults()
    left_out = f", {len(cohort.refused)} studies with faults left out" if cohort.refused else ""
    return CohortFacts.of(grids, patients=cohort.patients, source=f"headers below {folder}{left_out}")


def phantom_facts(settings: PhantomSettings) -> CohortFacts:
    """Of phantoms, none of which is drawn."""
    patients = range(settings.patients)
    grids = (draw_acquisition(settings, n, draw_patient(settings.seed, n)).grid for n in patients)
    return CohortFacts.of(grids, patients=settings.patients, source="phantoms of params.yaml")


def median_grid(cohort: CohortFacts) -> VoxelGrid:
    """A scan of the median size and spacing."""
    return VoxelGrid(shape_zyx=cohort.shape_zyx, spacing_mm_zyx=cohort.spacing_mm_zyx)


def _probes(plan: Plan, cohort: CohortFacts, machine: MachineFacts, stated: Stated) -> dict[str, Probed]:
    found = {}
    mode: InputMode = "both" if "both" in stated.input_modes else "raw"
    for name, scale in plan.scales.items():
        print(f"probe of {name}: {STEPS} training steps", file=sys.stderr, flush=True)
        scan = scale.working_zyx(median_grid(cohort))
        found[name] = probed(asked_of(scale, scan_zyx=scan, input_mode=mode, cores=machine.cores), name=name)
    return found


def plan_lines(planned: Planned) -> Iterable[str]:
    """The plan in words."""
    cohort, machine, plan = planned.cohort, planned.machine, planned.plan
    scan = f"median {by(cohort.shape_zyx)} voxels of {by(cohort.spacing_mm_zyx)} mm"
    yield f"cohort: {len(cohort.grids)} CTs of {cohort.patients} patients, {scan} ({cohort.source})"
    gpus = f"{machine.gpus} GPU(s) of {gib(machine.gpu_bytes)}" if machine.gpus else "no GPU"
    memory, disk = gib(machine.memory_bytes), gib(machine.disk_bytes)
    yield f"machine: {machine.cores} core(s), {memory} of memory, {gpus}, {disk} of disk free"
    for name, scale in plan.scales.items():
        yield from ("", name, *(f"  {line}" for line in scale.why))
        yield f"  {looks(planned, name)}"
    yield from ("", *plan.why)
    reduced = [f"{name}: {line}" for name, scale in plan.scales.items() for line in scale.reduced]
    if reduced := [*plan.reduced, *reduced]:
        yield from ("", "did not fit, and was reduced", *(f"  {line}" for line in reduced))
    yield from ("", "what it will cost", *(f"  {line}" for line in _costs(planned)))


def looks(planned: Planned, name: str) -> str:
    """How often each training case is seen with the iterations that params.yaml says, which a plan leaves alone."""
    scale, split = planned.plan.scales[name], planned.plan.split
    share = part_sizes(planned.cohort.patients, split)[0] / planned.cohort.patients if split else 0.6
    seen = scale.train.max_iterations * scale.optimisation.batch_size / (share * len(planned.cohort.grids))
    key = "refine.train.max_iterations" if name == "refine" else "train.max_iterations"
    return f"{key} stays {scale.train.max_iterations}: every training case is seen about {seen:.0f} times"


def _costs(planned: Planned) -> Iterable[str]:
    plan, machine = planned.plan, planned.machine
    where = "of its GPU" if machine.gpus else "a process"
    for name, scale in plan.scales.items():
        found = planned.probes.get(name)
        measured = f", {gib(found.process_bytes)} in the probe; {found.step_s:.3g} s a step" if found else ""
        yield f"{name}: {gib(scale.process_bytes)} {where} estimated{measured}; up to {scale.processes} at once"
    check = gib(check_bytes(planned.cohort.grids))
    yield f"memory: {gib(planned.memory_bytes)} of {gib(machine.memory_bytes)}; {check} of it to check the largest CT"
    yield f"disk: {gib(plan.disk_bytes)} of {gib(machine.disk_bytes)} free, arrays in project and DVC's cache"
    if not planned.probes:
        yield "time: not known without a probe"
        return
    stages = ", ".join(f"{stage} {time_left(s)}" for stage, s in planned.seconds.items())
    yield f"time: dvc repro takes about {time_left(sum(planned.seconds.values()))}: {stages}"
    if planned.load > machine.cores:
        alone = (f"{name} {one.processor_s / machine.cores:.2g} s" for name, one in planned.probes.items())
        yield f"busy with other things (load {planned.load:.0f}); by processor time a step takes {', '.join(alone)}"


def plan_json(planned: Planned) -> dict[str, Any]:
    """The same as JSON values."""
    cohort, plan = planned.cohort, planned.plan
    scales = {
        name: {
            "why": list(scale.why),
            "reduced": list(scale.reduced),
            "processes": scale.processes,
            "process_bytes": scale.process_bytes,
            "probe": as_plain(planned.probes[name]) if name in planned.probes else None,
        }
        for name, scale in plan.scales.items()
    }
    return {
        "cohort": {
            "cts": len(cohort.grids),
            "patients": cohort.patients,
            "source": cohort.source,
            "median_shape_zyx": list(cohort.shape_zyx),
            "median_spacing_mm_zyx": list(cohort.spacing_mm_zyx),
        },
        "machine": as_plain(planned.machine),
        "settings": as_settings(plan, planned.stated),
        "scales": scales,
        "why": list(plan.why),
        "reduced": list(plan.reduced),
        "estimates": {
            "memory_bytes": planned.memory_bytes,
            "disk_bytes": plan.disk_bytes,
            "stage_seconds": planned.seconds or None,
            "seconds": sum(planned.seconds.values()) if planned.seconds else None,
            "load_before": planned.load,
        },
    }
