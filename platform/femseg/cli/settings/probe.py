"""A few training steps on random data of a planned shape, in a process of their own: how long, and how much memory.

    python -m femseg.cli.settings.probe < asked.json

The trainer, the array store, patches, augmentation, validation and checkpoint are the real ones; only Ray is not there.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from femseg.cohorts.places import PLACES_SHAPE
from femseg.cohorts.settings import ArraySettings
from femseg.cohorts.store import ArrayKind, ArrayStore, StoredArray, write_array, write_index
from femseg.errors import Refusal, words_of
from femseg.networks.network import build_network
from femseg.networks.vnet import VNetSettings
from femseg.planning.scale import ScalePlan
from femseg.settings import as_plain, checked
from femseg.training.context import TrainerContext
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.stored_cases import PatchCases, PatchSettings, StoredCases
from femseg.training.trainer import Trainer
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.network_input import InputMode

STEPS = 20
_WARM_UP = 3  # steps that are not counted, if there are others
CASES = ("case-1", "case-2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to try.

    Attributes:
        scan_zyx: voxels of a random scan at this scale.
        input_mode: decides the channels.
        cores: threads of the process.
    """

    arrays: ArraySettings
    patches: PatchSettings | None
    network: VNetSettings
    optimisation: OptimisationSettings
    scan_zyx: tuple[int, int, int]
    input_mode: InputMode = "raw"
    cores: int = 1
    use_gpu: bool = False
    steps: int = STEPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What was found.

    Attributes:
        step_s: the median step.
        processor_s: of all threads, a step; validation and a checkpoint included.
        process_bytes: peak memory of the process, of its GPU if it has one.
    """

    step_s: float
    processor_s: float
    process_bytes: int


def asked_of(
    scale: ScalePlan, *, scan_zyx: tuple[int, int, int], input_mode: InputMode, cores: int, steps: int = STEPS
) -> Asked:
    """One worker's share of a planned training; a scan no larger than two patches along each axis."""
    whole, workers = scale.optimisation, scale.train.workers
    share = whole.batch_size // workers
    optimisation = checked(
        OptimisationSettings,
        as_plain(whole) | {"batch_size": share, "gradient_accumulation": math.gcd(share, whole.gradient_accumulation)},
        where="optimisation",
    )
    z, y, x = (min(n, 2 * seen) for n, seen in zip(scan_zyx, scale.seen_zyx, strict=True))
    return Asked(
        arrays=scale.arrays,
        patches=scale.patches,
        network=scale.network,
        optimisation=optimisation,
        scan_zyx=(z, y, x) if scale.patches else scale.seen_zyx,
        input_mode=input_mode,
        cores=cores,
        use_gpu=scale.train.use_gpu,
        steps=steps,
    )


def probed(asked: Asked, *, name: str) -> Probed:
    """Try it in a process of its own. Raises: Refusal (PP-07, exit 5) if that dies."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(asked.cores)}
    command = [sys.executable, "-W", "ignore", "-m", "femseg.cli.settings.probe"]
    done = subprocess.run(
        command, input=json.dumps(as_plain(asked)), capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        words = words_of(done.stderr.strip().rpartition("\n")[2]) if done.stderr else "it was killed"
        problem = f"the probe of {name} ended with {done.returncode} ({words})"
        raise Refusal.of("PP-07", "this machine", problem, "free memory, or plan with --no-probe")
    return checked(Probed, json.loads(done.stdout), where="probe", file="probe")


def random_stores(folder: Path, asked: Asked) -> None:
    """Two random scans as the stages leave them: inputs, masks and places of patches."""
    spacing = asked.arrays.spacing_mm_zyx or (1.0, 1.0, 1.0)
    grid = VoxelGrid(shape_zyx=asked.scan_zyx, spacing_mm_zyx=spacing)
    recipe, generator = asked.arrays.recipe(asked.input_mode), np.random.default_rng(0)
    channels = len(recipe.channels)
    femur = np.zeros(asked.scan_zyx, np.bool_)
    femur[tuple(slice(n // 4, max(n // 4 + 1, 3 * n // 4)) for n in asked.scan_zyx)] = True
    entries: dict[ArrayKind, dict[str, StoredArray]] = {}
    for case in CASES:
        shape = (channels, *asked.scan_zyx) if channels > 1 else asked.scan_zyx
        array = generator.random(shape, np.float32).astype(recipe.dtype)
        made: dict[ArrayKind, NDArray[Any]] = {asked.input_mode: array, "mask": femur}
        if asked.patches:
            made["places"] = generator.integers(0, asked.scan_zyx, PLACES_SHAPE, dtype=np.int16)
        for kind, one in made.items():
            stored = write_array(folder / kind, case, one, kind=kind, network_grid=grid, ct_grid=grid)
            entries.setdefault(kind, {})[case] = stored
    for kind, of_cases in entries.items():
        write_index(folder / kind, kind, asked.arrays.recipe(kind), of_cases)


def trained(asked: Asked, folder: Path, case_ids: Sequence[str]) -> Probed:
    """Train in this process on the array stores below a folder."""
    torch.set_num_threads(asked.cores)
    stores = StoredCases.open(folder / asked.input_mode, folder / "mask", case_ids)
    cases: StoredCases | PatchCases = stores
    if asked.patches:
        cases = PatchCases(stores=stores, places=ArrayStore.open(folder / "places"), settings=asked.patches)
    device = torch.device("cuda" if asked.use_gpu else "cpu")
    trainer = Trainer(
        build_network(asked.network, len(stores.inputs.recipe.channels)),
        cases,
        cases,
        TrainSettings(max_iterations=asked.steps, validate_every=asked.steps, checkpoint_every=asked.steps),
        asked.optimisation,
        folder=folder / "run",
        fingerprint={},
        context=TrainerContext(device=device, say=lambda line: None),
    )
    before = time.process_time()
    seconds = [row.seconds for row in trainer.fit().curve]
    return Probed(
        step_s=statistics.median(seconds[_WARM_UP:] or seconds),
        processor_s=(time.process_time() - before) / asked.steps,
        process_bytes=_peak_bytes(device),
    )


def _peak_bytes(device: torch.device) -> int:
    """Of this process alone: what `getrusage` says may be of the one that started it."""
    if device.type == "cuda":
        used, free_and_used = torch.cuda.mem_get_info(device)
        context = free_and_used - used - torch.cuda.memory_reserved(device)
        return torch.cuda.max_memory_reserved(device) + max(0, context)
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    plain = checked(Asked, json.load(sys.stdin), where="probe", file="probe")
    with tempfile.TemporaryDirectory(prefix="femseg-probe-") as name:
        random_stores(Path(name), plain)
        print(json.dumps(as_plain(trained(plain, Path(name), CASES))))
