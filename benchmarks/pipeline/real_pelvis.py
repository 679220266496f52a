"""How a model does on a real CT that it was never meant for: Dice by side against another model's labels, a figure.

    FEMSEG_REAL_DATA=… python -m benchmarks.pipeline.real_pelvis --model models/gradient --figure pelvis.png

The CT shows the pelvis with 54 mm of both femora, one of them nailed; the demo's model saw single legs of phantoms. The
labels are another model's answer, not a surgeon's. Nothing of the CT is stored in this repository.
"""

import argparse
import json
import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from femseg.files.durable import write_json_durably
from femseg.inference.femora import told_apart
from femseg.inference.segment import segment
from femseg.inference.verdict import measured, verdict
from femseg.intake.single_ct import inspect_study
from femseg.metrics.overlap import dice_coefficient
from femseg.networks.package import load_package
from femseg.volumes.grid import CtVolume, to_lps

SIDES = {"right (intact)": "right", "left (nailed)": "left"}


def label(folder: Path, side: str, *, of: str = "femur") -> NDArray[np.bool_]:
    """A published model's answer; `of`: femur, hip, or fast_femur, which is another model's femur."""
    path = folder / "labels" / f"example_seg_{of}_{side}.nii.gz"
    _, volume = inspect_study(path, id_key=b"-" * 32, accept_hu=True)
    return to_lps(volume.hu_zyx > 0, volume.grid)[0]


def own_half(mask_zyx: NDArray[np.bool_], reference_zyx: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part of a mask on the reference's side of the body: x runs from right to left."""
    middle = mask_zyx.shape[2] // 2
    on_left = np.nonzero(reference_zyx)[2].mean() >= middle
    return np.where((np.arange(mask_zyx.shape[2]) >= middle) == on_left, mask_zyx, False)


def drawn(
    ct: CtVolume, predicted: NDArray[np.bool_], references: dict[str, NDArray[np.bool_]], dice: dict[str, float]
) -> None:
    """A coronal slice through each femur: label in yellow, prediction in orange."""
    hu_zyx, grid = to_lps(ct.hu_zyx, ct.grid)
    figure, axes = plt.subplots(1, 2, figsize=(11, 5.4), layout="constrained", facecolor="#0d1117")
    for axis, (side, reference) in zip(axes, references.items(), strict=True):
        y = int(np.argmax(reference.sum(axis=(0, 2))))
        shown = {"origin": "lower", "aspect": grid.spacing_mm_zyx[0] / grid.spacing_mm_zyx[2]}
        axis.imshow(hu_zyx[:, y], cmap="gray", vmin=-200, vmax=1200, **shown)
        for mask, colour in ((predicted, "#f28e2b"), (reference, "#f5e342")):
            if mask[:, y].any():
                axis.contour(mask[:, y], levels=[0.5], colors=[colour], linewidths=1.6)
        axis.set_title(f"{side}: Dice {dice[side]:.2f}", color="white")
        axis.set_axis_off()
    figure.suptitle(
        "label yellow, prediction orange; seen from the front, the patient's right on the left", color="white"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/gradient"))
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    folder = Path(os.environ.get("FEMSEG_REAL_DATA", "../shared/data")) / "pelvis_ct"
    case, ct = inspect_study(folder / "ct.nii.gz", id_key=b"-" * 32)
    package = load_package(arguments.model)
    found = segment(package, ct)
    mask, femora = found.mask, told_apart(found.mask, ct)
    signals = measured(package, ct, found, femora, metal_ml=case.facts.metal_ml)
    predicted = to_lps(mask.femur_zyx, mask.grid)[0]
    references = {words: label(folder, side) for words, side in SIDES.items()}
    dice = {words: dice_coefficient(own_half(predicted, ref), ref) for words, ref in references.items()}
    result = {
        "command": "python -m benchmarks.pipeline.real_pelvis",
        "input_mode": package.model.input_mode,
        "dice_against_labels": dice,
        "remarks": list(case.remarks),
        "verdict": verdict(signals, femora, package.model).plain(),
    }
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)
    if arguments.figure:
        mpl.use("Agg")
        drawn(ct, predicted, references, dice)
        plt.savefig(arguments.figure, dpi=110)


if __name__ == "__main__":
    main()
