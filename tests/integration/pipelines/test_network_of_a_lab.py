"""A network in a file beside params.yaml goes through the stages: Ray's workers find it, and so does the evaluation."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from tiny_project import ROOT, run

MODULE = ROOT / "tests/support/residual_unet.py"
NETWORK = "lab_unet:ResidualUNet"


def copy_with_the_network(project: Path, copy: Path) -> Path:
    shutil.copytree(project, copy, symlinks=True, ignore=shutil.ignore_patterns("cache", "runs"))
    shutil.copy(MODULE, copy / "lab_unet.py")
    params = yaml.safe_load((copy / "params.yaml").read_text())
    params["network"] = {"name": NETWORK, "width": 2}
    (copy / "params.yaml").write_text(yaml.safe_dump(params))
    return copy


@pytest.mark.slow
def test_a_network_beside_params_yaml_is_trained_on_ray_and_evaluated(project, tmp_path):
    copy = copy_with_the_network(project, tmp_path / "project")
    for folder in ("models/raw", "results/train/raw", "results/evaluate/raw"):
        shutil.rmtree(copy / folder)
    run(copy, "python", "-m", "pipelines.train", "--input-mode", "raw")
    model, lineage = (json.loads((copy / "models/raw" / name).read_text()) for name in ("model.json", "lineage.json"))
    assert model["architecture"]["settings"] == {"name": NETWORK, "width": 2, "levels": 2}
    assert len(lineage["sha256"]["network_code"]) == 64
    run(copy, "python", "-m", "pipelines.evaluate", "--input-mode", "raw")
    assert (copy / "results/evaluate/raw/scores.csv").stat().st_size > 0

    mask, ct = tmp_path / "mask.nii.gz", min((copy / "data/cohort/studies").glob("*/ct"))
    words = ("femseg", "segment", str(ct), "-o", str(mask), "--model", "models/raw")
    refused = run(copy, *words, rc=2)  # a console script has no working folder on Python's path
    assert f"RG-13: models/raw/model.json: its network {NETWORK} cannot be imported" in refused.stderr
    assert "PYTHONPATH=." in refused.stderr
