"""Our whole scorecard beside what every peer gives of it, in one run on femur-like masks of two sizes.

Usage: python -m benchmarks.pipeline.metrics [--output FILE] [--repeats N] [--only paper|native]

Each peer is asked, as its documentation says, for whatever it has of our twelve metrics, whether it means the same by
it or not; `has` counts them. Where it means the same, `largest_difference` is between its number and ours. MedPy takes
part where it is installed (`pip install medpy`), on the paper's grid. On the native pair each peer runs once.
Seconds are by the clock; where other work runs beside, `cpu_seconds` say more (of all threads, and SimpleITK's use all
cores).
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import surface_distance
import torch
from monai import metrics as monai

from femseg.metrics.definitions import METRICS
from femseg.metrics.scorecard import score

try:
    from medpy.metric import binary as medpy
except ImportError:
    medpy = None

Values = dict[str, float]

_MOST_VOXELS_FOR_MEDPY = (
    10_000_000  # it transforms the whole volume six times over: minutes and gigabytes on a CT's grid
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two masks on one grid."""

    reference: np.ndarray
    predicted: np.ndarray
    spacing_mm_zyx: tuple[float, float, float]


def ellipsoid(shape_zyx: tuple[int, ...], centre_zyx: tuple[float, ...], radii_zyx: tuple[float, ...]) -> np.ndarray:
    """A long bone, roughly, bool."""
    axes = np.ogrid[tuple(slice(n) for n in shape_zyx)]
    return sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre_zyx, radii_zyx, strict=True)) < 1


def paper_pair(*, close: bool) -> Pair:
    """The paper's network grid."""
    shape = (512, 64, 64)
    better, worse = ((255, 32, 32.4), (239, 20.5, 19.6)), ((250, 33, 31), (240, 22, 19))
    return Pair(
        reference=ellipsoid(shape, (256, 32, 32), (240, 20, 20)),
        predicted=ellipsoid(shape, *(better if close else worse)),
        spacing_mm_zyx=(0.9, 1.8, 1.2),
    )


def native_pair(*, close: bool) -> Pair:
    """A CT's own grid: one femur in 512 × 512 × 400 voxels."""
    shape = (400, 512, 512)
    better, worse = ((199, 256, 200.6), (189, 40.8, 39.4)), ((196, 258, 198), (190, 43, 38))
    return Pair(
        reference=ellipsoid(shape, (200, 256, 200), (190, 40, 40)),
        predicted=ellipsoid(shape, *(better if close else worse)),
        spacing_mm_zyx=(1.0, 0.7, 0.7),
    )


PAIRS = {
    "paper, close": lambda: paper_pair(close=True),
    "paper, rough": lambda: paper_pair(close=False),
    "native, close": lambda: native_pair(close=True),
    "native, rough": lambda: native_pair(close=False),
}


def ours(pair: Pair) -> Values:
    """All twelve."""
    one = score(pair.reference, pair.predicted, pair.spacing_mm_zyx, case_id="case", grid="network")
    return {metric.name: getattr(one, metric.name) for metric in METRICS}


def of_simpleitk(pair: Pair) -> Values:
    """Its two filters for masks; nothing over surfaces."""
    annotated, predicted = (sitk.GetImageFromArray(m.view(np.uint8)) for m in (pair.reference, pair.predicted))
    for image in (annotated, predicted):
        image.SetSpacing(pair.spacing_mm_zyx[::-1])
    overlap, distance = sitk.LabelOverlapMeasuresImageFilter(), sitk.HausdorffDistanceImageFilter()
    overlap.Execute(predicted, annotated)
    distance.Execute(predicted, annotated)
    return {
        "dice": overlap.GetDiceCoefficient(),
        "iou": overlap.GetJaccardCoefficient(),
        "sensitivity": 1 - overlap.GetFalseNegativeError(),
        "precision": 1 - overlap.GetFalseDiscoveryRate(),
        "volume_similarity": 1 - abs(overlap.GetVolumeSimilarity()) / 2,
        "hausdorff_mm of voxels": distance.GetHausdorffDistance(),
        "average_hausdorff_mm, mean of directions": distance.GetAverageHausdorffDistance(),
    }


def of_monai(pair: Pair) -> Values:
    """Overlaps, and distances between border voxels."""
    batch = [torch.from_numpy(mask[None, None]).float() for mask in (pair.predicted, pair.reference)]
    spacing = pair.spacing_mm_zyx
    confusion = monai.get_confusion_matrix(*batch)
    values = {
        "dice": monai.compute_dice(*batch),
        "iou": monai.compute_iou(*batch),
        "sensitivity": monai.compute_confusion_matrix_metric("sensitivity", confusion),
        "precision": monai.compute_confusion_matrix_metric("precision", confusion),
        "average_surface_distance_mm of border voxels": monai.compute_average_surface_distance(
            *batch, symmetric=True, spacing=spacing
        ),
        "hausdorff_mm of border voxels": monai.compute_hausdorff_distance(*batch, spacing=spacing),
        "hausdorff_95_mm of border voxels": monai.compute_hausdorff_distance(*batch, percentile=95, spacing=spacing),
    }
    for tolerance_mm in (1, 2):
        values[f"surface_dice_{tolerance_mm}mm of border voxels"] = monai.compute_surface_dice(
            *batch, class_thresholds=[float(tolerance_mm)], spacing=spacing, include_background=True
        )
    return {name: float(value) for name, value in values.items()}


