"""The worked pair of README.md: every number of its table, computed by whom the column names."""

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import surface_distance
import torch
from monai import metrics as monai

from femseg.metrics.definitions import METRICS
from femseg.metrics.scorecard import score

SPACING = (2.0, 1.0, 1.0)
REFERENCE, PREDICTED = np.zeros((8, 14, 16), bool), np.zeros((8, 14, 16), bool)
REFERENCE[2:6, 4:10, 4:10] = True
PREDICTED[2:6, 4:10, 5:11] = PREDICTED[3, 6, 11:13] = True

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*namespace is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning"),
]


def ours():
    one = score(REFERENCE, PREDICTED, SPACING, case_id="c", grid="native")
    return {metric.name: getattr(one, metric.name) for metric in METRICS}


def of_simpleitk():
    annotated, predicted = (sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (REFERENCE, PREDICTED))
    for image in (annotated, predicted):
        image.SetSpacing(SPACING[::-1])
    overlap, distance = sitk.LabelOverlapMeasuresImageFilter(), sitk.HausdorffDistanceImageFilter()
    overlap.Execute(predicted, annotated)
    distance.Execute(predicted, annotated)
    return {
        "dice": overlap.GetDiceCoefficient(),
        "iou": overlap.GetJaccardCoefficient(),
        "sensitivity": 1 - overlap.GetFalseNegativeError(),
        "precision": 1 - overlap.GetFalseDiscoveryRate(),
        "average_hausdorff_mm": distance.GetAverageHausdorffDistance(),
        "hausdorff_mm": distance.GetHausdorffDistance(),
        "volume_similarity": overlap.GetVolumeSimilarity(),
    }


def of_monai():
    pair = [torch.from_numpy(mask[None, None]).float() for mask in (PREDICTED, REFERENCE)]
    confusion = monai.get_confusion_matrix(*pair)

    def surface(tolerance_mm):
        return monai.compute_surface_dice(
            *pair, class_thresholds=[tolerance_mm], spacing=SPACING, include_background=True
        )

    values = {
        "dice": monai.compute_dice(*pair),
        "iou": monai.compute_iou(*pair),
        "sensitivity": monai.compute_confusion_matrix_metric("sensitivity", confusion),
        "precision": monai.compute_confusion_matrix_metric("precision", confusion),
        "average_surface_distance_mm": monai.compute_average_surface_distance(*pair, symmetric=True, spacing=SPACING),
        "hausdorff_mm": monai.compute_hausdorff_distance(*pair, spacing=SPACING),
        "hausdorff_95_mm": monai.compute_hausdorff_distance(*pair, percentile=95, spacing=SPACING),
        "surface_dice_1mm": surface(1.0),
        "surface_dice_2mm": surface(2.0),
    }
    return {name: float(value) for name, value in values.items()}


def of_medpy():
    medpy = pytest.importorskip("medpy.metric.binary")
    overlaps = {"dice": medpy.dc, "iou": medpy.jc, "sensitivity": medpy.sensitivity, "precision": medpy.precision}
    distances = {"average_surface_distance_mm": medpy.assd, "hausdorff_mm": medpy.hd, "hausdorff_95_mm": medpy.hd95}
    values = {name: call(PREDICTED, REFERENCE) for name, call in overlaps.items()}
    values |= {name: call(PREDICTED, REFERENCE, SPACING) for name, call in distances.items()}
    return values | {"volume_difference_ml": medpy.ravd(PREDICTED, REFERENCE)}


def of_surface_distance():
    distances = surface_distance.compute_surface_distances(REFERENCE, PREDICTED, SPACING)
    return {
        "dice": surface_distance.compute_dice_coefficient(REFERENCE, PREDICTED),
        "average_surface_distance_mm": surface_distance.compute_average_surface_distance(distances),
        "hausdorff_mm": surface_distance.compute_robust_hausdorff(distances, 100),
        "hausdorff_95_mm": surface_distance.compute_robust_hausdorff(distances, 95),
        "surface_dice_1mm": surface_distance.compute_surface_dice_at_tolerance(distances, 1),
        "surface_dice_2mm": surface_distance.compute_surface_dice_at_tolerance(distances, 2),
    }


COLUMNS = (ours, of_simpleitk, of_monai, of_medpy, of_surface_distance)


def printed(value) -> str:
    return " and ".join(f"{one:.4f}" for one in np.atleast_1d(value))


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.__name__)
def test_the_table_of_the_worked_pair_holds_what_each_library_computes(column):
    page = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d.*) \|$", page, re.MULTILINE)
    assert [name for name, _ in rows] == [metric.name for metric in METRICS]
    cells = {name: line.split(" | ")[COLUMNS.index(column)] for name, line in rows}
    assert {name: cell for name, cell in cells.items() if cell != "–"} == {n: printed(v) for n, v in column().items()}


def test_the_worked_pairs_overlap_and_average_hausdorff_distance_come_out_by_hand():
    by_hand = ours()
    # A has 4·6·6 = 144 voxels; B is A one step further, and a spur of two: 146; they share 4·6·5 = 120
    assert by_hand["dice"] == pytest.approx(240 / 290)
    assert by_hand["iou"] == pytest.approx(120 / 170)
    assert by_hand["sensitivity"] == pytest.approx(120 / 144)
    assert by_hand["precision"] == pytest.approx(120 / 146)
    assert by_hand["volume_similarity"] == pytest.approx(288 / 290)
    assert by_hand["volume_difference_ml"] == pytest.approx(2 * 2 / 1000)
    # From A: 24 voxels are one step of 1 mm away. From B: 24 are one step away, the spur two and three.
    assert by_hand["average_hausdorff_mm"] == pytest.approx(max(24 / 144, (24 + 2 + 3) / 146))
    assert by_hand["hausdorff_mm"] == pytest.approx(3.0)
