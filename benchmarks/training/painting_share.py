"""What painting costs of a training step: patches of a synthetic person, batch 2, a V-Net of 8 channels in bfloat16.

    python -m benchmarks.training.painting_share --output benchmarks/results/painting_share.json

Processor time on one thread, so that neither what else the machine does nor the second core counts. In each round the
step, a whole sample (read, moved, painted, made the network's input), and of it the painting and the network's input
alone are timed in turn; "stored" is a sample that augmentation moves out of a stored input instead; "painting metal" is
a box of the same size about an implant, with its shadow and streaks.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from femseg.cohorts.places import find_places
from femseg.cohorts.store import ArrayKind, ArrayStore, StoredArray, write_array, write_index
from femseg.files.durable import write_json_durably
from femseg.networks.vnet import VNet, VNetSettings
from femseg.synthetic.anatomy import scene
from femseg.synthetic.painting import painted
from femseg.synthetic.painting_settings import PaintingSettings
from femseg.synthetic.scene import Scene, Tissue
from femseg.synthetic.settings import SyntheticSettings
from femseg.training.batches import Batch
from femseg.training.device import add_gradients
from femseg.training.painted_cases import PaintedCases
from femseg.training.settings import AugmentationSettings, OptimisationSettings
from femseg.training.stored_cases import PatchCases, PatchSettings, StoredCases
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputRecipe, painted_input

Fields = NDArray[np.uint8]
SPACING, BATCH = (3.0, 3.0, 3.0), 2
RECIPE = InputRecipe(
    input_mode="both",
    spacing_mm_zyx=SPACING,
    raw_scaling=Scaling(kind="window", low=-200.0, high=1200.0),
    gradient_scaling=Scaling(kind="window", low=0.0, high=250.0),
    gradient_of="resampled",
)
NETWORK = VNetSettings(
    base_channels=8,
    strides=((2, 2, 2),) * 3,
    convolutions_down=(1, 2, 2, 2),
    convolutions_up=(2, 2, 1),
    kernel_size=3,
    normalisation="instance",
)
MOVED = AugmentationSettings(enabled=True, elastic_mm=3.0, field_of_view_cut=0.2)
OPTIMISATION = OptimisationSettings(batch_size=BATCH, loss="dice_ce", precision="bfloat16", augmentation=MOVED)


def cases_of(person: Scene, folder: Path, edge: int) -> PaintedCases:
    """A cohort of one person."""
    hu_zyx = painted(person.fields_czyx, SPACING, PaintingSettings(), np.random.default_rng(0))
    femur_zyx = person.femora_zyx > 0
    arrays = {
        "both": painted_input(hu_zyx, SPACING, RECIPE),
        "mask": femur_zyx,
        "places": find_places(femur_zyx, hu_zyx, SPACING),
        "tissue": person.fields_czyx,
    }
    kinds: tuple[ArrayKind, ...] = ("both", "mask", "places", "tissue")
    for kind in kinds:
        entry: StoredArray = write_array(
            folder / kind, "person", arrays[kind], kind=kind, network_grid=person.grid, ct_grid=person.grid
        )
        write_index(folder / kind, kind, RECIPE, {"person": entry})
    patches = PatchCases(
        stores=StoredCases.open(folder / "both", folder / "mask", ("person",)),
        places=ArrayStore.open(folder / "places"),
        settings=PatchSettings(shape_zyx=(edge, edge, edge)),
    )
    return PaintedCases(patches=patches, fields=ArrayStore.open(folder / "tissue"), painting=PaintingSettings())


def step_on(batch: Batch) -> Callable[[], None]:
    """A function that makes one training step."""
    network = VNet(NETWORK, len(RECIPE.channels)).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        add_gradients(network, batch, OPTIMISATION, device=torch.device("cpu"), micro_batch=BATCH)
        optimizer.step()

    return step


def box_about(fields_czyx: Fields, middle_zyx: Sequence[float], edge: int) -> Fields:
    """A cube of a scene, moved until it lies within."""
    starts = [int(np.clip(m - edge / 2, 0, n - edge)) for m, n in zip(middle_zyx, fields_czyx.shape[1:], strict=True)]
    z, y, x = (slice(start, start + edge) for start in starts)
    return np.ascontiguousarray(fields_czyx[:, z, y, x])


def box_about_metal(edge: int) -> Fields:
    """Of the first person whose scan shows an implant and holds such a cube."""
    scans = (scene(SyntheticSettings(metal=1.0), index, SPACING).fields_czyx for index in itertools.count())
    fields_czyx = next(one for one in scans if (one[0] == Tissue.METAL).any() and min(one.shape[1:]) >= edge)
    return box_about(fields_czyx, np.argwhere(fields_czyx[0] == Tissue.METAL).mean(axis=0), edge)


def measured(edge: int, rounds: int) -> dict[str, object]:
    """Milliseconds of processor time, medians over the rounds."""
    torch.set_num_threads(1)
    person = scene(SyntheticSettings(), 2, SPACING)  # both hips with some shaft
    with tempfile.TemporaryDirectory() as folder:
        cases = cases_of(person, Path(folder), edge)
        samples = [cases.sample("person", MOVED, (0, 0, place)) for place in range(BATCH)]
        inputs, targets = (torch.stack(parts) for parts in zip(*samples, strict=True))
        batch = Batch(iteration=1, case_ids=("person",) * BATCH, input_bczyx=inputs, target_bzyx=targets)
        box = box_about(person.fields_czyx, [size / 2 for size in person.grid.shape_zyx], edge)
        hu_zyx = painted(box, SPACING, cases.painting, np.random.default_rng(0))
        number, about_metal = iter(range(10**6)), box_about_metal(edge)
        runs: dict[str, Callable[[], object]] = {
            "step": step_on(batch),
            "sample": lambda: cases.sample("person", MOVED, (0, 1, next(number))),
            "painting": lambda: painted(box, SPACING, cases.painting, np.random.default_rng(next(number))),
            "painting metal": lambda: painted(
                about_metal, SPACING, cases.painting, np.random.default_rng(next(number))
            ),
            "network_input": lambda: painted_input(hu_zyx, SPACING, RECIPE),
            "stored": lambda: cases.patches.sample("person", MOVED, (0, 1, next(number))),
        }
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for each in range(rounds + 1):  # the first warms up
            for name, run in runs.items():
                began = time.process_time()
                run()
                if each:
                    taken[name].append(1000.0 * (time.process_time() - began))
    median = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "patch_zyx": [edge] * 3,
        "painted_voxels_zyx": list(box.shape[1:]),
        "batch_size": BATCH,
        "rounds": rounds,
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0]},
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "median_processor_ms": median,
        "least_processor_ms": {name: min(values) for name, values in taken.items()},
        "share_of_a_step": {name: BATCH * median[name] / median["step"] for name in runs if name != "step"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result = measured(arguments.edge, arguments.rounds)
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
