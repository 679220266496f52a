"""The cascade, the network that finds alone, and what the paper's grid leaves of a mask, on unseen patients.

    make native

or, of a project whose `dvc repro compare` is through:

    python -m benchmarks.pipeline.native_resolution --project build/native --output FILE --figure FILE

Every mask is the one that the stages of evaluation left, on the CT's own grid. The paper's grid, 512 × 64 × 64 over the
whole scan, stands there without a network: the reference is put on it and back, the way of a probability. Pieces are
counted with all 26 neighbours, single voxels too, against those of the reference. The table is of the first seed; what
the comparison page answers, raw against gradient at both scales over all seeds, is kept with it. Hours are of the
steps, without validation, checkpoints and start-up.

The figure: one coronal slice through a hip by the cascade of higher validation Dice, of the patient whose mean surface
distance by it is the median.
"""

import argparse
import csv
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from matplotlib.colors import to_rgba
from numpy.typing import NDArray
from scipy import ndimage

from femseg.cohorts.case import Case
from femseg.cohorts.manifest import cohort_root, read_case_ct, read_case_mask, read_manifest
from femseg.cohorts.split import read_split
from femseg.files.durable import read_json, sha256_of_file, write_bytes_durably, write_json_durably
from femseg.inference.segment import onto_ct_grid
from femseg.lineage.provenance import git_state
from femseg.metrics.scorecard import score
from femseg.paths import CASCADE, EVALUATED, MANIFEST, REPEATS, REPORTS, SPLIT, TRAIN_RUNS, model_of
from femseg.reports.style import LIGHT, VIEWER, figure, png, styled
from femseg.volumes.grid import CtVolume, MaskVolume, to_lps
from femseg.volumes.network_input import InputRecipe, network_grid, sampled_mask

GOALS = {"dice": 0.985, "average_surface_distance_mm": 0.3, "hausdorff_95_mm": 1.0}
PAPER = InputRecipe(input_mode="raw", shape_zyx=(512, 64, 64))
THERE_AND_BACK = "the paper's grid, there and back"
_EDGE_MM = 110.0  # of the figure's slice

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One mask against its reference."""

    method: str
    case_id: str
    dice: float
    average_surface_distance_mm: float | None
    hausdorff_95_mm: float | None
    pieces: int
    pieces_of_reference: int


def on_the_papers_grid(reference: MaskVolume) -> Mask:
    """A mask put on the paper's grid and back."""
    there = sampled_mask(reference, PAPER).astype(np.float32)
    return onto_ct_grid(there, network_grid(reference.grid, PAPER), reference.grid)


def masks_of(project: Path, methods: Sequence[str], case_id: str, reference: MaskVolume) -> Iterator[tuple[str, Mask]]:
    """What each method makes of a case, one at a time."""
    yield THERE_AND_BACK, on_the_papers_grid(reference)
    for method in methods:
        image = sitk.ReadImage(str(project / EVALUATED / method / "ct_grid" / f"{case_id}.nii.gz"))
        yield method, sitk.GetArrayViewFromImage(image) > 0


def pieces(mask: Mask) -> int:
    """Connected pieces, a single voxel being one."""
    return int(ndimage.label(mask, np.ones((3, 3, 3)))[1])


def scored(method: str, case_id: str, reference: MaskVolume, mask: Mask) -> Row:
    """One mask's row of the table."""
    found = score(reference.femur_zyx, mask, reference.grid.spacing_mm_zyx, case_id=case_id, grid="native")
    return Row(
        method=method,
        case_id=case_id,
        dice=found.dice,
        average_surface_distance_mm=found.average_surface_distance_mm,
        hausdorff_95_mm=found.hausdorff_95_mm,
        pieces=pieces(mask),
        pieces_of_reference=pieces(reference.femur_zyx),
    )


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Means and the worst of a method's rows, and whether the goals are reached by the means."""
    made: dict[str, Any] = {"cases": len(rows)}
    for metric in GOALS:
        values = [getattr(row, metric) for row in rows]
        defined = [value for value in values if value is not None]
        made[metric] = {
            "mean": float(np.mean(defined)) if defined else None,
            "worst": (min if metric == "dice" else max)(defined) if defined else None,
            "undefined": len(values) - len(defined),
        }
    made["in_as_many_pieces"] = sum(row.pieces == row.pieces_of_reference for row in rows)
    means = {metric: made[metric]["mean"] for metric in GOALS}
    reached = [v is not None and (v >= GOALS[m] if m == "dice" else v <= GOALS[m]) for m, v in means.items()]
    whole = made["in_as_many_pieces"] == len(rows) and all(made[metric]["undefined"] == 0 for metric in GOALS)
    return {**made, "goals_reached": all(reached) and whole}