def of_medpy(pair: Pair) -> Values:
    """Overlaps, and distances between border voxels."""
    masks = (pair.predicted, pair.reference)
    return {
        "dice": medpy.dc(*masks),
        "iou": medpy.jc(*masks),
        "sensitivity": medpy.sensitivity(*masks),
        "precision": medpy.precision(*masks),
        "average_surface_distance_mm of border voxels": medpy.assd(*masks, pair.spacing_mm_zyx),
        "hausdorff_mm of border voxels": medpy.hd(*masks, pair.spacing_mm_zyx),
        "hausdorff_95_mm of border voxels, pooled": medpy.hd95(*masks, pair.spacing_mm_zyx),
        "volume_difference_ml, relative": medpy.ravd(*masks),
    }


def of_surface_distance(pair: Pair) -> Values:
    """Dice, and everything over surface elements."""
    distances = surface_distance.compute_surface_distances(pair.reference, pair.predicted, pair.spacing_mm_zyx)
    areas = [distances["surfel_areas_gt"].sum(), distances["surfel_areas_pred"].sum()]
    return {
        "dice": surface_distance.compute_dice_coefficient(pair.reference, pair.predicted),
        "average_surface_distance_mm": float(
            np.average(surface_distance.compute_average_surface_distance(distances), weights=areas)
        ),
        "hausdorff_mm": surface_distance.compute_robust_hausdorff(distances, 100),
        "hausdorff_95_mm": surface_distance.compute_robust_hausdorff(distances, 95),
        "surface_dice_1mm": surface_distance.compute_surface_dice_at_tolerance(distances, 1),
        "surface_dice_2mm": surface_distance.compute_surface_dice_at_tolerance(distances, 2),
    }


PEERS: dict[str, Callable[[Pair], Values]] = {
    "SimpleITK": of_simpleitk,
    "MONAI": of_monai,
    "surface-distance": of_surface_distance,
} | ({"MedPy": of_medpy} if medpy else {})


def timed(call: Callable[[Pair], Values], pair: Pair, repeats: int) -> tuple[float, float, Values]:
    """By the clock and by the processor, the least of some repetitions, after one to warm up if there are several."""
    seconds, cpu_seconds = [], []
    for _ in range(repeats + (repeats > 1)):
        start, cpu_start = time.perf_counter(), time.process_time()
        values = call(pair)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    return min(seconds[repeats > 1 :]), min(cpu_seconds[repeats > 1 :]), values


def measured(pair: Pair, *, repeats: int, peer_repeats: int) -> dict[str, object]:
    """Seconds of everybody on one pair, and how far equal definitions are apart."""
    our_seconds, our_cpu_seconds, our_values = timed(ours, pair, repeats)
    peers = {}
    for name, call in PEERS.items():
        if name == "MedPy" and pair.reference.size > _MOST_VOXELS_FOR_MEDPY:
            continue
        seconds, cpu_seconds, values = timed(call, pair, peer_repeats)
        same = {key: abs(value - our_values[key]) for key, value in values.items() if key in our_values}
        peers[name] = {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "over_ours": seconds / our_seconds,
            "cpu_over_ours": cpu_seconds / our_cpu_seconds,
            "has": len(values),
            "same_definition": sorted(same),
            "largest_difference": max(same.values()),
        }
    covering = peers["SimpleITK"]["seconds"] + peers["surface-distance"]["seconds"]
    return {
        "shape_zyx": pair.reference.shape,
        "spacing_mm_zyx": pair.spacing_mm_zyx,
        "dice": our_values["dice"],
        "hausdorff_95_mm": our_values["hausdorff_95_mm"],
        "ours_seconds": our_seconds,
        "ours_cpu_seconds": our_cpu_seconds,
        "ours_has": len(our_values),
        "peers": peers,
        "fastest_peer_over_ours": min(peer["over_ours"] for peer in peers.values()),
        "fastest_peer_cpu_over_ours": min(peer["cpu_over_ours"] for peer in peers.values()),
        "all_but_one_metric_from_peers_over_ours": covering / our_seconds,
    }


def main() -> None:
    """Print the results, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["paper", "native"], default="")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # surface-distance calls old scipy names
    warnings.simplefilter("ignore", FutureWarning)  # MONAI announces a change
    load_before = os.getloadavg()[0]
    results = {
        name: measured(
            make(), repeats=arguments.repeats, peer_repeats=1 if name.startswith("native") else arguments.repeats
        )
        for name, make in PAIRS.items()
        if name.startswith(arguments.only)
    }
    text = json.dumps({"cores": os.cpu_count(), "load_before": load_before, "pairs": results}, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
