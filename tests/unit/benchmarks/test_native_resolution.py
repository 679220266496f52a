"""The table of native_resolution: what the paper's grid leaves, pieces, and when a goal is reached."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.pipeline.native_resolution import (
    Row,
    answers,
    best_cascade,
    of_each_training,
    on_the_papers_grid,
    pieces,
    scored,
    summary,
    trainings,
    window_of,
)
from femseg.volumes.grid import MaskVolume, VoxelGrid


@pytest.fixture
def shafts():
    """Two round shafts of 26 mm, 200 mm apart, in a scan of 400 × 200 mm."""
    y, x = np.ogrid[:200, :400]
    disc = np.minimum(np.hypot(y - 100.3, x - 99.1), np.hypot(y - 100.3, x - 299.6)) < 13.0
    grid = VoxelGrid(shape_zyx=(60, 200, 400), spacing_mm_zyx=(1.0, 1.0, 1.0))
    return MaskVolume(femur_zyx=np.broadcast_to(disc, grid.shape_zyx).copy(), grid=grid)


def test_voxels_of_6_mm_leave_a_shaft_in_place_but_not_its_surface(shafts):
    row = scored("paper", "a", shafts, on_the_papers_grid(shafts))
    assert row.pieces == row.pieces_of_reference == 2
    assert 0.85 < row.dice < 0.97
    assert row.average_surface_distance_mm == pytest.approx(0.8, abs=0.5)
    assert scored("itself", "a", shafts, shafts.femur_zyx).dice == 1.0


def test_voxels_that_touch_at_a_corner_are_one_piece_and_a_single_one_counts():
    mask = np.zeros((5, 5, 5), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[4, 4, 4] = True
    assert pieces(mask) == 2


def test_goals_are_reached_by_means_with_every_femur_in_one_piece():
    good = Row(
        method="m",
        case_id="a",
        dice=0.99,
        average_surface_distance_mm=0.2,
        hausdorff_95_mm=1.0,
        pieces=2,
        pieces_of_reference=2,
    )
    torn = replace(good, case_id="b", pieces=3)
    empty = replace(good, case_id="c", dice=0.0, average_surface_distance_mm=None, hausdorff_95_mm=None, pieces=0)
    assert summary([good])["goals_reached"]
    assert not summary([good, torn])["goals_reached"]
    assert not summary([good, empty])["goals_reached"]
    assert summary([good, empty])["hausdorff_95_mm"] == {"mean": 1.0, "worst": 1.0, "undefined": 1}


def test_the_slice_of_the_figure_goes_through_the_upper_end_of_a_femur(shafts):
    heights, y, columns = window_of(shafts.femur_zyx, (1.0, 1.0, 1.0))
    assert shafts.femur_zyx[heights, y, columns].sum() > 20 * (heights.stop - heights.start)
    assert columns.stop - columns.start == 110


def test_the_pages_answers_stand_with_the_comparison_that_each_is_of(tmp_path):
    dice = {"metric": "dice", "grid": "native", "candidate": "cascade-gradient", "mean_difference": 0.01}
    page = {
        "headlines": ["No difference shown"],
        "comparisons": [{**dice, "grid": "network", "decides": False}, {**dice, "decides": True}],
        "trainings": {"seeds": 2, "components": {"cascade-gradient": {"seeds_sd": 0.002}}},
    }
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/comparison.json").write_text(json.dumps(page))
    (answer,) = answers(tmp_path)
    assert (answer["headline"], answer["grid"], answer["seeds"]) == ("No difference shown", "native", 2)
    assert (answer["mean_difference"], answer["scatter"]) == (0.01, {"seeds_sd": 0.002})


def test_the_cascade_of_the_figure_is_the_better_by_validation_whatever_the_test_cases_say(tmp_path):
    for name, dice in (("raw", 0.8), ("gradient", 0.9)):
        folder = tmp_path / "cascades" / name
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(json.dumps({"refine": {"metrics": {"validation_dice": dice}}}))
    worse_in_the_test = {"average_surface_distance_mm": {"mean": 9.0}}
    found_by = {"cascade-raw": "raw", "cascade-gradient": "raw"}
    result = {"found_by": found_by, "table": {"cascade-gradient": worse_in_the_test}}
    assert best_cascade(tmp_path, result) == "cascade-gradient"


def test_each_training_of_a_cascade_is_told_by_its_worst_too(tmp_path):
    folder = tmp_path / "results/repeats/cascades/fold-0-seed-1/raw"
    folder.mkdir(parents=True)
    (folder / "scores.csv").write_text("case_id,grid,dice\na,native,0.5\nb,native,0.75\na,network,0.25\n")
    (told,) = of_each_training(tmp_path)
    assert told == {"cascade": "raw", "training": "fold-0-seed-1", "mean_dice": 0.625, "least_dice": 0.5}


def test_trainings_of_several_seeds_are_told_one_by_one(tmp_path):
    for name, rows in {"refine-raw-0a": 3, "refine-raw-1b": 2, "raw-2c": 1}.items():
        (tmp_path / "runs/train" / name).mkdir(parents=True)
        (tmp_path / "runs/train" / name / "timing.csv").write_text("iteration,seconds\n" + "1,1800\n" * rows)
    assert trainings(tmp_path) == {
        "raw": [{"steps": 1, "hours": 0.5}],
        "refine-raw": [{"steps": 3, "hours": 1.5}, {"steps": 2, "hours": 1.0}],
    }
