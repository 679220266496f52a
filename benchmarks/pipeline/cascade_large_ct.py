"""A 512 × 512 × 400 CT of both legs, from file to mask file: seconds and memory of the cascade, against nnU-Net's.

    python -m benchmarks.pipeline.cascade_large_ct --output benchmarks/results/cascade_large_ct.json
    python -m benchmarks.pipeline.cascade_large_ct --package build/native/cascades/raw --output …, the same file

Ours runs in a process of its own: read, find, cut out, write and read back; start, intake, sides and verdict are left
out, as the other side's are. What finds the femora is a threshold on the coarse grid, which finds pelvis and knee with
them, so the boxes are larger than those of a trained network; the finer V-Net has random weights. Of nnU-Net's network
as TotalSegmentator runs it (PlainConvUNet of dynamic-network-architectures, 1.5 mm, 128³, step 0.5, random weights) a
window is timed in turn with ours, and multiplied by their number on the whole CT: its reading, resampling and writing
are left out. Both precisions are stated; a ratio is never across them.

With `--package`, a trained cascade, `femseg segment` alone runs as a user types it, on this CT and on one of 1000
slices: from the command to its end, with everything that it does; what the file holds of the rest stays.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor, nn

from femseg.files.durable import read_json, sha256_of_file, write_json_durably
from femseg.formats.writing import write_mask
from femseg.inference.segment import segment
from femseg.inference.windows import window_starts
from femseg.networks.network import Network
from femseg.networks.package_files import Architecture, ModelDescription, ScaleDescription, Windows
from femseg.networks.vnet import VNet, VNetSettings
from femseg.phantom import PhantomSettings, PhantomStudy, phantom_study
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputRecipe

SHAPE_ZYX, SPACING_MM_ZYX = (400, 512, 512), (1.25, 0.8, 0.8)
LONG_ZYX, LONG_MM_ZYX = (1000, 512, 512), (1.0, 0.8, 0.8)
WORKING_MM, WINDOW = (1.25, 1.0, 1.0), (64, 64, 64)
NNUNET_MM, NNUNET_WINDOW = 1.5, 128
HU = Scaling(kind="window", low=-1000.0, high=2000.0)
FINER = VNetSettings(
    base_channels=16,
    strides=((2, 2, 2), (2, 2, 2), (2, 2, 2)),
    convolutions_down=(1, 1, 2, 2),
    convolutions_up=(2, 1, 1),
    kernel_size=3,
)


class BrightParts(nn.Module):
    """Finds what is as dense as bone."""

    def forward(self, x_bczyx: Tensor) -> Tensor:
        bone = 40 * (x_bczyx[:, 0] - 0.42)
        return torch.stack([torch.zeros_like(bone), bone], dim=1)


@dataclass
class Cascade:
    """What `segment` needs of a package."""

    network: nn.Module
    refine: Network
    model: ModelDescription


def cascade(precision: str) -> Cascade:
    one = Architecture(settings={}, input_channels=1)
    finer = ScaleDescription(
        architecture=one,
        input_mode="raw",
        input_recipe=InputRecipe(input_mode="raw", spacing_mm_zyx=WORKING_MM, raw_scaling=HU),
        windows=Windows(shape_zyx=WINDOW, precision="bfloat16" if precision == "bf16" else "float32"),
    )
    coarse = InputRecipe(input_mode="raw", shape_zyx=(128, 64, 64), anti_aliasing=True, raw_scaling=HU)
    model = ModelDescription(architecture=one, input_mode="raw", input_recipe=coarse, refine=finer)
    torch.manual_seed(0)
    return Cascade(BrightParts(), VNet(FINER, 1), model)


def both_legs(shape_zyx: tuple[int, int, int], spacing_mm_zyx: tuple[float, float, float]) -> PhantomStudy:
    """A phantom of both legs, in air to so many rows, cut or filled to so many slices; 410 mm wide."""
    settings = PhantomSettings(patients=3, legs="both", spacing_mm_zyx=spacing_mm_zyx, field_of_view_mm=204.8)
    study = phantom_study(settings, 0)
    hu, femur = np.full(shape_zyx, -1000, np.float32), np.zeros(shape_zyx, np.bool_)
    z, y, x = (min(a, b) for a, b in zip(study.ct.hu_zyx.shape, shape_zyx, strict=True))
    first = (shape_zyx[1] - y) // 2
    hu[:z, first : first + y, :x] = study.ct.hu_zyx[:z, :y, :x]
    femur[:z, first : first + y, :x] = study.femur.femur_zyx[:z, :y, :x]
    corner = tuple(study.ct.grid.position_mm_xyz((0, -first, 0)).tolist())
    grid = replace(study.ct.grid, shape_zyx=shape_zyx, origin_mm_xyz=corner)
    return replace(study, ct=CtVolume(hu_zyx=hu, grid=grid), femur=MaskVolume(femur_zyx=femur, grid=grid))


def write_ct(path: Path, shape_zyx: tuple[int, int, int], spacing_mm_zyx: tuple[float, float, float]) -> None:
    """A CT that is timed."""
    ct = both_legs(shape_zyx, spacing_mm_zyx).ct
    sitk.WriteImage(ct.grid.image(ct.hu_zyx.astype(np.int16)), str(path))


def by_command(package: Path, folder: Path) -> dict[str, object]:
    """Seconds and peak memory of one `femseg segment` a CT, with its exit code: 0 usable, 10 review, 11 reject."""
    found: dict[str, dict[str, float | int]] = {}
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0]}
    for shape_zyx, spacing_mm_zyx in ((SHAPE_ZYX, SPACING_MM_ZYX), (LONG_ZYX, LONG_MM_ZYX)):
        ct, mask = folder / f"{shape_zyx[0]}.nii.gz", folder / f"{shape_zyx[0]}_mask.nii.gz"
        write_ct(ct, shape_zyx, spacing_mm_zyx)
        command = ["femseg", "segment", str(ct), "-o", str(mask), "--model", str(package), "--write-rejected"]
        started = time.perf_counter()
        with subprocess.Popen(command) as running:
            _, status, usage = os.wait4(running.pid, 0)
            running.returncode = os.waitstatus_to_exitcode(status)
        if not mask.is_file():
            raise RuntimeError(f"{' '.join(command)} ended with {running.returncode} and left no mask")
        found[" × ".join(map(str, shape_zyx))] = {
            "seconds": time.perf_counter() - started,
            "peak_gib": usage.ru_maxrss / 2**20,
            "exit_code": running.returncode,
        }
    return {
        "by_command": found,
        "by_command_on": machine,
        "by_command_package_sha256": sha256_of_file(package / "MANIFEST.json"),
    }


def ours(folder: Path, precision: str) -> dict[str, float]:
    """Seconds of each part and the peak of this process's memory."""
    package = cascade(precision)
    marks = [time.perf_counter()]
    image = sitk.ReadImage(str(folder / "ct.nii.gz"), sitk.sitkFloat32)
    ct = CtVolume(hu_zyx=sitk.GetArrayFromImage(image), grid=VoxelGrid.of_image(image))
    del image
    marks.append(time.perf_counter())
    mask = segment(package, ct).mask
    marks.append(time.perf_counter())
    write_mask(folder / "mask.nii.gz", mask)
    marks.append(time.perf_counter())
    read, cut, wrote = (b - a for a, b in itertools.pairwise(marks))
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts KiB
    return {"read_s": read, "segment_s": cut, "write_s": wrote, "seconds": marks[-1] - marks[0], "peak_gib": peak_gib}


