"""Small training runs on noisy ellipsoids, in processes joined by gloo.

python sphere_run.py FOLDER     a batch of 4 in one process, shared by 2, 3 and 4, and by 4, then 2, then 1
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # DDP imports it at its first use: here once for all forks
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.networks.vnet import VNet, VNetSettings
from femseg.training.batches import WholeVolumes
from femseg.training.context import TrainerContext
from femseg.training.settings import AugmentationSettings, OptimisationSettings, TrainSettings
from femseg.training.trainer import Trainer

NETWORK = VNetSettings(base_channels=4, convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=3, dropout=0.2)


class SphereCases(WholeVolumes):
    """Bright ellipsoids in noise; a case's number is its seed."""

    def __init__(self, numbers, shape_zyx=(16, 8, 8)):
        self.case_ids = [f"sphere-{number:03d}" for number in numbers]
        self.shape_zyx = shape_zyx

    def target_zyx(self, case_id):
        rng = np.random.default_rng(int(case_id.removeprefix("sphere-")))
        centre = rng.uniform(0.4, 0.6, 3)
        places = [(np.arange(n) + 0.5) / n - c for n, c in zip(self.shape_zyx, centre, strict=True)]
        z, y, x = np.meshgrid(*places, indexing="ij")
        return z**2 + y**2 + x**2 < rng.uniform(0.25, 0.35) ** 2

    def input_czyx(self, case_id):
        mask = self.target_zyx(case_id)
        noise = np.random.default_rng(int(case_id.removeprefix("sphere-")) + 1000).normal(0, 0.1, mask.shape)
        return (0.3 + 0.4 * mask + noise).astype(np.float32)[None]

    def spacing_mm_zyx(self, case_id):
        return (2.0, 1.0, 1.0)


def new_network(settings=NETWORK):
    torch.manual_seed(3)
    return VNet(settings, 1)


def run_rank(folder: Path, meeting: Path, rank: int, world_size: int, *, stop_after: int = 0) -> None:
    """One rank of a run in `folder`, which it goes on with; perhaps asked to stop after an iteration."""
    done = []
    context = TrainerContext(
        say=lambda line: None, progress=lambda n, _: done.append(n), stop_requested=lambda: done[-1:] == [stop_after]
    )
    if world_size > 1:
        distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world_size)
        context = replace(context, rank=rank, world_size=world_size, wrap=DistributedDataParallel)
    network = new_network(replace(NETWORK, dropout=0.0))  # dropout is drawn for a share at once
    try:
        trainer = Trainer(
            network,
            SphereCases(range(6)),
            SphereCases(range(100, 103)),
            TrainSettings(learning_rate=1e-3, max_iterations=6, validate_every=3, checkpoint_every=100, workers=4),
            OptimisationSettings(batch_size=4, augmentation=AugmentationSettings(enabled=True)),
            folder=folder,
            fingerprint={},
            context=context,
        )
        result = trainer.fit()
    except Refusal as refusal:
        if refusal.exit_code != ExitCode.RESUMABLE:
            raise
    else:
        left = {
            "network": network.state_dict(),
            "losses": [row.train_dice_loss for row in result.curve],
            "validation": [row.validation_dice for row in result.curve],
        }
        torch.save(left, folder / f"left-{rank}.pt")
    if world_size > 1:
        distributed.destroy_process_group()


def in_a_fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return child


def together(folder: Path, world_size: int, *, stop_after: int = 0) -> None:
    """All ranks of a run, to its end or to its stop."""
    folder.mkdir(exist_ok=True)
    meeting = folder / f"meeting-{world_size}"
    ranks = range(world_size)
    children = [in_a_fork(lambda r=r: run_rank(folder, meeting, r, world_size, stop_after=stop_after)) for r in ranks]
    if any(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children):
        sys.exit(f"{world_size} workers in {folder} failed")


def main() -> None:
    folder = Path(sys.argv[1])
    for world_size in (1, 2, 3, 4):
        together(folder / f"of-{world_size}", world_size)
    for world_size, stop_after in ((4, 2), (2, 4), (1, 0)):
        together(folder / "fewer-and-fewer", world_size, stop_after=stop_after)


if __name__ == "__main__":
    main()
