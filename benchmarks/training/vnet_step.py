"""One training step of our V-Net against MONAI's on the same tensor.

    python -m benchmarks.training.vnet_step --output benchmarks/results/vnet_step.json

Every variant makes a step (forward, soft Dice, backward, Adam) in turn, A B C A B C ..., so that whatever else the
machine does meets all of them; medians and their ratios are what counts, not seconds. "ours" has MONAI's convolutions
(1, 1, 2, 3, 2 down; 2, 2, 1, 1 up; MONAI makes one more, 5 × 5 × 5 to two channels, at the end, and has batch
normalisation and channel dropout). "ours paper" has Milletari's (1, 2, 3, 3, 3 down; 3, 3, 2, 1 up), 1.4 × the work.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from monai.networks.nets import VNet as MonaiVNet
from torch import nn

from femseg.files.durable import write_json_durably
from femseg.networks.network import foreground_probability
from femseg.networks.vnet import VNet, VNetSettings
from femseg.training.losses import soft_dice_loss

Shape = tuple[int, int, int]


def our_network(normalisation: str, *, like_monai: bool = True) -> nn.Module:
    layout = {"convolutions_down": (1, 1, 2, 3, 2), "convolutions_up": (2, 2, 1, 1)} if like_monai else {}
    return VNet(VNetSettings(normalisation=normalisation, **layout), input_channels=1)  # type: ignore[arg-type]


def monai_network() -> nn.Module:
    return MonaiVNet(spatial_dims=3, in_channels=1, out_channels=2)


def step_of(network: nn.Module, shape_zyx: Shape, *, bfloat16: bool, channels_last: bool) -> Callable[[], float]:
    """A function that makes one training step and returns its seconds."""
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    network.to(memory_format=layout)
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(1, 1, *shape_zyx, generator=generator).contiguous(memory_format=layout)
    target = (torch.rand(1, *shape_zyx, generator=generator) > 0.5).float()
    ours = isinstance(network, VNet)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=ours or None)

    def step() -> float:
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            logits = network(volume)
        soft_dice_loss(foreground_probability(logits), target).backward()
        optimizer.step()
        return time.perf_counter() - started

    return step


def variants(shape_zyx: Shape) -> dict[str, Callable[[], float]]:
    """Name to step function."""
    steps = {}
    for precision in ("fp32", "bf16"):
        bfloat16 = precision == "bf16"
        for name, network, channels_last in (
            ("ours none", our_network("none"), True),
            ("ours none", our_network("none"), False),
            ("ours instance", our_network("instance"), True),
            ("ours paper", our_network("none", like_monai=False), True),
            ("monai", monai_network(), True),
            ("monai", monai_network(), False),
        ):
            layout = "channels-last" if channels_last else "contiguous"
            steps[f"{name} {precision} {layout}"] = step_of(
                network, shape_zyx, bfloat16=bfloat16, channels_last=channels_last
            )
    return steps


def quickest(seconds: dict[str, float], start: str) -> float:
    return min(value for name, value in seconds.items() if name.startswith(start))


def measured(shape_zyx: Shape, repeats: int) -> dict[str, object]:
    torch.manual_seed(0)
    steps = variants(shape_zyx)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(repeats + 1):  # the first round warms up
        for name, step in steps.items():
            taken = step()
            if number:
                seconds[name].append(taken)
        print(f"round {number} of {repeats}", flush=True)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    base = "monai fp32 contiguous"  # as MONAI comes
    same = {
        f"{name} {precision}": quickest(median, f"{name} {precision}") / quickest(median, f"monai {precision}")
        for precision in ("fp32", "bf16")
        for name in ("ours none", "ours instance", "ours paper")
    }
    return {
        "shape_bczyx": [1, 1, *shape_zyx],
        "repeats": repeats,
        "machine": {"cpus": os.cpu_count(), "threads": torch.get_num_threads(), "load": os.getloadavg()[0]},
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "median_seconds": median,
        f"ratio_to_{base.replace(' ', '_')}": {name: value / median[base] for name, value in median.items()},
        "ratio_in_the_same_precision_each_in_its_faster_layout": same,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 64, 64), metavar=("Z", "Y", "X"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result = measured(tuple(arguments.shape), arguments.repeats)
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
