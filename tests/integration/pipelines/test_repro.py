"""`dvc repro` on a few phantoms: everything is made, nothing is made twice, and only what must be is made again."""

import json
import re

import pytest
import yaml
from mlflow.tracking import MlflowClient
from security.html_requests import requests_of
from tiny_project import TINY, changed, outs, run

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself
MODES = ("raw", "gradient")
ITERATIONS = TINY["train"]["max_iterations"]


def would_run(project) -> list[str]:
    done = run(project, "dvc", "repro", "--dry", "--force-downstream")
    return [stage.partition("@")[0] for stage in re.findall(r"Running stage '(.+)'", done.stdout)]


@pytest.fixture(scope="module")
def runs(project):
    client = MlflowClient(f"sqlite:///{project}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("femseg")
    return client, client.search_runs([experiment.experiment_id])


def by_stage(runs, stage: str, **tags):
    wanted = {"stage": stage, **tags}
    return [run for run in runs if all(run.data.tags.get(key) == value for key, value in wanted.items())]


def test_every_out_of_every_stage_is_there(project):
    declared = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    made = outs(project)
    assert len(made) >= len(declared)
    for path in made:
        at = project / path
        assert any(at.iterdir()) if at.is_dir() else at.stat().st_size > 0, path
    assert not list(project.rglob("*.part*"))


def test_a_second_repro_runs_nothing_and_the_status_is_clean(project):
    done = run(project, "dvc", "repro")
    assert "Running stage" not in done.stdout
    assert "up to date" in done.stdout
    assert json.loads(run(project, "dvc", "status", "--json").stdout) == {}
    assert run(project, "git", "status", "--porcelain").stdout.split() == ["??", "dvc.lock"]


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        pytest.param({"compare": {"resamples": 300}}, {"compare", "register"}, id="compare"),
        pytest.param(
            {"train": {"learning_rate": 0.002}}, {"train", "evaluate", "compare", "register"}, id="learning rate"
        ),
        pytest.param(
            {"split": {"seed": 2}},
            {"split", "search", "refine_search", "train", "evaluate", "compare", "register"},
            id="split",
        ),
        pytest.param({"search": {"seed": 5}}, {"search", "train", "evaluate", "compare", "register"}, id="search"),
        pytest.param(
            {"arrays": {"anti_aliasing": False}},
            {"arrays", "search", "train", "evaluate", "compare", "register"},
            id="arrays, not masks",
        ),
    ],
)
def test_a_changed_setting_runs_the_stages_that_depend_on_it_and_no_other(project, changes, stages):
    params = project / "params.yaml"
    before = params.read_text()
    try:
        changed(params, changes)
        assert set(would_run(project)) == stages
    finally:
        params.write_text(before)
    assert would_run(project) == []


def test_runs_in_mlflow_have_ended_truly_with_their_curves_inputs_and_figures(project, runs):
    client, all_runs = runs
    assert {run.info.status for run in all_runs} == {"FINISHED"}
    (search,) = [run for run in by_stage(all_runs, "search") if "mlflow.parentRunId" not in run.data.tags]
    trials = [run for run in all_runs if run.data.tags.get("mlflow.parentRunId") == search.info.run_id]
    assert len(trials) == len(MODES) * TINY["search"]["trials_per_mode"]
    for mode in MODES:
        (train,) = by_stage(all_runs, "train", input_mode=mode)
        history = client.get_metric_history(train.info.run_id, "train_dice_loss")
        assert sorted(point.step for point in history) == list(range(1, ITERATIONS + 1))
        assert {entry.dataset.name for entry in train.inputs.dataset_inputs} >= {"inputs", "masks", "split"}
        assert train.data.params["train.max_iterations"] == str(ITERATIONS)
    registration = json.loads((project / "results/registration.json").read_text())
    (winner,) = by_stage(all_runs, "train", package_sha256=registration["package_sha256"])
    assert winner.data.tags["input_mode"] == registration["input_mode"]
    assert {"test/native/dice", "test/network/dice"} <= set(winner.data.metrics)
    assert max(len(one.data.metrics) for one in all_runs) <= 12
    reported = {file.path for file in client.list_artifacts(winner.info.run_id, "report")}
    assert {"report/comparison.html", "report/figures"} <= reported
    figures = {f"report/figures/{path.name}" for path in (project / "reports/figures").iterdir()}
    for mode in MODES:  # every figure is with every input's training, not with the registered one's alone
        (train,) = by_stage(all_runs, "train", input_mode=mode)
        assert {file.path for file in client.list_artifacts(train.info.run_id, "report/figures")} == figures


def test_the_lineage_names_commit_data_and_seed(project, runs):
    commit = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    md5 = {out["path"]: out["md5"] for stage in lock.values() for out in stage["outs"]}
    for mode in MODES:
        lineage = json.loads((project / "models" / mode / "lineage.json").read_text())
        assert lineage["git"] == {"commit": commit, "modified": False}
        assert lineage["seed"] == 0
        assert lineage["dvc_md5"] == {path: md5[path] for path in lineage["dvc_md5"]}
        assert {"data/cohort", f"data/arrays/{mode}", "data/arrays/mask", "data/split.json"} <= set(lineage["dvc_md5"])


def test_the_report_is_one_file_that_asks_the_network_for_nothing(project):
    html = (project / "reports/comparison.html").read_text()
    assert requests_of(html) == []
    assert "@import" not in html
    assert html.count("data:image/png;base64,") >= 3
    assert "Phantom cohort" in html


def test_make_repro_ends_with_the_answer_and_the_commands_that_keep_it(project):
    said = run(project, "make", "--old-file=.venv/.run", "repro").stdout
    _, challenger, answer, *others = said[said.index("was there already") :].splitlines()
    assert challenger == "version 1 is challenger"
    (headline,) = json.loads((project / "reports/comparison.json").read_text())["headlines"]
    assert answer.startswith(f"{headline}. Mean Dice (DSC) ")
    assert "git add dvc.lock && git commit" in others[0]
    assert "dvc metrics diff" in others[1]


def test_metrics_and_plots_are_there_for_dvc(project):
    metrics = json.loads(run(project, "dvc", "metrics", "show", "--json").stdout)[""]["data"]
    assert sum(len(means) for file in metrics.values() for means in file["data"].values()) <= 12
    for mode in MODES:
        assert 0 <= metrics[f"results/evaluate/{mode}/metrics.json"]["data"]["native"]["dice"] <= 1
    plots = json.loads(run(project, "dvc", "plots", "show", "--json").stdout)["data"]
    assert set(plots) >= {"training_dice_loss", "validation_dice", "test_dice"}
    points = [row for plot in plots["training_dice_loss"] for row in plot["content"]["data"]["values"]]
    assert {int(row["iteration"]) for row in points} == set(range(1, ITERATIONS + 1))
