"""Our whole scorecard beside what peers need for the same numbers, in one run on one pair of femur-like masks.

Usage: python benchmarks/surface_metrics.py [--json FILE] [--repeats N]

The peers' set is the quickest that covers ours: surface-distance for the two surface metrics, SimpleITK's directed
Hausdorff filters for the average Hausdorff distance and its overlap filter for Dice and volume similarity.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import surface_distance

from femseg.metrics.scorecard import score

SHAPE_ZYX = (512, 64, 64)
SPACING_MM_ZYX = (0.9, 1.8, 1.2)


def femur_like(centre_zyx: tuple[float, ...], radii_zyx: tuple[float, ...]) -> np.ndarray:
    """A long bone as an ellipsoid, bool, on the paper's grid."""
    axes = np.ogrid[tuple(slice(n) for n in SHAPE_ZYX)]
    return sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre_zyx, radii_zyx, strict=True)) < 1


REFERENCE = femur_like((256, 32, 32), (240, 20, 20))
PREDICTIONS = {
    "close": femur_like((255, 32, 32.4), (239, 20.5, 19.6)),
    "rough": femur_like((250, 33, 31), (240, 22, 19)),
}


def ours(predicted: np.ndarray) -> float:
    """Every metric of one case; returns the 95 % Hausdorff distance, to be checked."""
    one = score(REFERENCE, predicted, SPACING_MM_ZYX, case_id="case", grid="network")
    assert one.hausdorff_95_mm is not None
    return one.hausdorff_95_mm


def with_surface_distance(predicted: np.ndarray) -> float:
    """The two surface metrics only."""
    distances = surface_distance.compute_surface_distances(REFERENCE, predicted, SPACING_MM_ZYX)
    surface_distance.compute_average_surface_distance(distances)
    return float(surface_distance.compute_robust_hausdorff(distances, 95))


def with_simpleitk(predicted: np.ndarray) -> float:
    """Average Hausdorff distance, Dice and volumes only."""
    images = [sitk.GetImageFromArray(mask.view(np.uint8)) for mask in (REFERENCE, predicted)]
    for image in images:
        image.SetSpacing(SPACING_MM_ZYX[::-1])
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images)
    sitk.LabelOverlapMeasuresImageFilter().Execute(*images)
    return float(hausdorff.GetAverageHausdorffDistance())


def best_seconds(call: Callable[[], float], repeats: int) -> float:
    """The quickest of some repetitions, after one to warm up."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measured(repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of both sides and their ratio, for each prediction."""
    results = {}
    for name, predicted in PREDICTIONS.items():
        assert abs(ours(predicted) - with_surface_distance(predicted)) < 1e-6
        sides = {"ours": ours, "surface_distance": with_surface_distance, "simpleitk": with_simpleitk}
        seconds = {
            f"{side}_s": best_seconds(lambda call=call, p=predicted: call(p), repeats) for side, call in sides.items()
        }
        peers = seconds["surface_distance_s"] + seconds["simpleitk_s"]
        dice = 2 * np.count_nonzero(REFERENCE & predicted) / (np.count_nonzero(REFERENCE) + np.count_nonzero(predicted))
        results[name] = {"dice": float(dice), **seconds, "peers_over_ours": peers / seconds["ours_s"]}
    return results


def main() -> None:
    """Print the results, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # surface-distance calls old scipy names
    results = measured(arguments.repeats)
    text = json.dumps({"shape_zyx": SHAPE_ZYX, "spacing_mm_zyx": SPACING_MM_ZYX, "pairs": results}, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
