"""What a model reaches on what nobody trained it on: a real CT, real shapes in painted CT, and CTs without a femur.

    FEMSEG_REAL_DATA=… python -m benchmarks.shipped.evidence --model FOLDER --output …/shipped_evidence.json \
        --figure docs/images/pelvis.png --shapes-figure docs/images/painted_shapes.png

1. A real CT of the pelvis, one femur intact and one nailed: Dice by side against a published model's labels, and of
   these against another model's; what was called femur further than a centimetre from them, and of the hip bones.
2. Seven real femora with a hip bone, and four real hips, painted by `benchmarks.shipped.painter`: Dice, average surface
   distance and HD95 on the CT's own grid, and how much of the other bones was called femur.
3. CTs without a femur: the pelvis above its femora, and a trunk, a water cylinder, noise and a leg below the knee as
   drawn for `benchmarks.pipeline.verdicts`, which has more of them: millilitres found.

Each with the verdict that `femseg segment` would print, and 1 and 2 of each femur's largest piece alone, too.

None of it trained the model or chose its checkpoint or a threshold. It is no blind test: it was looked at between
tries (docs/explanation/shipped-model.md says what followed). Nothing of the data is stored here.
"""

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import SimpleITK as sitk
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.pipeline.real_pelvis import SIDES, drawn, label, own_half
from benchmarks.pipeline.without_femur import KINDS
from benchmarks.shipped.painter import Painted, painted
from femseg.cohorts.femur_side import pieces_of
from femseg.files.durable import write_json_durably
from femseg.inference.femora import STRUCTURES, told_apart
from femseg.inference.segment import segment
from femseg.inference.verdict import Verdict, measured, verdict
from femseg.intake.single_ct import inspect_study
from femseg.intake.voxel_check import metal_ml
from femseg.metrics.overlap import dice_coefficient
from femseg.metrics.scorecard import score
from femseg.networks.package import ModelPackage, load_package
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid, to_lps

