"""What `dvc push` sends, `git clone` and `dvc pull` bring back, byte for byte; and the model can be used there."""

import json

import nibabel as nib
import pytest
from mlflow.tracking import MlflowClient
from tiny_project import hashes, outs, run

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself


def test_a_clone_has_the_same_bytes_and_nothing_to_do(project, clone):
    assert hashes(clone, outs(clone)) == hashes(project, outs(project))
    done = run(clone, "dvc", "repro")
    assert "Running stage" not in done.stdout


@pytest.fixture(scope="module")
def registered(clone):
    """The clone's registry was empty: `make register`, twice."""
    return run(clone, "python", "-m", "pipelines.register"), run(clone, "python", "-m", "pipelines.register")


def test_the_pulled_model_is_registered_once(clone, registered):
    first, second = registered
    assert "models:/femseg/1 (registered)" in first.stdout
    assert "models:/femseg/1 (was there already)" in second.stdout
    client = MlflowClient(f"sqlite:///{clone}/mlruns/mlflow.db")
    (version,) = client.search_model_versions("name = 'femseg'")
    rebuilt = client.get_run(version.run_id)
    assert rebuilt.info.status == "FINISHED"
    assert rebuilt.data.tags["rebuilt"] == "true"
    assert len(client.get_metric_history(version.run_id, "train_dice_loss")) == 10
    assert run(clone, "git", "status", "--porcelain").stdout == ""


def test_the_registered_model_gives_the_mask_that_was_evaluated_voxel_for_voxel(clone, registered, tmp_path):
    """`segment` tells the sides apart by their values; `evaluate` keeps the femora as one."""
    mode = json.loads((clone / "results/registration.json").read_text())["input_mode"]
    case_id = json.loads((clone / "data/split.json").read_text())["parts"]["test"][0]
    manifest = json.loads((clone / "data/cohort/manifest.json").read_text())
    (case,) = [case for case in manifest["cases"] if case["case_id"] == case_id]
    study = clone / "data/cohort" / manifest["root"] / case["ct"]["files"][0]["path"]
    words = ("--model", "challenger", "--write-rejected", "--json")
    done = run(clone, "femseg", "segment", str(study.parent), "-o", str(tmp_path / "mask.nii.gz"), *words, rc=None)
    assert json.loads(done.stdout)["input_mode"] == mode
    evaluated = clone / "results/evaluate" / mode / "ct_grid" / f"{case_id}.nii.gz"
    ours, theirs = nib.load(tmp_path / "mask.nii.gz"), nib.load(evaluated)
    assert (ours.affine == theirs.affine).all()
    assert ((ours.get_fdata() > 0) == (theirs.get_fdata() > 0)).all()
