"""A cascade through the real stages: trained on Ray, packaged, evaluated, registered, traced and replayed."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from mlflow.tracking import MlflowClient
from processes import kill_tree, start, wait_until
from tiny_project import changed, environment, hashes, run

from femseg.metrics.scorecard import read_scores
from femseg.networks.package import load_package

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore"),
]  # MLflow warns of itself
WINDOW = {"kind": "window", "low": -200.0, "high": 1200.0}
REFINE = {
    "input_modes": ["raw", "gradient"],
    "trainings": ["best"],
    "arrays": {
        "spacing_mm_zyx": [8.0, 5.0, 5.0],
        "raw_scaling": WINDOW,
        "gradient_scaling": WINDOW | {"low": 0.0, "high": 200.0},
    },
    "patches": {"shape_zyx": [16, 16, 16], "validation": 2},
    "network": {
        "base_channels": 4,
        "strides": [[2, 2, 2]],
        "convolutions_down": [1, 1],
        "convolutions_up": [1],
        "kernel_size": 3,
    },
    "search": {"enabled": True, "trials_per_mode": 1, "rungs": [4]},
    "train": {
        "learning_rate": "search",
        "max_iterations": 60,
        "validate_every": 20,
        "checkpoint_every": 10,
        "workers": 2,
    },
}
OUTS = ["cascades/best", "results/train/cascade-best"]


@pytest.fixture(scope="module")
def cascade(project, tmp_path_factory):
    """The tiny project with a finer scale; its first scale is as it was."""
    folder = tmp_path_factory.mktemp("cascade") / "project"
    shutil.copytree(project, folder, symlinks=True)
    changed(folder / "params.yaml", {"refine": REFINE})
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "Add a finer scale")
    done = run(folder, "dvc", "repro")
    (folder.parent / "repro.log").write_text(done.stdout + done.stderr)
    return folder


def losses_of(curve):
    return np.loadtxt(curve, delimiter=",", skiprows=1, usecols=1).tolist()


@pytest.fixture
def copy(cascade, tmp_path):
    shutil.copytree(cascade, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def test_the_first_scale_is_not_made_again(cascade, project):
    assert hashes(cascade, ["models", "data/arrays"]) == hashes(project, ["models", "data/arrays"])


def test_the_package_holds_both_networks_the_coarser_one_as_it_was_trained(cascade):
    package = load_package(cascade / "cascades/best")
    found = load_package(cascade / "models" / package.model.input_mode)
    assert package.refine is not None
    assert (package.model.name, package.model.refine_mode) == ("cascade-best", package.model.input_mode)
    for name, weights in found.network.state_dict().items():
        assert weights.equal(package.network.state_dict()[name])
    best = json.loads((cascade / "results/refine-search/best.json").read_text())["best"][package.model.refine_mode]
    assert package.model.refine.training.train["learning_rate"] == best["learning_rate"]


def test_masks_on_the_cts_own_grids_give_the_scores_that_were_written(cascade):
    """Dice by SimpleITK, of the files as anyone reads them."""
    manifest = json.loads((cascade / "data/cohort/manifest.json").read_text())
    folder, cases = cascade / "results/evaluate/cascade-best", {case["case_id"]: case for case in manifest["cases"]}
    rows = [row for row in read_scores(folder / "scores.csv") if row.grid == "native"]
    assert rows
    for row in rows:
        study = cascade / "data/cohort/studies" / cases[row.case_id]["mask"]["files"][0]["path"].split("/")[0]
        reference = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(study / "mask"))) > 0
        predicted = sitk.ReadImage(str(folder / "ct_grid" / f"{row.case_id}.nii.gz")) > 0
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(reference, sitk.Resample(predicted, reference, sitk.Transform(), sitk.sitkNearestNeighbor))
        assert row.dice == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-6)


def test_the_report_has_the_cascade_beside_both_inputs(cascade):
    report = json.loads((cascade / "reports/comparison.json").read_text())
    assert "cascade-best" in json.dumps(report)
    assert (cascade / "reports/figures/paired_differences_cascade-best.png").is_file()


def test_the_cascade_is_registered_and_does_not_replace_a_challenger_that_its_dice_does_not_compare_with(cascade):
    client = MlflowClient(f"sqlite:///{cascade}/mlruns/mlflow.db")
    assert int(client.get_model_version_by_alias("femseg", "challenger").version) == 1
    assert "`femseg challenger 2`" in (cascade.parent / "repro.log").read_text()
    version = client.get_model_version("femseg", "2")
    assert version.tags["input_mode"] == "cascade-best"
    curve = client.get_metric_history(version.run_id, "validation_dice")
    assert [point.step for point in curve] == [20, 40, 60]


def test_its_lineage_holds_and_its_replay_gives_the_same_masks(copy):
    shown = json.loads(run(copy, "femseg", "lineage", "cascades/best", "--json").stdout)
    named = {link["what"] for link in shown["links"]}
    assert {"inputs of the finer network", "masks of the finer network", "places of the finer network"} <= named
    assert shown["faults"] == []
    replayed = json.loads(run(copy, "femseg", "replay", "2", "--json").stdout)
    assert replayed["faults"] == []
    assert len(replayed["cases"]) > 0


def test_segment_uses_both_networks(copy, tmp_path):
    ct = min((copy / "data/cohort/studies").glob("*/ct"))
    words = ("femseg", "segment", str(ct), "--write-rejected", "-o")
    run(copy, *words, str(tmp_path / "a.nii.gz"), "--model", "cascades/best", rc=None)
    run(copy, *words, str(tmp_path / "b.nii.gz"), "--model", "cascades/best", rc=None)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    mode = load_package(copy / "cascades/best").model.input_mode
    run(copy, *words, str(tmp_path / "c.nii.gz"), "--model", f"models/{mode}", rc=None)
    assert (tmp_path / "a.nii.gz").read_bytes() != (tmp_path / "c.nii.gz").read_bytes()


def test_training_in_patches_killed_on_the_way_goes_on_to_the_same_bits(copy):
    (folder,) = [f for f in (copy / "runs/train").glob("refine-*") if (f / "step-000060").is_dir()]
    uninterrupted = hashes(copy, OUTS)
    shutil.rmtree(folder)
    command = ("python", "-m", "pipelines.train", "--refine", "best")
    process = start(command, env=environment(copy), cwd=copy, log=copy / "log.txt")
    wait_until(lambda: any(folder.glob("step-*/COMMIT")), process, copy / "log.txt", 180)
    kill_tree(process)
    done = run(copy, *command)
    assert "going on after iteration" in done.stdout + done.stderr
    assert hashes(copy, OUTS) == uninterrupted


def test_one_worker_trains_the_network_that_two_train(copy):
    curve = copy / "results/train/cascade-best/training.csv"
    with_two = losses_of(curve)
    changed(copy / "params.yaml", {"refine": REFINE | {"train": REFINE["train"] | {"workers": 1}}})
    shutil.rmtree(copy / "runs/train")
    run(copy, "python", "-m", "pipelines.train", "--refine", "best")
    with_one = losses_of(curve)
    assert with_one != with_two  # it was trained again, its sums in another order
    np.testing.assert_allclose(with_one, with_two, atol=5e-3)


def test_both_scales_are_repeated_from_another_seed_and_the_page_answers_for_each(copy):
    more = {"train": {"learning_rate": "search", "workers": 1}, "repeats": {"folds": [0], "seeds": [0, 5]}}
    changed(copy / "params.yaml", {"refine": {"trainings": ["raw", "gradient"]}} | more)
    log = run(copy, "dvc", "repro", "compare").stdout
    for training in ("raw", "gradient"):
        assert f"refine {training} fold 0 seed 0: already complete" in log
        own, other = (copy / f"results/repeats/cascades/fold-0-seed-{seed}/{training}" for seed in (0, 5))
        scores = (copy / f"results/evaluate/cascade-{training}/scores.csv").read_bytes()
        assert (own / "scores.csv").read_bytes() == scores != (other / "scores.csv").read_bytes()
        found_by = load_package(copy / "results/repeats/fold-0-seed-5/raw/model").network.state_dict()
        if (package := load_package(other / "model")).model.input_mode == "raw":
            assert all(found_by[name].equal(weights) for name, weights in package.network.state_dict().items())
    report = json.loads((copy / "reports/comparison.json").read_text())
    assert (report["trainings"]["seeds"], len(report["headlines"])) == (2, 3)
    assert "cascade with raw input" in report["headlines"][2]
    traced = json.loads(run(copy, "femseg", "lineage", "reports/comparison.html", "--json").stdout)
    repeats = [link for link in traced["links"] if link["what"].startswith("repeat of cascade-gradient")]
    assert [link["state"] for link in repeats] == ["holds", "holds"]
    assert traced["faults"] == []


def test_cfg_02_a_training_without_arrays_is_refused_before_anything_is_trained(copy):
    changed(copy / "params.yaml", {"refine": REFINE | {"input_modes": ["raw"], "trainings": ["gradient"]}})
    refused = run(copy, "python", "-m", "pipelines.train", "--refine", "gradient", rc=2)
    assert "refine.trainings names 'gradient', but refine.input_modes are ['raw']" in refused.stderr
