"""The paper's training step (batch 2, 512 × 64 × 64) in float32, TF32 and bfloat16: seconds, memory, hours to the end.

    python -m benchmarks.training.gpu_paper_step --output benchmarks/results/gpu_paper_step.json

Needs torch and numpy beside femseg's own sources (PYTHONPATH=platform). The paper: 10 000 iterations in 26 h on a
GTX 1080 Ti, 9.4 s a step.
"""

import argparse
import json
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from femseg.files.durable import write_json_durably
from femseg.networks.vnet import VNet, VNetSettings
from femseg.training.batches import Batch
from femseg.training.context import TrainerContext
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.trainer import Trainer

PAPER_ITERATIONS, PAPER_HOURS = 10_000, 26.0


def batch_of(shape_zyx: tuple[int, int, int], batch_size: int, iteration: int) -> Batch:
    rng = np.random.default_rng(iteration)
    volume = torch.from_numpy(rng.random((batch_size, 1, *shape_zyx), dtype=np.float32))
    return Batch(
        iteration=iteration,
        case_ids=tuple(f"random-{n}" for n in range(batch_size)),
        input_bczyx=volume,
        target_bzyx=(volume[:, 0] > 0.5).float(),
    )


def measured(
    network_settings: VNetSettings,
    shape_zyx: tuple[int, int, int],
    *,
    batch_size: int,
    precision: str,
    device: torch.device,
    repeats: int,
    optimisation: dict[str, Any],
) -> dict[str, Any]:
    """Median seconds of a step, peak memory, and what the paper's training would take."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    settings = OptimisationSettings(
        batch_size=batch_size, precision="bfloat16" if precision == "bfloat16" else "float32", **optimisation
    )
    no_cases: Any = None  # the trainer is given its batches
    trainer = Trainer(
        VNet(network_settings, input_channels=1),
        no_cases,
        no_cases,
        TrainSettings(learning_rate=1e-4),
        settings,
        folder=Path(),
        fingerprint={},
        context=TrainerContext(device=device),
    )
    warm_up = 3
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds, first_loss = [], None
    for batch in [batch_of(shape_zyx, batch_size, n) for n in range(1, warm_up + repeats + 1)]:
        started = time.perf_counter()
        loss = trainer.forward_backward(batch)  # read back to the host, so the device is done
        if trainer.all_finite(loss):
            trainer.optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
        first_loss = loss if first_loss is None else first_loss
    step = statistics.median(seconds[warm_up:])
    hours = step * PAPER_ITERATIONS / 3600
    return {
        "precision": precision,
        "seconds_per_step": step,
        "peak_memory_gib": torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None,
        "hours_for_10000_iterations": hours,
        "times_faster_than_the_paper": PAPER_HOURS / hours,
        "first_loss": first_loss,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 64, 64), metavar=("Z", "Y", "X"))
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--base-channels", type=int, default=16)
    parser.add_argument("--strides", choices=("paper", "isotropic"), default="paper")
    parser.add_argument("--normalisation", choices=("none", "instance", "batch"), default="none")
    parser.add_argument("--precisions", nargs="+", choices=("float32", "tf32", "bfloat16"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--contiguous", action="store_true", help="not channels-last")
    parser.add_argument("--activation-checkpointing", action="store_true")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    network = VNetSettings(
        base_channels=arguments.base_channels, strides=arguments.strides, normalisation=arguments.normalisation
    )
    optimisation = {
        "compile": arguments.compile,
        "channels_last": not arguments.contiguous,
        "activation_checkpointing": arguments.activation_checkpointing,
    }
    everywhere = ("float32", "tf32", "bfloat16") if device.type == "cuda" else ("float32", "bfloat16")
    result = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "shape_bczyx": [arguments.batch_size, 1, *arguments.shape],
        "network": asdict(network),
        "optimisation": optimisation,
        "paper": {"hours": PAPER_HOURS, "seconds_per_step": PAPER_HOURS * 3600 / PAPER_ITERATIONS},
        "steps": [
            measured(
                network,
                tuple(arguments.shape),
                batch_size=arguments.batch_size,
                precision=precision,
                device=device,
                repeats=arguments.repeats,
                optimisation=optimisation,
            )
            for precision in arguments.precisions or everywhere
        ],
    }
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
