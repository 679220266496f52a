"""What a model reaches on what nobody trained it on: a real CT, real shapes in painted CT, and CTs without a femur.

    FEMSEG_REAL_DATA=… python -m benchmarks.shipped.evidence --model FOLDER --output …/shipped_evidence.json

1. A real CT of the pelvis, one femur intact and one nailed: Dice by side against a published model's labels, and of
   these against another model's; what was called femur further than a centimetre from them, and of the hip bones.
2. Seven real femora with a hip bone, and four real hips, painted by `benchmarks.shipped.painter`: Dice, average surface
   distance and HD95 on the CT's own grid, and how much of the other bones was called femur.
3. CTs without a femur: the pelvis above its femora, and a trunk, a water cylinder, noise and a leg below the knee as
   drawn for `benchmarks.pipeline.verdicts`, which has more of them: millilitres found.

Each with the verdict that `femseg segment` would print.

None of it trained the model or chose its checkpoint or a threshold. It is no blind test: it was looked at between
tries (docs/explanation/shipped-model.md says what followed). Nothing of the data is stored here.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.pipeline.real_pelvis import SIDES, drawn, label, own_half
from benchmarks.pipeline.without_femur import KINDS
from benchmarks.shipped.painter import painted
from femseg.files.durable import write_json_durably
from femseg.inference.femora import told_apart
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


def judged(package: ModelPackage, ct: CtVolume) -> tuple[MaskVolume, Verdict]:
    """What a model finds, and what is said of it."""
    found = segment(package, ct)
    femora = told_apart(found.mask, ct)
    signals = measured(package, ct, found, femora, metal_ml=metal_ml(ct.hu_zyx, ct.grid))
    return found.mask, verdict(signals, femora, package.model)


def _told(said: Verdict) -> dict[str, Any]:
    return {"verdict": said.word, "expected_dice": said.expected_dice, "reasons": list(said.reasons)}


def pelvis(package: ModelPackage, figure: Path | None) -> dict[str, Any]:
    """The real CT, by side."""
    _, ct = inspect_study(REAL_DATA / "pelvis_ct/ct.nii.gz", id_key=b"-" * 32)
    mask, said = judged(package, ct)
    predicted, grid = to_lps(mask.femur_zyx, mask.grid)
    references = {words: label(REAL_DATA / "pelvis_ct", side) for words, side in SIDES.items()}
    dice = {words: dice_coefficient(own_half(predicted, ref), ref) for words, ref in references.items()}
    away = ndimage.distance_transform_edt(~np.any(list(references.values()), axis=0), sampling=grid.spacing_mm_zyx)
    if figure:
        import matplotlib as mpl
        from matplotlib import pyplot as plt

        mpl.use("Agg")
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
        **_told(said),
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


def painted_shapes(package: ModelPackage, *, hips_alone: bool = False) -> list[dict[str, Any]]:
    """Each shape painted once; whole femora are left out with `hips_alone`."""
    rows = []
    for number, (name, femur, other, spacing, whole) in enumerate(real_shapes()):
        if whole and hips_alone:
            continue
        z, y, x = spacing
        case = painted(femur, other, (z, y, x), seed=number, whole=whole)
        grid = VoxelGrid(shape_zyx=case.hu_zyx.shape, spacing_mm_zyx=case.spacing_mm_zyx)
        started = time.perf_counter()
        mask, said = judged(package, CtVolume(hu_zyx=case.hu_zyx, grid=grid))
        seconds = time.perf_counter() - started
        found = score(case.femur_zyx, mask.femur_zyx, case.spacing_mm_zyx, case_id=name, grid="native")
        row = {"shape": name, "dice": found.dice, "average_surface_distance_mm": found.average_surface_distance_mm}
        row["other_bone_ml"] = float(np.count_nonzero(mask.femur_zyx & case.other_zyx)) * grid.voxel_volume_mm3 / 1000
        rows.append({**row, "hausdorff_95_mm": found.hausdorff_95_mm, "seconds": seconds, **_told(said)})
        print(rows[-1], flush=True)
    return rows


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
        mask, said = judged(package, ct)
        found_ml = float(np.count_nonzero(mask.femur_zyx)) * mask.grid.voxel_volume_mm3 / 1000
        found[name] = {"found_ml": found_ml, **_told(said)}
        print(name, found[name], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    package = load_package(given.model)
    command = f"python -m benchmarks.shipped.evidence --model {given.model} --parts {' '.join(given.parts)}"
    result: dict[str, Any] = {"command": command, "package_sha256": package.sha256}
    if "pelvis" in given.parts:
        result["pelvis"] = pelvis(package, given.figure)
        print(result["pelvis"], flush=True)
    if "painted" in given.parts:
        rows = result["painted_real_shapes"] = painted_shapes(package)
        result["painted_mean_dice"] = float(np.mean([row["dice"] for row in rows]))
        result["painted_least_dice"] = min(row["dice"] for row in rows)
    if "negatives" in given.parts:
        result["negatives"] = negatives(package)
    if given.output:
        write_json_durably(given.output, result)


if __name__ == "__main__":
    main()