def nnunet_window_seconds(precision: str) -> float:
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    torch.manual_seed(0)
    network = PlainConvUNet(
        input_channels=1,
        n_stages=6,
        features_per_stage=(32, 64, 128, 256, 320, 320),
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=(1, 2, 2, 2, 2, 2),
        n_conv_per_stage=2,
        num_classes=2,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    ).eval()
    window = torch.rand(1, 1, *[NNUNET_WINDOW] * 3)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        network(window)
        started = time.perf_counter()
        network(window)
    return time.perf_counter() - started


def nnunet_windows() -> int:
    """How many the whole CT takes."""
    sizes = [max(round(n * s / NNUNET_MM), NNUNET_WINDOW) for n, s in zip(SHAPE_ZYX, SPACING_MM_ZYX, strict=True)]
    z, y, x = (len(window_starts(size, NNUNET_WINDOW, 0.5)) for size in sizes)
    return z * y * x


def measured(folder: Path, repeats: int) -> dict[str, object]:
    runs: dict[str, list[dict[str, float]]] = {"fp32": [], "bf16": []}
    windows: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for _ in range(repeats):
        for precision in runs:
            command = [sys.executable, "-m", __spec__.name, "--ours", precision, "--folder", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs[precision].append(json.loads(done.stdout))
            windows[precision].append(nnunet_window_seconds(precision))
            print(precision, runs[precision][-1], f"a window of nnU-Net's {windows[precision][-1]:.2f} s", flush=True)
    count = nnunet_windows()
    medians = {
        precision: {key: statistics.median(run[key] for run in of_precision) for key in of_precision[0]}
        for precision, of_precision in runs.items()
    }
    theirs = {precision: count * statistics.median(seconds) for precision, seconds in windows.items()}
    return {
        "ct_shape_zyx": SHAPE_ZYX,
        "ct_spacing_mm_zyx": SPACING_MM_ZYX,
        "working_spacing_mm_zyx": WORKING_MM,
        "repeats": repeats,
        "ours": medians,
        "nnunet": {
            "windows": count,
            "window_s": {p: statistics.median(s) for p, s in windows.items()},
            "all_s": theirs,
        },
        "ratio_of_ours_whole_to_its_windows": {p: medians[p]["seconds"] / theirs[p] for p in theirs},
        "goal": {"seconds": 45, "peak_gib": 4, "ratio": {"fp32": 0.15, "bf16": 0.3}},
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0]},
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--package", type=Path, help="a trained cascade: time `femseg segment` with it, and nothing else"
    )
    parser.add_argument("--output", type=Path)
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        print(json.dumps(ours(arguments.folder, arguments.ours)))
        return
    with tempfile.TemporaryDirectory() as name:
        if arguments.package:
            known = arguments.output and arguments.output.is_file()
            result = {**(read_json(arguments.output) if known else {}), **by_command(arguments.package, Path(name))}
        else:
            write_ct(Path(name) / "ct.nii.gz", SHAPE_ZYX, SPACING_MM_ZYX)
            result = measured(Path(name), arguments.repeats)
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
