"""A cohort made so that both inputs are the same: predicted masks of one distribution, through scores to the report."""

import json

import numpy as np
import pytest

from femseg.comparison.repeats import ScoredTraining, mean_over_seeds
from femseg.metrics.scorecard import score
from femseg.reports.comparison.evidence import CasePicture, ComparisonEvidence, CurvePoint
from femseg.reports.comparison.report import write_comparison_report

SPACING, SHAPE, MODES = (4.0, 2.0, 2.0), (20, 16, 16), ("raw", "gradient")
Z, Y, X = np.ogrid[:20, :16, :16]


def bone(rng, *, wide):
    """A cylinder whose middle and width are drawn."""
    y, x = rng.normal(8, 0.25, 2)
    return (((Y - y) ** 2 + (X - x) ** 2) < rng.normal(wide, 0.25) ** 2) & (Z > 2) & (Z < 17)


def predictions(rng, cases):
    """Case → the annotation and one prediction for each input, drawn alike; harder cases are hard for both."""
    made = {}
    for case in (f"case{number:02d}" for number in range(cases)):
        wide = rng.normal(5, 0.5)
        made[case] = bone(rng, wide=wide), {mode: bone(rng, wide=wide) for mode in MODES}
    return made


def scores_of(predicted):
    return {
        mode: tuple(
            score(reference, by_mode[mode], SPACING, case_id=case, grid="network")
            for case, (reference, by_mode) in predicted.items()
        )
        for mode in MODES
    }


def evidence_of(scores, **more):
    curve = tuple(CurvePoint(iteration=i, train_dice_loss=1 / i, validation_dice=1 - 1 / i) for i in range(1, 9))
    return ComparisonEvidence(
        cohort="equal inputs",
        split_sizes={"test": len(scores["raw"])},
        scores=scores,
        threshold=(),
        threshold_hu=200.0,
        curves={mode: [curve] for mode in MODES},
        provenance={},
        resamples=300,
        dice_margin=0.01,
        **more,
    )


def test_the_report_of_equal_inputs_says_no_difference_shown_in_every_form(tmp_path):
    rng = np.random.default_rng(20)
    predicted = predictions(rng, 16)
    trainings = {
        mode: tuple(
            ScoredTraining(fold=0, seed=seed, scores=scores_of(of_seed)[mode]) for seed, of_seed in enumerate(drawn)
        )
        for drawn in [[predicted, predictions(np.random.default_rng(20), 16), predictions(rng, 16)]]
        for mode in MODES
    }
    evidence = evidence_of({mode: mean_over_seeds(of_mode) for mode, of_mode in trainings.items()}, trainings=trainings)

    def picture(case):
        reference, by_mode = predicted[case]
        grey = reference.astype(np.float32)
        return CasePicture(
            case_id=case,
            spacing_mm_zyx=SPACING,
            ct_zyx=grey,
            gradient_zyx=grey,
            reference_zyx=reference,
            predicted_zyx=by_mode,
        )

    files = write_comparison_report(evidence, tmp_path, load_picture=picture)
    record = json.loads(files["comparison.json"].read_text())
    assert record["headlines"] == ["No difference shown between gradient input and raw input"]
    assert {one["verdict"] for one in record["comparisons"]} <= {"no difference shown", "too few cases"}
    for name in ("comparison.md", "comparison.html"):
        text = files[name].read_text()
        assert "No difference shown between gradient input and raw input" in text
        assert "Behind this stand 3 trainings of each input (3 seeds; each case counts once" in text
        assert "is better here" not in text


@pytest.mark.slow
def test_over_many_such_cohorts_a_difference_is_said_no_more_often_than_the_level_allows():
    rng = np.random.default_rng(3)
    verdicts = []
    for _ in range(60):
        comparisons = evidence_of(scores_of(predictions(rng, 10))).comparisons()
        verdicts.append(next(one.verdict for one in comparisons if one.metric == "dice"))
    assert verdicts.count("no difference shown") >= 52  # 57 are expected; 51 or fewer come in one of 100 at the level


def test_models_that_predict_the_very_same_masks_show_no_difference():
    predicted = predictions(np.random.default_rng(1), 8)
    same = {case: (reference, dict.fromkeys(MODES, by_mode["raw"])) for case, (reference, by_mode) in predicted.items()}
    (dice,) = [one for one in evidence_of(scores_of(same)).comparisons() if one.metric == "dice"]
    assert (dice.verdict, dice.mean_difference, dice.tied) == ("no difference shown", 0.0, 8)
