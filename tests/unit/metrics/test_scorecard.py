import csv
import json

import numpy as np
import pytest
from scores import case_score

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.metrics.definitions import METRICS, metric_named
from femseg.metrics.scorecard import read_scores, score, summary, write_scores


def scored(case_id="c1", grid="network", dice=0.9, distance=1.25):
    return case_score(case_id, grid, dice, distance, volume_similarity=0.1 + 0.2)


def test_a_case_is_scored_by_every_metric_and_its_volumes_in_millilitres():
    reference = np.zeros((10, 10, 10), bool)
    reference[2:7, 2:7, 2:7] = True
    ours = score(reference, reference, (2.0, 2.0, 2.0), case_id="c7", grid="native")
    assert (ours.case_id, ours.grid, ours.dice, ours.volume_similarity) == ("c7", "native", 1.0, 1.0)
    assert ours.iou == ours.sensitivity == ours.precision == ours.surface_dice_1mm == ours.surface_dice_2mm == 1.0
    assert ours.average_hausdorff_mm == ours.average_surface_distance_mm == ours.hausdorff_95_mm == 0.0
    assert ours.hausdorff_mm == ours.volume_difference_ml == 0.0
    assert ours.reference_volume_ml == ours.predicted_volume_ml == pytest.approx(125 * 8 / 1000)


def test_an_empty_prediction_is_scored_without_distances():
    reference = np.ones((3, 3, 3), bool)
    ours = score(reference, ~reference, (1.0, 1.0, 1.0), case_id="c", grid="network")
    assert (ours.dice, ours.hausdorff_95_mm, ours.predicted_volume_ml) == (0.0, None, 0.0)
    assert (ours.sensitivity, ours.precision, ours.volume_difference_ml) == (0.0, None, -0.027)


def test_scores_survive_the_csv_exactly(tmp_path):
    scores = (scored("c1", distance=1 / 3), scored("c2", dice=0.0, distance=None), scored("c1", grid="native"))
    write_scores(tmp_path / "scores.csv", scores)
    assert read_scores(tmp_path / "scores.csv") == scores


def test_the_csv_has_stable_columns_rows_and_bytes_and_leaves_undefined_cells_empty(tmp_path):
    scores = [scored("c2", distance=None), scored("c1", grid="native"), scored("c1")]
    first = write_scores(tmp_path / "a.csv", scores)
    assert first == write_scores(tmp_path / "b.csv", reversed(scores))
    head, *rows = csv.reader((tmp_path / "a.csv").read_text().splitlines())
    assert head == [
        "case_id",
        "grid",
        *(metric.name for metric in METRICS),
        "reference_volume_ml",
        "predicted_volume_ml",
    ]
    assert [row[:2] for row in rows] == [["c1", "network"], ["c2", "network"], ["c1", "native"]]
    assert [name for name, cell in zip(head, rows[1], strict=True) if not cell] == [
        "precision",
        "average_hausdorff_mm",
        "average_surface_distance_mm",
        "hausdorff_mm",
        "hausdorff_95_mm",
    ]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("case,dice\nc1,0.5\n", "expected columns case_id"),
        ("", "expected columns case_id"),
        ("case_id,grid,dice\nc1,network,0.9\n", "is a scorecard of an earlier version, without iou, sensitivity"),
        ("{head}\nc1,network,0.9,1,1\n", "line 2"),
        ("{head}\nc1,network,nan{rest}\n", "line 2.*dice: expected a finite number"),
        ("{head}\nc1,network,{rest}\n", "line 2.*dice: expected a number"),
        ("{head}\nc1,somewhere,0.9{rest}\n", "line 2.*grid"),
    ],
    ids=["other columns", "no bytes", "earlier version", "torn row", "not finite", "missing Dice", "unknown grid"],
)
def test_a_torn_or_altered_scorecard_is_refused_by_name(tmp_path, content, named):
    path = tmp_path / "scores.csv"
    write_scores(path, [scored()])
    head = path.read_text().splitlines()[0]
    path.write_text(content.replace("{head}", head).replace("{rest}", ",1" * (len(head.split(",")) - 3)))
    with pytest.raises(Refusal, match=f"scores.csv.*{named}") as refused:
        read_scores(path)
    assert refused.value.exit_code == ExitCode.INTEGRITY


def test_a_missing_scorecard_is_refused_by_name(tmp_path):
    with pytest.raises(Refusal, match=r"scores\.csv: is missing"):
        read_scores(tmp_path / "scores.csv")


def test_the_summary_counts_what_is_undefined_and_is_strict_json():
    scores = [scored("c1", dice=0.8, distance=1.0), scored("c2", dice=0.9, distance=3.0)]
    scores.append(scored("c3", dice=0.0, distance=None))
    network = summary(scores)["network"]
    assert network["hausdorff_95_mm"] == {
        "mean": pytest.approx(2.0),
        "standard_deviation": pytest.approx(2**0.5),
        "n": 2,
        "undefined": 1,
    }
    assert network["dice"]["n"] == 3
    assert network["dice"]["mean"] == pytest.approx(1.7 / 3)
    assert list(network) == [metric.name for metric in METRICS]
    json.dumps(network, allow_nan=False)


def test_one_case_has_a_mean_and_no_standard_deviation():
    alone = summary([scored("c1", distance=None)])["network"]
    assert alone["dice"] == {"mean": 0.9, "standard_deviation": None, "n": 1, "undefined": 0}
    assert alone["hausdorff_95_mm"] == {"mean": None, "standard_deviation": None, "n": 0, "undefined": 1}


def test_a_case_that_stands_twice_on_a_grid_is_refused():
    with pytest.raises(ValueError, match="network grid: a case stands there twice"):
        summary([scored("c1"), scored("c1")])


def test_a_score_that_is_not_finite_cannot_be_made():
    with pytest.raises(ValueError, match="average_hausdorff_mm: expected a finite number or None, got inf"):
        scored(distance=float("inf"))


def test_every_metric_is_a_field_of_the_score_and_states_its_definition():
    one = scored()
    for metric in METRICS:
        assert hasattr(one, metric.name)
        assert all((metric.definition, metric.when_empty, metric.source))
        assert (metric.unit == "mm") == metric.name.endswith("_mm") == (metric.better == "lower")
        assert (metric.unit == "ml") == metric.name.endswith("_ml") == (metric.better == "nearer to zero")
    with pytest.raises(ValueError, match=r"expected one of \['dice', .*got 'jaccard'"):
        metric_named("jaccard")


def test_a_difference_is_a_gain_in_the_direction_that_is_better_and_volumes_are_compared_by_size():
    dice, distance, volume = (metric_named(n) for n in ("dice", "hausdorff_mm", "volume_difference_ml"))
    assert (dice.gain(0.1), distance.gain(0.1), volume.gain(0.1)) == (0.1, -0.1, -0.1)
    assert (dice.compared(0.5), distance.compared(2.0), volume.compared(-3.0)) == (0.5, 2.0, 3.0)
    assert (dice.arrow, distance.arrow, volume.arrow) == ("↑", "↓", "→ 0")
