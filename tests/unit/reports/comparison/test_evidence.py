import numpy as np
import pytest
from scores import case_score

from femseg.comparison.repeats import ScoredTraining, mean_over_seeds
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.metrics.definitions import METRICS
from femseg.reports.comparison.evidence import CasePicture, CurvePoint, read_curve
from femseg.reports.comparison.score_strips import running_mean
from femseg.reports.comparison.slices import window_on
from femseg.reports.comparison.table import headline_comparisons, markdown


def test_worst_median_and_best_case_are_chosen_by_mean_dice(evidence_of):
    evidence, _ = evidence_of(cases=5)
    dice = {row.case_id: [] for row in evidence.on_grid("raw", "network")}
    for mode in evidence.modes:
        for row in evidence.on_grid(mode, "network"):
            dice[row.case_id].append(row.dice)
    chosen = evidence.pictured_cases()
    assert list(chosen) == ["worst", "median", "best"]
    assert sum(dice[chosen["worst"]]) == min(map(sum, dice.values()))
    assert sum(dice[chosen["best"]]) == max(map(sum, dice.values()))
    assert len(set(chosen.values())) == 3


def test_of_an_even_number_the_middle_case_is_not_called_the_median(evidence_of):
    evidence, _ = evidence_of(cases=4)
    assert list(evidence.pictured_cases()) == ["worst", "a middle case", "best"]
    assert evidence.pictured_cases()["a middle case"] == evidence.cases_worst_first()[2]


@pytest.mark.parametrize(("cases", "labels"), [(1, ["only case"]), (2, ["worst", "best"])])
def test_few_cases_are_not_shown_twice(evidence_of, cases, labels):
    assert list(evidence_of(cases=cases)[0].pictured_cases()) == labels


def test_evidence_without_test_scores_is_refused(evidence_of):
    with pytest.raises(ValueError, match="expected test cases on the network grid for every input mode"):
        evidence_of(grids=("native",))


def test_every_candidate_is_compared_with_the_first_mode(evidence_of):
    comparisons = evidence_of(("raw", "gradient", "both"), grids=("network",))[0].comparisons()
    assert {(c.baseline, c.candidate) for c in comparisons} == {("raw", "gradient"), ("raw", "both")}
    assert len(comparisons) == 2 * len(METRICS)


def test_the_page_answers_for_both_scales_and_names_what_each_is_compared_with(evidence_of):
    modes = ("raw", "gradient", "cascade-raw", "cascade-gradient")
    evidence, _ = evidence_of(modes)
    comparisons = evidence.comparisons()
    deciding = [(c.baseline, c.candidate, c.grid) for c in headline_comparisons(comparisons)]
    assert deciding == [
        ("raw", "gradient", "network"),
        ("raw", "cascade-raw", "network"),
        ("cascade-raw", "cascade-gradient", "native"),
    ]
    said = markdown(evidence, comparisons, ())
    assert "| cascade-gradient − cascade-raw |" in said
    assert "against raw input; cascade with gradient input against cascade with raw input" in said
    assert "Dice on the network grid (between cascades: the CT's own grid) was chosen beforehand" in said


def test_off_by_as_much_either_way_with_two_seeds_is_not_compared_as_perfect(evidence_of):
    off_ml = {"raw": (-30.0, 30.0), "gradient": (5.0, 5.0)}
    trainings = {
        mode: [
            ScoredTraining(
                fold=0, seed=seed, scores=tuple(case_score(f"c{c}", volume_difference_ml=ml) for c in range(8))
            )
            for seed, ml in enumerate(of_seed)
        ]
        for mode, of_seed in off_ml.items()
    }
    scores = {mode: mean_over_seeds(of_mode) for mode, of_mode in trainings.items()}
    evidence, _ = evidence_of(scores=scores, trainings=trainings)
    (volume,) = [c for c in evidence.comparisons() if c.metric == "volume_difference_ml"]
    assert (volume.baseline_mean, volume.candidate_mean, volume.improved) == (30.0, 5.0, 8)
    assert scores["raw"][0].volume_difference_ml == 0.0


