import numpy as np
import pytest

from femseg.comparison.variance import RepeatedDifference, variance_components


def repeated(rng, *, folds=5, seeds=3, cases=8, fold_sd=0.0, case_sd=0.0, seed_sd=0.0, residual_sd=0.0, mean=0.0):
    for fold in range(folds):
        of_fold, of_seed = rng.normal(0, fold_sd), rng.normal(0, seed_sd, seeds)
        for case in range(cases):
            of_case = rng.normal(0, case_sd)
            for seed in range(seeds):
                value = mean + of_fold + of_case + of_seed[seed] + rng.normal(0, residual_sd)
                yield RepeatedDifference(fold=fold, seed=seed, case_id=f"c{fold}-{case}", difference=value)


def test_known_components_come_back_on_average_over_many_cross_validations():
    truth = {"fold_sd": 3.0, "case_sd": 2.0, "seed_sd": 1.5, "residual_sd": 1.0}
    rng = np.random.default_rng(0)
    found = [variance_components(list(repeated(rng, folds=12, mean=5.0, **truth))) for _ in range(150)]
    for name, field in (
        ("fold_sd", "folds_sd"),
        ("case_sd", "cases_sd"),
        ("seed_sd", "seeds_sd"),
        ("residual_sd", "residual_sd"),
    ):
        assert np.mean([getattr(one, field) ** 2 for one in found]) == pytest.approx(truth[name] ** 2, rel=0.1)
    assert np.mean([one.mean_difference for one in found]) == pytest.approx(5.0, abs=0.25)


def test_seeds_alone_are_told_from_folds_alone():
    rng = np.random.default_rng(1)
    only_seeds = variance_components(list(repeated(rng, folds=20, seeds=6, seed_sd=1.0, residual_sd=0.1)))
    only_folds = variance_components(list(repeated(rng, folds=20, seeds=6, fold_sd=1.0, residual_sd=0.1)))
    assert only_seeds.seeds_sd == pytest.approx(1.0, abs=0.25)
    assert only_seeds.folds_sd < 0.4
    assert only_folds.folds_sd == pytest.approx(1.0, abs=0.35)
    assert only_folds.seeds_sd < 0.1


def test_by_hand_two_folds_two_seeds_two_cases():
    # fold means 1 and 3; within a fold cases differ by 2 and seeds by 4, without any residual
    table = {0: [[-2.0, 2.0], [0.0, 4.0]], 1: [[0.0, 4.0], [2.0, 6.0]]}
    rows = [
        RepeatedDifference(fold=f, seed=s, case_id=f"c{f}{c}", difference=table[f][c][s])
        for f in (0, 1)
        for c in (0, 1)
        for s in (0, 1)
    ]
    found = variance_components(rows)
    assert (found.mean_difference, found.folds, found.seeds, found.residual_sd) == (2.0, 2, 2, 0.0)
    # MS_case = 2 · var(0, 2) = 4, so σ²_C = 4 / 2; MS_seed = 2 · var(-1, 3) = 16, so σ²_S = 16 / 2
    assert found.cases_sd == pytest.approx(np.sqrt(2))
    assert found.seeds_sd == pytest.approx(np.sqrt(8))
    assert found.folds_sd == 0.0  # var(1, 3) = 2 is less than 8 / 2 of the seeds


def test_one_seed_or_one_fold_leaves_its_component_unsaid():
    rng = np.random.default_rng(2)
    one_seed = variance_components(list(repeated(rng, seeds=1, case_sd=1.0)))
    one_fold = variance_components(list(repeated(rng, folds=1, case_sd=1.0, seed_sd=1.0)))
    assert (one_seed.seeds_sd, one_seed.residual_sd) == (None, None)
    assert one_fold.folds_sd is None
    assert one_fold.seeds_sd is not None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda rows: rows[:-1], "fold 4: expected every case once"),
        (lambda rows: [*rows, rows[-1]], "fold 4: expected every case once"),
        (lambda rows: [r for r in rows if r.fold or not r.seed], "as many seeds in every fold"),
        (lambda rows: [r for r in rows if r.fold or r.case_id == "c0-0"], "at least two cases"),
        (lambda rows: [RepeatedDifference(fold=r.fold, seed=r.seed, case_id=r.case_id[-1], difference=0) for r in rows],
         "a case stands in two folds"),
    ],
    ids=["a cell missing", "a cell twice", "fewer seeds in a fold", "one case in a fold", "a case in two folds"],
)  # fmt: skip
def test_an_uneven_design_is_refused(change, problem):
    rows = list(repeated(np.random.default_rng(3), case_sd=1.0))
    with pytest.raises(ValueError, match=problem):
        variance_components(change(rows))


def test_by_hand_the_standard_error_of_folds_has_one_degree_of_freedom_less_than_folds():
    found = variance_components(list(repeated(np.random.default_rng(4), folds=2, seeds=2, cases=2, fold_sd=1.0)))
    assert (found.folds_df, found.seeds_df, found.cases_df, found.residual_df) == (1, 2, 2, 2)
    means = [
        np.mean([d.difference for d in repeated(np.random.default_rng(4), folds=2, seeds=2, cases=2, fold_sd=1.0)][at])
        for at in (slice(0, 4), slice(4, 8))
    ]
    assert found.standard_error == pytest.approx(np.std(means, ddof=1) / np.sqrt(2))
    low, high = found.interval(0.95)
    assert (high - low) / 2 == pytest.approx(12.706 * found.standard_error, rel=1e-4)


@pytest.mark.parametrize("folds", [1, 5])
def test_the_interval_over_trainings_covers_where_that_of_the_cases_would_not(folds):
    truth = {"case_sd": 1.0, "seed_sd": 1.0, "residual_sd": 0.5, "fold_sd": 0.0 if folds == 1 else 1.0}
    rng = np.random.default_rng(folds)
    covered = []
    for _ in range(300):
        found = variance_components(list(repeated(rng, folds=folds, seeds=4, cases=10, mean=2.0, **truth)))
        low, high = found.interval(0.95)
        covered.append(low <= 2.0 <= high)
    assert 0.9 <= np.mean(covered) <= 1.0


@pytest.mark.parametrize(("folds", "seeds"), [(1, 3), (3, 2)])
def test_differences_that_do_not_scatter_have_no_standard_error(folds, seeds):
    found = variance_components(list(repeated(np.random.default_rng(5), folds=folds, seeds=seeds, mean=1.0)))
    assert (found.standard_error, found.interval(0.95)) == (None, None)


def test_one_training_has_no_interval_over_trainings():
    assert variance_components(list(repeated(np.random.default_rng(5), folds=1, seeds=1))).interval(0.95) is None