def trainings(project: Path) -> dict[str, list[dict[str, float]]]:
    """Steps and hours by the clock of the trainings that are through, by network and input."""
    told: dict[str, list[dict[str, float]]] = {}
    for path in sorted((project / TRAIN_RUNS).glob("*/timing.csv")):
        with path.open(newline="") as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
        name = path.parent.name.rpartition("-")[0]
        told.setdefault(name, []).append({"steps": len(seconds), "hours": sum(seconds) / 3600})
    return told


def of_each_training(project: Path) -> list[dict[str, Any]]:
    """Of each cascade's training, by fold and seed: mean and least Dice on the CT's own grid."""
    told = []
    for path in sorted((project / REPEATS / "cascades").glob("fold-*-seed-*/*/scores.csv")):
        with path.open(newline="") as file:
            dice = [float(row["dice"]) for row in csv.DictReader(file) if row["grid"] == "native"]
        what = {"cascade": path.parent.name, "training": path.parents[1].name}
        told.append({**what, "mean_dice": float(np.mean(dice)), "least_dice": min(dice)})
    return told


def answers(project: Path) -> list[dict[str, Any]]:
    """What the comparison page says, and the numbers of the comparisons that decide it, over all seeds."""
    page = read_json(project / REPORTS / "comparison.json")
    deciding = [one for one in page["comparisons"] if one["decides"]]
    scatter = page["trainings"]
    return [
        {"headline": headline, "seeds": scatter["seeds"], "scatter": scatter["components"].get(one["candidate"]), **one}
        for headline, one in zip(page["headlines"], deciding, strict=True)
    ]


def measured(project: Path) -> tuple[dict[str, Any], Mapping[str, Case]]:
    """The table, and the cases that it is of."""
    manifest = read_manifest(project / MANIFEST)
    root, by_id = (
        cohort_root(manifest, (project / MANIFEST).absolute()),
        {case.case_id: case for case in manifest.cases},
    )
    methods = sorted(path.parent.name for path in (project / EVALUATED).glob("*/scores.csv"))
    rows: list[Row] = []
    for case_id in read_split(project / SPLIT).test:
        reference = read_case_mask(by_id[case_id], root)
        for method, mask in masks_of(project, methods, case_id, reference):
            rows.append(scored(method, case_id, reference, mask))
            print(rows[-1], flush=True)
    return {
        "command": f"python -m benchmarks.pipeline.native_resolution --project {project}",
        "goals": GOALS,
        "table": {name: summary([row for row in rows if row.method == name]) for name in (THERE_AND_BACK, *methods)},
        "models": {name: sha256_of_file(project / model_of(name) / "MANIFEST.json") for name in methods},
        "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
        "code": asdict(git_state(project)),
        "found_by": {m: found_by(project, m) for m in methods if m.startswith(CASCADE)},
        "trainings": trainings(project),
        "answers": answers(project),
        "of_each_training": of_each_training(project),
        "rows": [asdict(row) for row in rows],
    }, by_id


def found_by(project: Path, cascade: str) -> str:
    """The model of one scale by which a cascade finds."""
    return str(read_json(project / model_of(cascade) / "model.json")["input_mode"])


def best_cascade(project: Path, result: Mapping[str, Any]) -> str:
    """By validation Dice, not by test cases."""
    models = {name: read_json(project / model_of(name) / "model.json") for name in result["found_by"]}
    return max(models, key=lambda name: models[name]["refine"]["metrics"]["validation_dice"])