def curve_in(folder, *, training="iteration,train_dice_loss\n1,0.5\n", validation="iteration,validation_dice\n"):
    (folder / "training.csv").write_text(training)
    (folder / "validation.csv").write_text(validation)
    return folder


def test_a_curve_is_read_with_gaps_where_nothing_was_validated(tmp_path):
    training = "iteration,train_dice_loss,learning_rate\n1,0.5,0.1\n2,,0.1\n"
    validation = "iteration,validation_dice,validation_soft_dice\n2,0.75,0.7\n"
    assert read_curve(curve_in(tmp_path, training=training, validation=validation)) == (
        CurvePoint(iteration=1, train_dice_loss=0.5, validation_dice=None),
        CurvePoint(iteration=2, train_dice_loss=None, validation_dice=0.75),
    )


@pytest.mark.parametrize(
    "content",
    ["iteration,loss\n1,0.5\n", "{head}\n1,nan\n", "{head}\n1,much\n", "{head}\n1\n", "{head}\n,0.5\n"],
    ids=["other columns", "not finite", "no number", "row cut off", "no iteration"],
)
def test_a_torn_curve_is_refused_by_name(tmp_path, content):
    torn = content.replace("{head}", "iteration,train_dice_loss")
    with pytest.raises(Refusal, match=r"training\.csv: is no training curve") as refused:
        read_curve(curve_in(tmp_path, training=torn))
    assert refused.value.exit_code == ExitCode.INTEGRITY


def test_a_missing_curve_is_refused_by_name(tmp_path):
    (curve_in(tmp_path) / "validation.csv").unlink()
    with pytest.raises(Refusal, match=r"validation\.csv: is missing"):
        read_curve(tmp_path)


def test_the_running_mean_keeps_a_constant_to_its_very_ends():
    np.testing.assert_allclose(running_mean(np.full(9, 0.25), 4), 0.25)
    np.testing.assert_allclose(running_mean(np.array([1.0, 2.0, 6.0]), 1), [1.0, 2.0, 6.0])
    np.testing.assert_allclose(running_mean(np.array([0.0, 3.0, 6.0]), 3), [1.5, 3.0, 4.5])


def test_arrays_that_are_not_of_one_shape_make_no_picture():
    volume = np.zeros((3, 4, 5), np.float32)
    with pytest.raises(ValueError, match=r"picture of c1: arrays of shape \(3, 4, 4\)"):
        CasePicture(
            case_id="c1",
            spacing_mm_zyx=(1.0, 1.0, 1.0),
            ct_zyx=volume,
            gradient_zyx=volume,
            reference_zyx=volume > 0,
            predicted_zyx={"raw": volume[..., 1:] > 0},
        )


def framed(reference, predicted):
    volume = np.zeros(reference.shape, np.float32)
    return window_on(
        CasePicture(
            case_id="c",
            spacing_mm_zyx=(9.0, 6.0, 18.0),
            ct_zyx=volume,
            gradient_zyx=volume,
            reference_zyx=reference,
            predicted_zyx={"raw": predicted},
        )
    )


def test_the_window_holds_all_masks_and_a_margin_and_shows_the_fullest_slices():
    reference, predicted = np.zeros((20, 20, 20), bool), np.zeros((20, 20, 20), bool)
    reference[8, 8:10, 8] = reference[9, 9, 8:12] = True
    predicted[12, 9, 9] = True
    window = framed(reference, predicted)
    # 18 mm are 2, 3 and 1 voxels
    assert window.box == (slice(6, 15), slice(5, 13), slice(7, 13))
    assert (window.axial_z + 6, window.coronal_y + 5) == (9, 9)


def test_a_case_without_any_femur_is_shown_whole():
    nothing = np.zeros((4, 6, 8), bool)
    window = framed(nothing, nothing)
    assert window.box == (slice(0, 4), slice(0, 6), slice(0, 8))
    assert (window.axial_z, window.coronal_y) == (2, 3)
