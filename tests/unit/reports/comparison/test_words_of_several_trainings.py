"""What the report says where each input was trained several times."""

import numpy as np
import pytest
from scores import case_score

from femseg.comparison.repeats import ScoredTraining, mean_over_seeds
from femseg.reports.comparison.figures import comparison_figures, worst_case_figures
from femseg.reports.comparison.scatter import TITLE, scatter_section, trainings_said


def drawn(folds, seeds, *, sd):
    rng = np.random.default_rng(0)
    return {
        mode: [
            ScoredTraining(
                fold=fold,
                seed=seed,
                scores=tuple(
                    case_score(f"case{4 * fold + c:02d}", dice=0.8 + gain + c / 100 + rng.normal(0, sd))
                    for c in range(4)
                ),
            )
            for fold in range(folds)
            for seed in seeds
        ]
        for mode, gain in (("raw", 0.0), ("gradient", 0.05))
    }


@pytest.fixture
def evidence_with(evidence_of):
    def made(folds=1, seeds=(0, 7), *, sd=0.01):
        trainings = drawn(folds, seeds, sd=sd)
        scores = {mode: mean_over_seeds(of_mode) for mode, of_mode in trainings.items()}
        _, pictures = evidence_of(cases=4 * folds)
        return evidence_of(scores=scores, trainings=trainings, threshold=[])[0], pictures

    return made


def said(evidence):
    (dice,) = [c for c in evidence.comparisons() if (c.metric, c.grid) == ("dice", "network")]
    return trainings_said(evidence, dice)


def test_an_interval_over_folds_is_said_to_be_too_narrow_still_and_one_over_seeds_alone_is_not(evidence_with):
    shared = "Folds share training cases, so this is still too narrow."
    assert said(evidence_with(folds=3)[0]).endswith(shared)
    assert shared not in said(evidence_with(folds=1)[0])


def test_trainings_that_agree_everywhere_give_no_interval_of_no_width(evidence_with):
    assert said(evidence_with(sd=0.0)[0]).endswith("They differ nowhere, so no interval can count their scatter.")


def test_the_scatter_between_cases_is_not_called_one_between_patients(evidence_with):
    section = scatter_section(evidence_with()[0])
    assert TITLE.startswith("Cases, folds, seeds")
    assert [row[1] for row in section.rows] == [
        "cases", "seeds (nothing else changed)", "the rest: one case with one seed and another"
    ]  # fmt: skip


def captions(evidence, pictures, name="figure_5_overlays.png"):
    figures = worst_case_figures(evidence, pictures.__getitem__)
    figures |= comparison_figures(evidence, evidence.comparisons(), pictures.__getitem__)
    return figures["worst_case_1.png"].caption, figures[name].caption


def test_pictures_of_one_seed_beside_means_over_seeds_say_so(evidence_with):
    words = "Masks of seed 3; order and Dice averaged over inputs and seeds."
    assert all(caption.endswith(words) for caption in captions(*evidence_with(seeds=(3, 7))))
    assert not any("Masks of seed" in caption for caption in captions(*evidence_with(seeds=(3,))))


def test_a_band_is_spoken_of_only_where_it_is_drawn(evidence_with):
    name = "paired_differences_gradient.png"
    assert "the band its 95 % bootstrap interval" in captions(*evidence_with(folds=2), name)[1]
    assert "the band" not in captions(*evidence_with(folds=1), name)[1]
