"""Small training runs on noisy ellipsoids, in processes that a test may kill or join by gloo.

python sphere_run.py kill FOLDER     one run undisturbed, one killed again and again; prints what both leave
python sphere_run.py ddp FOLDER      one process with batch 2, then two with 1 each; prints what both leave
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from femseg.networks.vnet import VNet, VNetSettings
from femseg.training.curves import write_training_curve, write_validation_curve
from femseg.training.session import Surroundings, fit
from femseg.training.settings import AugmentationSettings, OptimisationSettings, TrainSettings

NETWORK = VNetSettings(base_channels=4, convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=3, dropout=0.2)


class SphereCases:
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


def left_by(folder: Path, network: VNet, result) -> dict:
    """What must be equal between runs."""
    weights = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        weights.update(name.encode() + value.contiguous().numpy().tobytes())
    return {
        "weights": weights.hexdigest(),
        "training_curve": write_training_curve(folder / "training_curve.csv", result.curve),
        "validation_curve": write_validation_curve(folder / "validation_curve.csv", result.curve),
        "validation_dice": result.validation_dice,
    }


def run_once(folder: Path) -> None:
    network = new_network()
    result = fit(
        network,
        SphereCases(range(7)),
        SphereCases(range(100, 103)),
        TrainSettings(learning_rate=3e-3, max_iterations=40, validate_every=8, checkpoint_every=5, seed=4),
        OptimisationSettings(
            gradient_accumulation=2, schedule="cosine", augmentation=AugmentationSettings(enabled=True)
        ),
        folder=folder,
        fingerprint={"data": "spheres"},
        surroundings=Surroundings(say=lambda line: print(line, file=sys.stderr)),
    )
    (folder / "left.json").write_text(json.dumps(left_by(folder, network, result)))


def run_rank(folder: Path, rank: int, world_size: int) -> None:
    around = Surroundings(say=lambda line: None)
    if world_size > 1:
        distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world_size)
        around = Surroundings(say=lambda line: None, rank=rank, world_size=world_size, wrap=DistributedDataParallel)
    network = new_network(VNetSettings(base_channels=4, convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=3))
    result = fit(
        network,
        SphereCases(range(6)),
        SphereCases(range(100, 103)),
        TrainSettings(learning_rate=1e-3, max_iterations=6, validate_every=3, checkpoint_every=100),
        OptimisationSettings(augmentation=AugmentationSettings(enabled=True)),
        folder=folder / f"run-{world_size}",
        fingerprint={},
        surroundings=around,
    )
    torch.save(
        {
            "network": network.state_dict(),
            "losses": [row.train_dice_loss for row in result.curve],
            "validation": [row.validation_dice for row in result.curve],
        },
        folder / f"left-{world_size}-{rank}.pt",
    )
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


def killed_and_started_again(folder: Path, kills: int) -> int:
    """Kill -9 at random moments, `kills` times; returns how often that hit a living run."""
    dice, hits = random.Random(1), 0
    journal = folder / "curve.jsonl"
    for _ in range(kills):
        child = in_a_fork(lambda: run_once(folder))
        rows_now = len(journal.read_bytes().splitlines()) if journal.exists() else 0
        wanted, deadline = rows_now + dice.randint(2, 9), time.monotonic() + 60
        while time.monotonic() < deadline and os.waitpid(child, os.WNOHANG) == (0, 0):
            if journal.exists() and len(journal.read_bytes().splitlines()) >= wanted:
                time.sleep(dice.random() * 0.02)
                os.kill(child, signal.SIGKILL)
                hits += os.WIFSIGNALED(os.waitpid(child, 0)[1])
                break
    return hits


def main() -> None:
    mode, folder = sys.argv[1], Path(sys.argv[2])
    if mode == "kill":
        for name in ("undisturbed", "killed"):
            (folder / name).mkdir()
        hits = killed_and_started_again(folder / "killed", kills=4)
        for name in ("undisturbed", "killed"):
            os.waitpid(in_a_fork(lambda name=name: run_once(folder / name)), 0)
        left = {name: json.loads((folder / name / "left.json").read_text()) for name in ("undisturbed", "killed")}
        print(json.dumps({"hits": hits, **left}))
    else:
        children = [in_a_fork(lambda r=r, w=w: run_rank(folder, r, w)) for r, w in ((0, 1), (0, 2), (1, 2))]
        sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    main()
