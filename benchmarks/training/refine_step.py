"""A training step of the finer scale in patches: against the sum of its convolutions, and what drawing a patch costs.

    python -m benchmarks.training.refine_step --output benchmarks/results/refine_step.json

Network, patches, optimisation and augmentation are those of `refine` in params.phantom1mm.yaml; patches come out of the
stored arrays of a phantom's hips at 1 mm. In each round the step (forward, loss, backward, Adam) and each of its
convolutions alone, forward and backward, on tensors of the size and type that it meets, and the drawing of one patch
(read, moved, smeared, noise) are timed in turn: processor time on one thread, so that neither what else the machine
does nor the second core counts. Then steps are made with patches drawn ahead in a thread, as in training: how long, by
the clock, a step waits for its patches.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.training.vnet_step import convolutions_alone
from femseg.cohorts.places import find_places
from femseg.cohorts.settings import ArraySettings
from femseg.cohorts.store import ArrayKind, ArrayStore, write_array, write_index
from femseg.files.durable import write_json_durably
from femseg.networks.vnet import VNet, VNetSettings
from femseg.phantom import PhantomSettings, phantom_study
from femseg.settings import checked
from femseg.training.batches import Batch, samples_at_a_time, training_batches
from femseg.training.device import add_gradients, build_optimizer, move_to_device
from femseg.training.settings import OptimisationSettings
from femseg.training.stored_cases import PatchCases, PatchSettings, StoredCases
from femseg.volumes.network_input import mask_on_network_grid, network_grid, network_input

RECIPE_FILE = Path(__file__).parents[2] / "params.phantom1mm.yaml"
GOALS = {"step_over_convolutions": 1.15, "drawing_share": 0.20}
CPU = torch.device("cpu")


def settings_of(section: str, settings_type: type[Any]) -> Any:
    """A section of `refine`."""
    refine = yaml.safe_load(RECIPE_FILE.read_text(encoding="utf-8"))["refine"]
    return checked(settings_type, refine[section], where=f"refine.{section}", file=RECIPE_FILE)


def stored_cases(folder: Path, spacing_mm: float) -> PatchCases:
    """The arrays of one phantom's hips."""
    settings = PhantomSettings(
        patients=3, legs="both", spacing_mm_zyx=(spacing_mm,) * 3, scans="varied", cut_off_fraction=0.0
    )
    study = phantom_study(settings, 1)
    arrays: ArraySettings = settings_of("arrays", ArraySettings)
    recipe = arrays.recipe("raw")
    grid = network_grid(study.ct.grid, recipe)
    input_czyx = network_input(study.ct, recipe)
    femur_zyx = mask_on_network_grid(study.femur, recipe)
    places = find_places(femur_zyx, input_czyx[0].astype(np.float32) * 1400.0 - 200.0, grid.spacing_mm_zyx)
    kinds: tuple[tuple[ArrayKind, Any], ...] = (("raw", input_czyx[0]), ("mask", femur_zyx), ("places", places))
    for kind, array in kinds:
        entry = write_array(folder / kind, "hips", array, kind=kind, network_grid=grid, ct_grid=study.ct.grid)
        write_index(folder / kind, kind, arrays.recipe(kind), {"hips": entry})
    return PatchCases(
        stores=StoredCases.open(folder / "raw", folder / "mask", ("hips",)),
        places=ArrayStore.open(folder / "places"),
        settings=settings_of("patches", PatchSettings),
    )


def step_of(optimisation: OptimisationSettings) -> Callable[[Batch], None]:
    """A function that makes one training step."""
    network = VNet(settings_of("network", VNetSettings), 1)
    move_to_device(network, optimisation, CPU)
    optimizer = build_optimizer(network, optimisation)
    micro_batch = samples_at_a_time(optimisation, workers=1)

    def step(batch: Batch) -> None:
        optimizer.zero_grad(set_to_none=True)
        add_gradients(network, batch, optimisation, device=CPU, micro_batch=micro_batch)
        optimizer.step()

    return step


def measured(rounds: int, spacing_mm: float) -> dict[str, Any]:
    """Milliseconds, medians over the rounds."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    optimisation: OptimisationSettings = settings_of("optimisation", OptimisationSettings)
    size, augmentation = optimisation.batch_size, optimisation.augmentation
    with tempfile.TemporaryDirectory() as folder:
        cases = stored_cases(Path(folder), spacing_mm)

        def batches(first: int, last: int) -> Any:
            return training_batches(
                cases,
                batch_size=size,
                augmentation=augmentation,
                seed=0,
                first_iteration=first,
                last_iteration=last,
                positions=range(size),
            )

        (batch,) = batches(1, 1)
        step, number = step_of(optimisation), itertools.count()
        at_once = samples_at_a_time(optimisation, workers=1)
        alone = convolutions_alone(
            VNet(settings_of("network", VNetSettings), 1),
            batch.input_bczyx[:at_once],
            torch.channels_last_3d,
            bfloat16=optimisation.precision == "bfloat16",
            clock=time.process_time,
        )
        runs: dict[str, Callable[[], object]] = {
            "step": lambda: step(batch),
            "convolutions": alone,
            "drawing": lambda: cases.sample("hips", augmentation, (0, 1, next(number))),
        }
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for each in range(rounds + 1):  # the first warms up
            for name, run in runs.items():
                began = time.process_time()
                told = run()
                spent = told * size / at_once if isinstance(told, float) else time.process_time() - began
                if each:
                    taken[name].append(1000.0 * spent)
        waited, began = 0.0, time.perf_counter()
        ahead = batches(2, rounds + 2)
        for _ in range(rounds):
            asked = time.perf_counter()
            drawn = next(ahead)
            waited += time.perf_counter() - asked
            step(drawn)
        whole = time.perf_counter() - began
        ahead.close()
    median = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "channels": settings_of("network", VNetSettings).base_channels,
        "patch_zyx": list(cases.settings.shape_zyx),
        "batch_size": size,
        "samples_at_a_time": at_once,
        "precision": optimisation.precision,
        "rounds": rounds,
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0]},
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "median_processor_ms": median,
        "least_processor_ms": {name: min(values) for name, values in taken.items()},
        "step_over_convolutions": median["step"] / median["convolutions"],
        "drawing_share": size * median["drawing"] / median["step"],
        "waiting_share_by_the_clock": waited / whole,
        "goals": GOALS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--spacing", type=float, default=1.0, help="of the phantom, in mm")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result = measured(arguments.rounds, arguments.spacing)
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