REAL_DATA = Path(os.environ.get("FEMSEG_REAL_DATA", "../shared/data"))
PARTS = ("pelvis", "painted", "negatives")
_NEAR_MM = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a model finds, what is said of it, and of each femur the largest piece alone, which is what is measured."""

    mask: MaskVolume
    said: Verdict
    largest_zyx: NDArray[np.bool_]

    @property
    def words(self) -> dict[str, Any]:
        """The verdict."""
        said = self.said
        return {"verdict": said.word, "expected_dice": said.expected_dice, "reasons": list(said.reasons)}


def judged(package: ModelPackage, ct: CtVolume) -> Judged:
    """A CT segmented, and the mask judged."""
    found = segment(package, ct)
    femora = told_apart(found.mask, ct)
    signals = measured(package, ct, found, femora, metal_ml=metal_ml(ct.hu_zyx, ct.grid))
    largest_zyx = np.zeros(ct.grid.shape_zyx, np.bool_)
    for side in femora.by_side:
        parts = pieces_of(femora.labels.labels_zyx == STRUCTURES[side].value, ct.grid)
        largest_zyx |= parts.mask_of(parts.pieces[:1], ct.grid).femur_zyx
    return Judged(mask=found.mask, said=verdict(signals, femora, package.model), largest_zyx=largest_zyx)


def pelvis(package: ModelPackage, figure: Path | None) -> dict[str, Any]:
    """The real CT, by side."""
    _, ct = inspect_study(REAL_DATA / "pelvis_ct/ct.nii.gz", id_key=b"-" * 32)
    found = judged(package, ct)
    (predicted, grid), (largest, _) = (to_lps(zyx, ct.grid) for zyx in (found.mask.femur_zyx, found.largest_zyx))
    references = {words: label(REAL_DATA / "pelvis_ct", side) for words, side in SIDES.items()}
    dice, dice_of_largest = (
        {words: dice_coefficient(own_half(zyx, ref), ref) for words, ref in references.items()}
        for zyx in (predicted, largest)
    )
    away = ndimage.distance_transform_edt(~np.any(list(references.values()), axis=0), sampling=grid.spacing_mm_zyx)
    if figure:
        drawn(ct, predicted, references, dice)
        plt.savefig(figure, dpi=110)
    ml = grid.voxel_volume_mm3 / 1000
    others = {words: label(REAL_DATA / "pelvis_ct", side, of="fast_femur") for words, side in SIDES.items()}
    hips = np.any([label(REAL_DATA / "pelvis_ct", side, of="hip") for side in SIDES.values()], axis=0)
    return {
        "dice": dice,
        "dice_of_two_published_models": {words: dice_coefficient(others[words], references[words]) for words in SIDES},
        "elsewhere_ml": float(np.count_nonzero(predicted & (away > _NEAR_MM))) * ml,
        "hip_bones_ml": float(np.count_nonzero(predicted & hips)) * ml,
        "of_largest_pieces": {
            "dice": dice_of_largest,
            "elsewhere_ml": float(np.count_nonzero(largest & (away > _NEAR_MM))) * ml,
        },
        **found.words,
    }


def real_shapes() -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.bool_], tuple[float, ...], bool]]:
    """Name, femora, other bones, spacing, and whether the femur is whole; slices from the feet up."""
    for path in sorted((REAL_DATA / "real_shapes").glob("*.nii.gz")):
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
        values = sitk.GetArrayFromImage(image)
        yield path.name, values == 1, values > 1, image.GetSpacing()[::-1], True
    for path in sorted((REAL_DATA / "hip_labels").glob("*.nii.gz")):
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
        values = sitk.GetArrayFromImage(image)
        yield path.name, np.isin(values, (1, 2)), values > 2, image.GetSpacing()[::-1], False


def painted_shapes(
    package: ModelPackage, *, hips_alone: bool = False, figure: Path | None = None
) -> list[dict[str, Any]]:
    """Each shape painted once; whole femora are left out with `hips_alone`."""
    rows: list[dict[str, Any]] = []
    slices, columns = [], 0  # one for each whole femur
    for number, (name, femur, other, spacing, whole) in enumerate(real_shapes()):
        if whole and hips_alone:
            continue
        z, y, x = spacing
        case = painted(femur, other, (z, y, x), seed=number, whole=whole)
        grid = VoxelGrid(shape_zyx=case.hu_zyx.shape, spacing_mm_zyx=case.spacing_mm_zyx)
        started = time.perf_counter()
        found = judged(package, CtVolume(hu_zyx=case.hu_zyx, grid=grid))
        seconds = time.perf_counter() - started
        row = {"shape": name, **compared(case, found.mask.femur_zyx), "seconds": seconds, **found.words}
        rows.append({**row, "of_largest_pieces": compared(case, found.largest_zyx)})
        print(rows[-1], flush=True)
        slices.append(coronal_slice(case, found.mask.femur_zyx))
        columns += whole
    if figure:
        titles = [f"{row['shape'].split('.')[0]}\nDice {row['dice']:.2f}" for row in rows]
        side_by_side(slices, titles, columns)
        plt.savefig(figure, dpi=110)
    return rows


def compared(case: Painted, found_zyx: NDArray[np.bool_]) -> dict[str, float]:
    """How good a mask of a painted shape is, and how much of the other bones it holds."""
    of = score(case.femur_zyx, found_zyx, case.spacing_mm_zyx, case_id="painted", grid="native")
    return {
        "dice": of.dice,
        "average_surface_distance_mm": of.average_surface_distance_mm,
        "hausdorff_95_mm": of.hausdorff_95_mm,
        "other_bone_ml": float(np.count_nonzero(found_zyx & case.other_zyx) * np.prod(case.spacing_mm_zyx)) / 1000,
    }


def coronal_slice(case: Painted, found_zyx: NDArray[np.bool_]) -> dict[str, Any]:
    """Where most of the femora is seen from the front: CT, truth and what was found, and how much taller than wide."""
    y = int(np.argmax(np.count_nonzero(case.femur_zyx, axis=(0, 2))))
    shown = {"hu": case.hu_zyx[:, y], "truth": case.femur_zyx[:, y], "found": found_zyx[:, y]}
    return {**shown, "aspect": case.spacing_mm_zyx[0] / case.spacing_mm_zyx[2]}


def side_by_side(slices: list[dict[str, Any]], titles: list[str], columns: int) -> None:
    """All slices, truth in yellow, found in orange: whole femora above, hips, which are lower, below."""
    figure, axes = plt.subplots(
        2, columns, figsize=(2 * columns, 7.5), height_ratios=(2, 1), layout="constrained", facecolor="#0d1117"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, one, title in zip(axes.flat, slices, titles, strict=False):
        axis.imshow(one["hu"], cmap="gray", vmin=-200, vmax=1200, origin="lower", aspect=one["aspect"])
        for mask, colour in ((one["found"], "#f28e2b"), (one["truth"], "#f5e342")):
            if mask.any():
                axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.2)
        axis.set_title(title, color="white", fontsize=10)
    figure.suptitle("truth yellow, found orange; seen from the front", color="white")


def without_femur() -> Iterator[tuple[str, CtVolume]]:
    """CTs in which there is none."""
    rng = np.random.default_rng(7)
    _, ct = inspect_study(REAL_DATA / "pelvis_ct/ct.nii.gz", id_key=b"-" * 32)
    hu, grid = to_lps(ct.hu_zyx, ct.grid)
    femora = np.any([label(REAL_DATA / "pelvis_ct", side) for side in SIDES.values()], axis=0)
    top = int(np.flatnonzero(femora.any(axis=(1, 2)))[-1]) + 4
    yield (
        "the pelvis above its femora",
        CtVolume(hu_zyx=hu[top:].copy(), grid=VoxelGrid(shape_zyx=hu[top:].shape, spacing_mm_zyx=grid.spacing_mm_zyx)),
    )
    kinds = {
        "a trunk": "chest",
        "a water cylinder": "water",
        "noise": "noise",
        "a leg below the knee": "below the knee",
    }
    for name, kind in kinds.items():
        yield name, KINDS[kind](rng)


def negatives(package: ModelPackage) -> dict[str, dict[str, Any]]:
    """Millilitres of femur found in each, and whether it was refused."""
    found = {}
    for name, ct in without_femur():
        one = judged(package, ct)
        found_ml = float(np.count_nonzero(one.mask.femur_zyx)) * ct.grid.voxel_volume_mm3 / 1000
        found[name] = {"found_ml": found_ml, **one.words}
        print(name, found[name], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--figure", type=Path, help="of the real CT")
    parser.add_argument("--shapes-figure", type=Path, help="of the painted ones")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    mpl.use("Agg")
    package = load_package(given.model)
    command = f"python -m benchmarks.shipped.evidence --model {given.model} --parts {' '.join(given.parts)}"
    result: dict[str, Any] = {"command": command, "package_sha256": package.sha256}
    if "pelvis" in given.parts:
        result["pelvis"] = pelvis(package, given.figure)
        print(result["pelvis"], flush=True)
    if "painted" in given.parts:
        rows = result["painted_real_shapes"] = painted_shapes(package, figure=given.shapes_figure)
        result["painted_mean_dice"] = float(np.mean([row["dice"] for row in rows]))
        result["painted_least_dice"] = min(row["dice"] for row in rows)
    if "negatives" in given.parts:
        result["negatives"] = negatives(package)
    if given.output:
        write_json_durably(given.output, result)


if __name__ == "__main__":
    main()
