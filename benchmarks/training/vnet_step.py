"""One training step of our V-Net: against MONAI's on the same tensor, and against the sum of its own convolutions.

    python -m benchmarks.training.vnet_step --output benchmarks/results/vnet_step.json

In each precision and layout every variant makes a step (forward, soft Dice, backward, Adam) in turn, A B C A B C ...,
so that whatever else the machine does meets all of them; medians and their ratios are what counts, not seconds. A ratio
is taken within one precision, each side in its faster memory layout. "batch" is the equal of MONAI's network: the same
convolutions (1, 1, 2, 3, 2 down; 2, 2, 1, 1 up) and batch normalisation; MONAI makes one convolution more, 5 × 5 × 5 to
two channels, and two channel dropouts that it cannot switch off. "none" and "instance" are ours with other
normalisations, "paper" has Milletari's convolutions (1, 2, 3, 3, 3 down; 3, 3, 2, 1 up), 1.4 × the work.

The floor is what the convolutions of a network cost alone: each one, forward and backward, on tensors of the size,
precision and layout that it meets in the step.
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
LIKE_MONAI = {"convolutions_down": (1, 1, 2, 3, 2), "convolutions_up": (2, 2, 1, 1)}
OURS = {
    "batch": VNetSettings(normalisation="batch", **LIKE_MONAI),
    "none": VNetSettings(normalisation="none", **LIKE_MONAI),
    "instance": VNetSettings(normalisation="instance", **LIKE_MONAI),
    "paper": VNetSettings(normalisation="none"),
}
LAYOUTS = {"channels-last": torch.channels_last_3d, "contiguous": torch.contiguous_format}
PRECISIONS = {"fp32": False, "bf16": True}


def built(name: str) -> nn.Module:
    return MonaiVNet(spatial_dims=3, in_channels=1, out_channels=2) if name == "monai" else VNet(OURS[name], 1)


def step_of(
    network: nn.Module, shape_zyx: Shape, layout: torch.memory_format, *, bfloat16: bool
) -> Callable[[], float]:
    """A function that makes one training step and returns its seconds."""
    network.to(memory_format=layout)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(1, 1, *shape_zyx, generator=generator).contiguous(memory_format=layout)
    target = (torch.rand(1, *shape_zyx, generator=generator) > 0.5).float()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)

    def step() -> float:
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            logits = network(volume)
        soft_dice_loss(foreground_probability(logits), target).backward()
        optimizer.step()
        return time.perf_counter() - started

    return step


def convolutions_alone(
    network: nn.Module,
    volume: torch.Tensor,
    layout: torch.memory_format,
    *,
    bfloat16: bool,
    clock: Callable[[], float] = time.perf_counter,
) -> Callable[[], float]:
    """A function that runs each convolution of a network by itself, forward and backward, and returns the seconds."""
    network.to(memory_format=layout)  # type: ignore[call-overload]
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    met: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []

    def remember(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        first = not met
        alike = torch.rand_like(inputs[0].detach(), dtype=dtype).contiguous(memory_format=layout)
        met.append((layer, alike.requires_grad_(not first), torch.rand_like(output.detach(), dtype=dtype)))

    hooks = [
        layer.register_forward_hook(remember)
        for layer in network.modules()
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d)
    ]
    with torch.no_grad():
        network(volume.contiguous(memory_format=layout))
    for hook in hooks:
        hook.remove()
    network.to(dtype)

    def alone() -> float:
        seconds = 0.0
        for layer, x, gradient in met:
            started = clock()
            layer(x).backward(gradient)
            seconds += clock() - started
            layer.zero_grad(set_to_none=True)
            x.grad = None
        return seconds

    return alone


def measured(shape_zyx: Shape, repeats: int) -> dict[str, object]:
    seconds: dict[str, list[float]] = {}
    for precision, bfloat16 in PRECISIONS.items():
        for layout, memory_format in LAYOUTS.items():  # one group at a time: together they would not fit in memory
            torch.manual_seed(0)
            runs: dict[str, Callable[[], float]] = {}
            for name in (*OURS, "monai"):
                key = f"{name} {precision} {layout}"
                runs[key] = step_of(built(name), shape_zyx, memory_format, bfloat16=bfloat16)
                if name != "monai":
                    volume = torch.rand(1, 1, *shape_zyx)
                    runs[f"floor of {key}"] = convolutions_alone(built(name), volume, memory_format, bfloat16=bfloat16)
            for number in range(repeats + 1):  # the first round warms up
                for key, run in runs.items():
                    taken = run()
                    if number:
                        seconds.setdefault(key, []).append(taken)
                print(f"{precision} {layout}: round {number} of {repeats}", flush=True)
    median = {key: statistics.median(values) for key, values in seconds.items()}

    def quickest(name: str, precision: str) -> float:
        return min(median[f"{name} {precision} {layout}"] for layout in LAYOUTS)

    return {
        "shape_bczyx": [1, 1, *shape_zyx],
        "repeats": repeats,
        "machine": {"cpus": os.cpu_count(), "threads": torch.get_num_threads(), "load": os.getloadavg()[0]},
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "median_seconds": median,
        "ratio_to_monai_in_the_same_precision_each_in_its_faster_layout": {
            f"{name} {precision}": quickest(name, precision) / quickest("monai", precision)
            for precision in PRECISIONS
            for name in OURS
        },
        "ratio_to_the_sum_of_its_convolutions_in_its_faster_layout": {
            f"{name} {precision}": quickest(name, precision) / quickest(f"floor of {name}", precision)
            for precision in PRECISIONS
            for name in OURS
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(128, 64, 64), metavar=("Z", "Y", "X"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result = measured(tuple(arguments.shape), arguments.repeats)
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
