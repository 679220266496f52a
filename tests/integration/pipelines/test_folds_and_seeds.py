"""Cross-validation and several seeds through the real stages, from params.yaml to the report's sentence."""

import json

import pytest
import yaml
from mlflow.tracking import MlflowClient
from tiny_project import changed, copy_of_the_working_tree, run

from femseg.cohorts.split import read_split
from femseg.metrics.scorecard import read_scores

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow warns of itself
MODES, FOLDS, SEEDS = ("raw", "gradient"), (0, 1), (0, 3)
REPEATED = {
    "phantom": {"patients": 8},
    "split": {"folds": 2, "validation": 1},
    "search": {"enabled": False},
    "train": {"learning_rate": 0.005, "workers": 1},
    "repeats": {"folds": list(FOLDS), "seeds": list(SEEDS)},
}


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    folder = copy_of_the_working_tree(tmp_path_factory.mktemp("repeated") / "project")
    changed(folder / "params.yaml", REPEATED)
    run(folder, "git", "commit", "--quiet", "--all", "--message", "Repeat with folds and seeds")
    done = run(folder, "dvc", "repro")
    (folder.parent / "repro.log").write_text(done.stdout + done.stderr)
    return folder


def of(project, fold, seed, mode):
    return project / "results/repeats" / f"fold-{fold}-seed-{seed}" / mode


@pytest.mark.timeout(1800)
def test_every_patient_is_tested_in_one_fold_with_each_seed(repeated):
    cases = {case["case_id"] for case in json.loads((repeated / "data/cohort/manifest.json").read_text())["cases"]}
    tests = [set(read_split(repeated / f"results/repeats/folds/fold-{fold}.json").test) for fold in FOLDS]
    assert (tests[0] & tests[1], tests[0] | tests[1]) == (set(), cases)
    for mode in MODES:
        for fold in FOLDS:
            for seed in SEEDS:
                rows = read_scores(of(repeated, fold, seed, mode) / "scores.csv")
                assert {row.case_id for row in rows} == tests[fold]


@pytest.mark.timeout(1800)
def test_the_registered_models_own_fold_and_seed_are_not_trained_again_and_score_the_same(repeated):
    log = (repeated.parent / "repro.log").read_text()
    for mode in MODES:
        assert f"train {mode} fold 0 seed 0: already complete" in log
        again = of(repeated, 0, 0, mode) / "scores.csv"
        assert again.read_bytes() == (repeated / f"results/evaluate/{mode}/scores.csv").read_bytes()
        other = of(repeated, 0, 3, mode) / "scores.csv"
        assert other.read_bytes() != again.read_bytes()


@pytest.mark.timeout(1800)
def test_the_report_says_how_many_trainings_stand_behind_the_verdict_and_separates_their_scatter(repeated):
    record = json.loads((repeated / "reports/comparison.json").read_text())
    assert (record["trainings"]["folds"], record["trainings"]["seeds"]) == (2, 2)
    found = record["trainings"]["components"]["gradient"]
    assert (found["folds_df"], found["seeds_df"], found["cases_df"], found["residual_df"]) == (1, 2, 6, 6)
    assert found["standard_error_df"] == 1
    (dice,) = [c for c in record["comparisons"] if (c["metric"], c["grid"]) == ("dice", "network")]
    assert dice["n"] == 8
    assert found["mean_difference"] == pytest.approx(dice["mean_difference"], abs=1e-9)
    said = "Behind this stand 4 trainings of each input (2 folds by patient × 2 seeds"
    for page in ("comparison.md", "comparison.html"):
        assert said in (repeated / "reports" / page).read_text()


@pytest.mark.timeout(1800)
def test_runs_lie_below_the_registered_models_run_and_the_registered_model_is_none_of_the_luckier_ones(repeated):
    client = MlflowClient(f"sqlite:///{repeated}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("femseg")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    registration = json.loads((repeated / "results/registration.json").read_text())
    for mode in MODES:
        (main,) = [run for run in runs if run.info.run_name == f"train-{mode}"]
        below = {r.info.run_name for r in runs if r.data.tags.get("mlflow.parentRunId") == main.info.run_id}
        assert below == {f"train-{mode}-fold-{f}-seed-{s}" for f in FOLDS for s in SEEDS if (f, s) != (0, 0)}
        package = json.loads((repeated / "models" / mode / "lineage.json").read_text())
        assert package["seed"] == 0
        if registration["input_mode"] == mode:
            assert main.data.tags["package_sha256"] == registration["package_sha256"]


@pytest.mark.timeout(1800)
def test_one_more_seed_trains_that_seed_and_nothing_else(repeated):
    params = repeated / "params.yaml"
    before = params.read_text()
    try:
        changed(params, {"repeats": {"seeds": [*SEEDS, 4]}})
        dry = run(repeated, "dvc", "repro", "--dry").stdout
        wanted = {f"repeat@{mode}-{fold}-4" for mode in MODES for fold in FOLDS}
        assert {name for name in _stages(dry) if not name.startswith(("compare", "register"))} == wanted
    finally:
        params.write_text(before)
    assert yaml.safe_load(params.read_text())["repeats"]["seeds"] == list(SEEDS)


def _stages(dry: str) -> list[str]:
    return [line.split("'")[1] for line in dry.splitlines() if line.startswith("Running stage")]