def shown_case(result: Mapping[str, Any], cascade: str, cases: Mapping[str, Case]) -> str:
    """The case of median surface distance, of those that show a hip, if any does."""
    rows = [row for row in result["rows"] if row["method"] == cascade]
    hips = [row for row in rows if "superior" not in cases[row["case_id"]].facts.cut_off]
    ordered = sorted(hips or rows, key=lambda row: (row["average_surface_distance_mm"] or np.inf, row["case_id"]))
    return str(ordered[(len(ordered) - 1) // 2]["case_id"])


def window_of(reference_zyx: Mask, spacing_mm_zyx: Sequence[float]) -> tuple[slice, int, slice]:
    """A coronal slice about the upper end of the femur that shows more: heights, depth, columns."""
    half = reference_zyx.shape[2] // 2
    side = reference_zyx.sum(axis=(0, 1)).astype(float)
    columns = slice(0, half) if side[:half].sum() > side[half:].sum() else slice(half, None)
    one = np.zeros_like(reference_zyx)
    one[:, :, columns] = reference_zyx[:, :, columns]
    tall, wide = (round(_EDGE_MM / spacing_mm_zyx[axis]) for axis in (0, 2))
    top = min(int(np.flatnonzero(one.any(axis=(1, 2)))[-1]) + tall // 8, one.shape[0])
    heights = slice(max(0, top - tall), top)
    y = int(np.argmax(one[heights].sum(axis=(0, 2))))
    x = np.flatnonzero(one[heights, y].any(axis=0))
    first = int(np.clip((x[0] + x[-1]) // 2 - wide // 2, 0, max(0, one.shape[2] - wide)))
    return heights, y, slice(first, first + wide)


def shown(project: Path, result: Mapping[str, Any], cases: Mapping[str, Case]) -> bytes:
    """The figure of a table."""
    cascade = best_cascade(project, result)
    case_id = shown_case(result, cascade, cases)
    root = cohort_root(read_manifest(project / MANIFEST), (project / MANIFEST).absolute())
    reference = read_case_mask(cases[case_id], root)
    find = result["found_by"][cascade]
    model = read_json(project / model_of(cascade) / "model.json")
    coarse, fine = (max(scale["input_recipe"]["spacing_mm_zyx"]) for scale in (model, model["refine"]))
    titles = {THERE_AND_BACK: THERE_AND_BACK, find: f"found at {coarse:g} mm", cascade: f"cut out at {fine:g} mm"}
    words = {row["method"]: words_of(row) for row in result["rows"] if row["case_id"] == case_id}
    masks = masks_of(project, (find, cascade), case_id, reference)
    return drawn(read_case_ct(cases[case_id], root), reference, [(titles[m], words[m], mask) for m, mask in masks])


def drawn(ct: CtVolume, reference: MaskVolume, panels: Sequence[tuple[str, str, Mask]]) -> bytes:
    """The same slice in every panel, of a title, a line below and a mask; the reference as a line."""
    hu_zyx, grid = to_lps(ct.hu_zyx, ct.grid)
    reference_zyx = to_lps(reference.femur_zyx, reference.grid)[0]
    seen = window_of(reference_zyx, grid.spacing_mm_zyx)
    place = {"origin": "lower", "aspect": grid.spacing_mm_zyx[0] / grid.spacing_mm_zyx[2], "interpolation": "nearest"}
    with styled(LIGHT):
        made = figure(3.5 * len(panels), 4.3)
        for axes, (title, words, mask) in zip(made.subplots(1, len(panels)), panels, strict=True):
            axes.imshow(hu_zyx[seen], cmap="gray", vmin=-250, vmax=1100, **place)
            tint = np.zeros((*reference_zyx[seen].shape, 4))
            tint[to_lps(mask, reference.grid)[0][seen]] = to_rgba(VIEWER.modes[1], 0.5)
            axes.imshow(tint, **place)
            axes.contour(reference_zyx[seen], levels=[0.5], colors=[VIEWER.modes[0]], linewidths=1.3)
            axes.set_title(title)
            axes.set_xlabel(words, fontsize=9)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        made.supxlabel("orange: the mask; blue line: the reference", fontsize=9, color=LIGHT.muted)
        return png(made)


def words_of(row: Mapping[str, Any]) -> str:
    """Under a panel."""
    distances = (row["average_surface_distance_mm"], row["hausdorff_95_mm"])
    mean, far = ("–" if value is None else f"{value:.2f} mm" for value in distances)
    return f"Dice {row['dice']:.3f}, surface {mean}, HD95 {far}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path("build/native"))
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    result, cases = measured(given.project)
    print(json.dumps(result["table"], indent=2))
    if given.output:
        write_json_durably(given.output, result)
    if given.figure:
        write_bytes_durably(given.figure, shown(given.project, result, cases))


if __name__ == "__main__":
    main()
